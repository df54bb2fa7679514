/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/train_plan.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/thread_pool.h"
#include "mpi/train_state.h"

/* What libraries take for themselves in a run, beside what this process has now; seen in /proc/PID/smaps with
 * HDF5 1.10 and Open MPI 4.1. */
#define MIB ((uint64_t)1 << 20)
enum { LARGEST_TRIED = 1 << 16 }; /* images of a micro-batch */
#define MPI_BYTES (12 * MIB)      /* Open MPI: its code, components, shared segments */
#define WRITER_BYTES (8 * MIB)    /* HDF5: the index of a checkpoint while it is written */
#define THREAD_BYTES (1 * MIB)    /* stack and scratch of a thread */
#define PICTURE_BYTES (2 * MIB)   /* zlib and libpng, beside the picture and its copy */

const char *fsfm_memory_part_name(fsfm_memory_part part)
{
    static const char *const names[FSFM_MEMORY_PARTS] = {"parameters",  "gradients",  "moments",  "target",
                                                         "activations", "batch",      "exchange", "reader",
                                                         "checkpoint",  "evaluation", "code"};
    return names[part];
}

/* What stands in for the data where only its size is known: raw faces with maps. */
static fsfm_status imagine_data(fsfm_train *train, int64_t samples, fsfm_error *err)
{
    const fsfm_train_job *job = train->job;
    const int size = (int)job->model->img_size, patch = (int)job->model->patch_size;
    fsfm_train_data *data = &train->data;
    data->job = job;
    FSFM_TRY(fsfm_mask_feed_make(job->mask, job->seed, size, patch, false, NULL, 0, &data->feed, err));
    data->eval_feed = data->feed;
    data->samples = samples;
    if (job->train->eval_every_epochs <= 0) return FSFM_OK;
    if (job->train->eval_path[0])
        data->eval_samples = samples; /* how many is not known: enough to fill its batches */
    else
        data->eval_samples = llround((double)samples * job->train->eval_share);
    if (!job->train->eval_path[0]) data->samples -= data->eval_samples;
    return FSFM_OK;
}

static uint64_t tables_bytes(const fsfm_train *train, int64_t samples)
{
    const fsfm_shard_kind raw_faces = {.encoding = FSFM_ENCODING_RAW, .has_regions = true};
    uint64_t bytes = 0;
    if (train->data.count == 0) return fsfm_dataset_memory_bytes(&raw_faces, samples);
    for (int i = 0; i < train->data.count; i++) {
        const fsfm_dataset_card *card = fsfm_dataset_describe(train->data.sets[i]);
        bytes += fsfm_dataset_memory_bytes(&card->kind, card->count);
    }
    return bytes;
}

/* The reader of an evaluation: every rank has its part of the batches. */
static uint64_t evaluation_bytes(const fsfm_train *train)
{
    fsfm_reader_plan plan = fsfm_train_data_plan(&train->data, true);
    if (train->data.eval_samples == 0) return 0;
    const int64_t batches = (train->data.eval_samples + train->eval_batch - 1) / train->eval_batch;
    plan.batch_size = train->eval_batch;
    plan.end_batch = (batches + train->ranks - 1) / train->ranks;
    return fsfm_reader_memory_bytes(&plan);
}

/* Four images a row, and a copy on its way to the file. */
static uint64_t picture_bytes(const fsfm_train *train)
{
    const int64_t size = train->job->model->img_size, rows = train->job->train->log_pictures;
    return rows > 0 ? PICTURE_BYTES + 2 * 4 * 3 * (uint64_t)(size * size * rows) : 0;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* What comes and goes, in bytes. */
typedef struct {
    uint64_t exchange, evaluation, picture;
    uint64_t online, snapshot; /* the snapshot's copy of the weights, which a start fills; all of it */
    bool saves_early;          /* a checkpoint is written before the last step */
} passing_memory;

/* Rank 0 has most while it computes, with a checkpoint being written if any was, or in the end, when the last
 * one is and nothing else goes on. The other ranks have no snapshot. */
static void add_passing(const passing_memory *p, bool is_first, bool is_exact, fsfm_rank_memory *memory)
{
    const uint64_t beside = larger(p->evaluation, is_first ? p->picture : 0);
    const uint64_t exchange = is_exact ? 0 : p->exchange; /* exact: kept, in both moments */
    const uint64_t written = p->snapshot + WRITER_BYTES;
    const uint64_t held = !is_first ? 0 : p->saves_early ? written : p->online;
    if (is_exact) memory->part[FSFM_MEMORY_EXCHANGE] = p->exchange;
    if (is_first && held + larger(exchange, beside) < written) {
        memory->part[FSFM_MEMORY_CHECKPOINT] = written;
        return;
    }
    memory->part[FSFM_MEMORY_CHECKPOINT] = held;
    if (exchange > beside)
        memory->part[FSFM_MEMORY_EXCHANGE] = exchange;
    else
        memory->part[FSFM_MEMORY_EVALUATION] = beside;
}

static void sum_up(fsfm_rank_memory *memory)
{
    memory->total = 0;
    for (int i = 0; i < FSFM_MEMORY_PARTS; i++) memory->total += memory->part[i];
}

static void keep_learner(const fsfm_learner_memory *learner, fsfm_rank_memory *memory)
{
    memory->part[FSFM_MEMORY_PARAMETERS] = learner->parameters;
    memory->part[FSFM_MEMORY_GRADIENTS] = learner->gradients;
    memory->part[FSFM_MEMORY_MOMENTS] = learner->optimizer;
    memory->part[FSFM_MEMORY_TARGET] = learner->target;
    memory->part[FSFM_MEMORY_ACTIVATIONS] = learner->activations;
    memory->part[FSFM_MEMORY_BATCH] = learner->batch;
}

/* A checkpoint of the run without its values: moments are floats in it whatever the precision. */
static fsfm_checkpoint describe_checkpoint(const fsfm_learner_memory *learner,
                                           const fsfm_parameters *parameters)
{
    fsfm_checkpoint checkpoint = {.parameters = parameters};
    checkpoint.floats[FSFM_STATE_ONLINE] = parameters->total_floats;
    checkpoint.floats[FSFM_STATE_MOMENT1] = checkpoint.floats[FSFM_STATE_MOMENT2] = parameters->total_floats;
    checkpoint.floats[FSFM_STATE_TARGET] = learner->target > 0 ? parameters->trunk_floats : 0;
    return checkpoint;
}

static passing_memory find_passing(const fsfm_train *train, const fsfm_checkpoint *checkpoint)
{
    const fsfm_train_options *o = train->job->train;
    const bool is_spread = train->local_ranks < train->ranks; /* memory that a host's ranks share is no way */
    const fsfm_reduce_setup reduce = {.count = checkpoint->floats[FSFM_STATE_ONLINE],
                                      .kind = o->reduction,
                                      .carrier = is_spread ? FSFM_CARRIER_MPI : o->carrier,
                                      .slices = o->slices};
    passing_memory p = {.exchange = fsfm_reduce_memory_bytes(&reduce, train->ranks),
                        .evaluation = evaluation_bytes(train),
                        .picture = picture_bytes(train)};
    p.online = (uint64_t)checkpoint->floats[FSFM_STATE_ONLINE] * sizeof(float);
    for (int s = 0; s < FSFM_STATES; s++) p.snapshot += (uint64_t)checkpoint->floats[s] * sizeof(float);
    p.saves_early = o->checkpoint_every_steps > 0 && o->checkpoint_every_steps < train->end_step;
    return p;
}

/* Target features that are kept, by the end of the run. */
static uint64_t features_bytes(const fsfm_train *train)
{
    const int64_t samples = fsfm_train_kept_features(train), seen = train->end_step * train->local_batch;
    return fsfm_feature_cache_bytes(samples < seen ? samples : seen, train->job->model->projection_size);
}

/* Least common multiple. */
static int64_t common_multiple(int64_t a, int64_t b)
{
    int64_t x = a, y = b;
    while (y > 0) {
        const int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

/* Files in the folder when a run ends, as fsfm_checkpoint_folder_retain() leaves them: the newest ones, those
 * kept for ever, the best; and one more while it is being written. */
static int64_t kept_checkpoints(const fsfm_train *train)
{
    const fsfm_train_options *o = train->job->train;
    const int64_t end = train->end_step, every = o->checkpoint_every_steps, ever = o->checkpoint_keep_every;
    const int64_t written = every > 0 ? (end + every - 1) / every : 1;
    int64_t kept = written < o->checkpoint_keep_last ? written : o->checkpoint_keep_last;
    if (ever > 0 && every > 0) {
        const int64_t apart = common_multiple(every, ever);
        kept += end / apart + (end % ever == 0 && end % apart != 0);
        for (int64_t i = 0; i < written && i < o->checkpoint_keep_last; i++) { /* those counted twice */
            const int64_t step = i == 0 ? end : (written - i) * every;
            if (step % ever == 0) kept--;
        }
    }
    if (train->data.eval_samples > 0 && o->eval_every_epochs > 0) kept++;
    return written > o->checkpoint_keep_last ? kept + 1 : kept;
}

/* Images at a time with which a rank fits its part of the machine; rest: what does not depend on them. */
static fsfm_status find_largest(const fsfm_train *train, uint64_t rest, uint64_t limit, int64_t *out,
                                fsfm_error *err)
{
    int64_t fits = 0, too_many = LARGEST_TRIED + 1;
    while (too_many - fits > 1) {
        const int64_t tried = fits + (too_many - fits) / 2;
        fsfm_learner_setup setup = fsfm_train_learner_setup(train, tried);
        fsfm_learner_memory m;
        if (setup.local_batch < tried) setup.local_batch = setup.global_batch = tried;
        FSFM_TRY(fsfm_learner_measure(train->dev, &setup, &m, err));
        if (rest + m.activations + m.batch <= limit)
            fits = tried;
        else
            too_many = tried;
    }
    *out = fits;
    return FSFM_OK;
}

/* The encoder's tensors come first. */
static int64_t count_encoder(const fsfm_parameters *parameters)
{
    int64_t elements = 0;
    const int end = fsfm_parameters_find(parameters, "mask_token");
    for (int i = 0; i < end; i++) elements += parameters->items[i].count;
    return elements;
}

/* code_bytes: what this process has, with its device and its data open and nothing allocated. */
static fsfm_status plan_memory(const fsfm_train *train, uint64_t code_bytes, fsfm_train_plan *out,
                               fsfm_error *err)
{
    const fsfm_learner_setup setup = fsfm_train_learner_setup(train, train->micro_batch);
    const fsfm_reader_plan reader = fsfm_train_reader_plan(train);
    const bool is_exact = train->job->train->reduction == FSFM_REDUCTION_EXACT;
    const bool starts_mpi = train->ranks > 1 && fsfm_comm_size(train->comm) == 1;
    fsfm_learner_memory learner;
    fsfm_parameters parameters;
    fsfm_rank_memory memory = {.total = 0};
    FSFM_TRY(fsfm_learner_measure(train->dev, &setup, &learner, err));
    FSFM_TRY(fsfm_parameters_list(train->job->model, &parameters, err));
    const fsfm_checkpoint checkpoint = describe_checkpoint(&learner, &parameters);
    const passing_memory passing = find_passing(train, &checkpoint);
    out->parameters = parameters.total_elements;
    out->encoder_parameters = count_encoder(&parameters);
    if (checkpoint.floats[FSFM_STATE_TARGET] > 0) out->target_parameters = parameters.trunk_elements;
    out->checkpoint_bytes = fsfm_checkpoint_size_bytes(&checkpoint);
    out->checkpoints_kept = kept_checkpoints(train);
    fsfm_parameters_free(&parameters);
    keep_learner(&learner, &memory);
    memory.part[FSFM_MEMORY_TARGET] += features_bytes(train);
    memory.part[FSFM_MEMORY_READER] =
        fsfm_reader_memory_bytes(&reader) + tables_bytes(train, train->data.samples);
    memory.part[FSFM_MEMORY_CODE] = code_bytes + (uint64_t)(out->threads + reader.threads) * THREAD_BYTES;
    if (starts_mpi) memory.part[FSFM_MEMORY_CODE] += MPI_BYTES;
    out->first = out->others = memory;
    add_passing(&passing, true, is_exact, &out->first);
    add_passing(&passing, false, is_exact, &out->others);
    sum_up(&out->first);
    sum_up(&out->others);
    return find_largest(train, out->first.total - learner.activations - learner.batch,
                        out->machine_bytes / (uint64_t)train->local_ranks, &out->largest_micro_batch, err);
}

/* Every planned rank is like this one. */
static fsfm_status fill_places(fsfm_train *train, fsfm_error *err)
{
    fsfm_rank_place *places = calloc((size_t)train->ranks, sizeof *places);
    if (!places) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %d ranks", train->ranks);
    for (int r = 0; r < train->ranks; r++) places[r] = train->places[0];
    free(train->places);
    train->places = places;
    return FSFM_OK;
}

static void describe(const fsfm_train *train, fsfm_train_plan *out)
{
    const fsfm_train_options *o = train->job->train;
    out->kept = train->data.feed.patches - train->data.feed.budget;
    const double warmup = train->job->model->warmup_epochs * (double)train->steps_per_epoch;
    out->precision = train->dev->precision;
    out->recompute = train->recompute;
    out->processors = fsfm_processors_available();
    out->warmup_steps = (int64_t)ceil(fmin(warmup, 9e15));
    out->keeps_features = fsfm_train_kept_features(train) > 0;
    for (int i = 0; i < train->data.count; i++)
        out->shards += fsfm_dataset_describe(train->data.sets[i])->shard_count;
    out->ranks = train->ranks;
    out->threads = train->dev->threads;
    memcpy(out->device, train->dev->name, sizeof out->device);
    out->local_batch = train->local_batch;
    out->micro_batch = train->micro_batch;
    out->micro_count = train->micro_count;
    out->samples = train->data.samples;
    out->steps_per_epoch = train->steps_per_epoch;
    out->steps = train->end_step;
    out->dropped = train->data.samples - train->steps_per_epoch * o->global_batch;
    out->lr_peak = train->job->model->blr * (double)o->global_batch / 256.0;
    out->machine_bytes = fsfm_environment_memory_bytes();
}

/* As fsfm_train_setup() does, up to what takes memory. */
static fsfm_status shape(fsfm_train *train, int64_t samples, fsfm_error *err)
{
    if (samples > 0)
        FSFM_TRY(fsfm_comm_agree(train->comm, imagine_data(train, samples, err), err));
    else
        FSFM_TRY(fsfm_train_data_open(train->comm, train->job, &train->data, err));
    FSFM_TRY(fsfm_train_open_device(train, err));
    fsfm_status st = fill_places(train, err);
    if (st == FSFM_OK) st = fsfm_train_shape(train, err);
    return fsfm_comm_agree(train->comm, st, err);
}

fsfm_status fsfm_train_plan_make(fsfm_comm *comm, const fsfm_train_plan_setup *setup, fsfm_log *log,
                                 fsfm_train_plan *out, fsfm_error *err)
{
    const int node_ranks = setup->node_ranks > 0 ? setup->node_ranks : setup->ranks;
    fsfm_train_job job = *setup->job;
    fsfm_log silent;
    fsfm_train *train = calloc(1, sizeof *train);
    fsfm_status st = train ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a plan");
    memset(out, 0, sizeof *out);
    fsfm_log_open(&silent, NULL);
    if ((st = fsfm_comm_agree(comm, st, err)) != FSFM_OK) goto done;
    if (job.threads == FSFM_AUTO)
        job.threads = fsfm_processors_available() > node_ranks ? fsfm_processors_available() / node_ranks : 1;
    if (setup->is_elsewhere) job.device = FSFM_DEVICE_CPU; /* it stands in where shapes are measured */
    train->job = &job;
    train->comm = comm;
    train->log = setup->is_elsewhere ? &silent : log;
    train->rank = fsfm_comm_rank(comm);
    train->ranks = setup->ranks;
    train->local_ranks = node_ranks;
    st = shape(train, setup->samples, err);
    if (st == FSFM_OK) {
        describe(train, out);
        st = fsfm_comm_agree(comm, plan_memory(train, fsfm_environment_rss_bytes(), out, err), err);
    }
    fsfm_train_close(train);
done:
    fsfm_log_close(&silent);
    free(train);
    return st;
}
