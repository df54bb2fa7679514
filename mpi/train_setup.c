/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/thread_pool.h"
#include "core/mask/strategy.h"
#include "io/file.h"
#include "mpi/micro_batch.h"
#include "mpi/shared_folder.h"
#include "mpi/train_state.h"

enum { EVAL_BATCH_MAX = 16 };

static const double shared_within_s = 10.0;

static bool is_power_of_two(int64_t n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

fsfm_learner_setup fsfm_train_learner_setup(const fsfm_train *train, int64_t micro_batch)
{
    const fsfm_train_job *job = train->job;
    fsfm_learner_setup setup = {
        .options = job->model,
        .micro_batch = micro_batch > train->eval_batch ? micro_batch : train->eval_batch,
        .kept = train->data.feed.patches - train->data.feed.budget,
        .global_batch = job->train->global_batch,
        .local_batch = train->local_batch,
        .recompute = train->recompute,
        .records = job->train->records,
        .slices = job->train->reduction == FSFM_REDUCTION_EXACT ? train->micro_count : 0,
    };
    for (int c = 0; c < 3; c++) {
        setup.mean[c] = (float)train->data.mean[c];
        setup.std[c] = (float)train->data.std[c];
    }
    return setup;
}

static fsfm_status check_exact(const fsfm_train *train, fsfm_error *err)
{
    const fsfm_train_options *o = train->job->train;
    if (!is_power_of_two(o->slices))
        return fsfm_fail(err, FSFM_ERR_ARG, "train.slices: expected a power of two, found %" PRId64,
                         o->slices);
    if (o->global_batch % o->slices)
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "train.global_batch: expected a multiple of train.slices = %" PRId64
                         ", found %" PRId64,
                         o->slices, o->global_batch);
    if (!is_power_of_two(train->ranks) || o->slices % train->ranks)
        return fsfm_fail(
            err, FSFM_ERR_ARG,
            "train.reduction exact: expected a power of two of ranks that divides train.slices = %" PRId64
            ", found %d ranks",
            o->slices, train->ranks);
    if (o->micro_batch != FSFM_AUTO && o->micro_batch != o->global_batch / o->slices)
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "train.micro_batch: with train.reduction exact it is the slice, %" PRId64
                         " images, found %" PRId64 " (leave it auto)",
                         o->global_batch / o->slices, o->micro_batch);
    for (int r = 1; r < train->ranks; r++)
        if (strcmp(train->places[r].isa, train->places[0].isa))
            return fsfm_fail(
                err, FSFM_ERR_ARG,
                "train.reduction exact: rank 0 (%s) computes with %s, rank %d (%s) with %s: their results "
                "differ",
                train->places[0].host, train->places[0].isa, r, train->places[r].host, train->places[r].isa);
    return FSFM_OK;
}

/* Images of evaluation at a time. Not more than are of use, as the learner's memory is for so many: a run
 * that evaluates must not take more than one that does not. */
static int64_t evaluation_batch(const fsfm_train *train)
{
    const int64_t useful =
        fsfm_micro_batch_useful(train->dev, train->data.feed.patches - train->data.feed.budget);
    const int64_t most = useful < EVAL_BATCH_MAX ? useful : EVAL_BATCH_MAX;
    return train->data.eval_samples < most ? train->data.eval_samples : most;
}

/* Ranks that share the memory that this one's device computes in. */
static int memory_sharers(const fsfm_train *train)
{
    const fsfm_rank_place *mine = &train->places[train->rank];
    int sharers = 0;
    if (train->dev->memory_is_host) return train->local_ranks;
    for (const fsfm_rank_place *p = train->places; p < train->places + train->ranks; p++)
        sharers += strcmp(p->host, mine->host) == 0 && strcmp(p->place, mine->place) == 0;
    return sharers;
}

static fsfm_status shape_step(fsfm_train *train, fsfm_error *err)
{
    const fsfm_train_options *o = train->job->train;
    const bool is_exact = o->reduction == FSFM_REDUCTION_EXACT;
    const int64_t GB = o->global_batch;
    if (is_exact) FSFM_TRY(check_exact(train, err));
    if (GB % train->ranks)
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "train.global_batch: expected a multiple of the %d ranks, found %" PRId64,
                         train->ranks, GB);
    if (train->data.samples < GB)
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "train.global_batch: %" PRId64 " images are more than the %" PRId64
                         " samples of an epoch",
                         GB, train->data.samples);
    train->local_batch = GB / train->ranks;
    train->recompute = o->recompute == FSFM_RECOMPUTE_AUTO ? FSFM_RECOMPUTE_GELU : o->recompute;
    if (is_exact)
        train->micro_batch = GB / o->slices;
    else if (o->micro_batch != FSFM_AUTO)
        train->micro_batch = o->micro_batch;
    train->eval_batch = evaluation_batch(train);
    /* A size that the user set or that is part of the run bounds evaluation too; one chosen by memory must
     * not, as its numbers would then depend on the ranks. */
    if (train->micro_batch > 0 && train->eval_batch > train->micro_batch)
        train->eval_batch = train->micro_batch;
    if (train->micro_batch == 0) {
        const fsfm_learner_setup setup = fsfm_train_learner_setup(train, 0);
        FSFM_TRY(fsfm_micro_batch_auto(train->comm, memory_sharers(train), train->dev, &setup,
                                       train->eval_batch, &train->micro_batch, err));
    }
    if (train->local_batch % train->micro_batch)
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "train.micro_batch: expected a divisor of the %" PRId64
                         " images of a rank (train.global_batch / ranks), found %" PRId64,
                         train->local_batch, train->micro_batch);
    train->micro_count = train->local_batch / train->micro_batch;
    if (is_exact || o->recompute != FSFM_RECOMPUTE_AUTO)
        return FSFM_OK; /* exact: memory is not to change bits */
    const fsfm_learner_setup setup = fsfm_train_learner_setup(train, train->micro_batch);
    return fsfm_recompute_auto(train->comm, memory_sharers(train), train->dev, &setup, &train->recompute,
                               err);
}

static fsfm_status shape_run(fsfm_train *train, fsfm_error *err)
{
    const fsfm_train_job *job = train->job;
    train->steps_per_epoch = train->data.samples / job->train->global_batch;
    train->schedule = (fsfm_schedule){
        .steps_per_epoch = train->steps_per_epoch,
        .epochs = job->train->epochs,
        .global_batch = job->train->global_batch,
        .blr = job->model->blr,
        .warmup_epochs = job->model->warmup_epochs,
        .momentum = job->model->target_momentum,
    };
    train->schedule_steps = train->end_step = fsfm_schedule_steps(&train->schedule);
    if (job->train->max_steps > 0 && job->train->max_steps < train->end_step)
        train->end_step = job->train->max_steps;
    if (train->end_step > 0) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_ARG, "train.epochs: %g epochs of %" PRId64 " steps are no step at all",
                     job->train->epochs, train->steps_per_epoch);
}

fsfm_status fsfm_train_open_device(fsfm_train *train, fsfm_error *err)
{
    const fsfm_train_job *job = train->job;
    fsfm_device_options options = {
        .kind = job->device,
        .precision = (fsfm_precision)job->train->precision,
        .threads = (int)job->threads,
        .index = fsfm_comm_local_rank(train->comm),
    };
    char note[160] = "";
    if (job->threads == FSFM_AUTO) FSFM_TRY(fsfm_environment_threads(train->comm, &options.threads, err));
    const fsfm_status st = fsfm_device_open(&options, &train->dev, note, err);
    FSFM_TRY(fsfm_comm_agree(train->comm, st, err));
    if (note[0]) fsfm_log_line(train->log, "%s", note);
    return fsfm_environment_places(train->comm, train->dev, &train->places, err);
}

static fsfm_status open_learner(fsfm_train *train, fsfm_error *err)
{
    const fsfm_train_job *job = train->job;
    const fsfm_learner_setup setup = fsfm_train_learner_setup(train, train->micro_batch);
    const size_t row_bytes = (size_t)job->model->projection_size * sizeof(float);
    if (job->train->records == FSFM_RECORDS_ON && !train->dev->recorder)
        return fsfm_fail(err, FSFM_ERR_ARG, "train.cuda_graph: expected auto or off on %s, found on",
                         train->dev->name);
    FSFM_TRY(fsfm_learner_open(train->dev, &setup, &train->learner, err));
    train->batches = calloc((size_t)train->micro_count, sizeof *train->batches);
    train->slice_sums = calloc((size_t)train->micro_count, sizeof *train->slice_sums);
    if (!train->batches || !train->slice_sums)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a step's batches");
    if (job->model->id_loss != FSFM_ID_INFONCE) return FSFM_OK;
    train->keys = malloc((size_t)train->local_batch * row_bytes);
    train->all_keys = malloc((size_t)job->train->global_batch * row_bytes);
    if (!train->keys || !train->all_keys)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for InfoNCE keys");
    return FSFM_OK;
}

static fsfm_status open_reduce(fsfm_train *train, fsfm_error *err)
{
    const fsfm_train_options *o = train->job->train;
    const fsfm_reduce_setup setup = {
        .comm = train->comm,
        .dev = train->dev,
        .gradients_dev = fsfm_learner_gradients_dev(train->learner),
        .count = fsfm_learner_parameters(train->learner)->total_floats,
        .kind = o->reduction,
        .bucket_mib = o->bucket_mib,
        .carrier = o->carrier,
        .slices = o->slices,
    };
    return fsfm_reduce_open(&setup, &train->reduce, err);
}

static fsfm_status open_checkpoints(fsfm_train *train, fsfm_error *err)
{
    fsfm_checkpointer_setup setup = {
        .run_dir = train->job->run_dir,
        .run = train->run,
        .parameters = fsfm_learner_parameters(train->learner),
        .config = train->job->config,
        .keep_last = train->job->train->checkpoint_keep_last,
        .keep_every = train->job->train->checkpoint_keep_every,
    };
    for (int s = 0; s < FSFM_STATES; s++)
        setup.floats[s] = fsfm_learner_state_floats(train->learner, (fsfm_state)s);
    return fsfm_checkpointer_open(&setup, &train->checkpoints, err);
}

fsfm_status fsfm_train_shape(fsfm_train *train, fsfm_error *err)
{
    FSFM_TRY(shape_step(train, err));
    return shape_run(train, err);
}

fsfm_status fsfm_train_open_learner(fsfm_train *train, fsfm_error *err)
{
    FSFM_TRY(fsfm_comm_agree(train->comm, open_learner(train, err), err));
    return open_reduce(train, err);
}

fsfm_status fsfm_train_setup(fsfm_train *train, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    FSFM_TRY(fsfm_train_data_open(train->comm, train->job, &train->data, err));
    FSFM_TRY(fsfm_train_open_device(train, err));
    FSFM_TRY(fsfm_comm_agree(train->comm, fsfm_train_shape(train, err), err));
    FSFM_TRY(fsfm_train_open_learner(train, err));
    st = fsfm_train_open_ranks(train, err);
    if (st == FSFM_OK && train->rank == 0) {
        st = fsfm_run_directory_open(train->job->run_dir, &train->run, err);
        if (st == FSFM_OK) st = open_checkpoints(train, err);
    }
    fsfm_stop_open(&train->stop, train->rank == 0 ? train->job->run_dir : NULL);
    FSFM_TRY(fsfm_comm_agree(train->comm, st, err));
    return fsfm_shared_folder_check(train->comm, train->job->run_dir, shared_within_s, err);
}

fsfm_reader_plan fsfm_train_reader_plan(const fsfm_train *train)
{
    fsfm_reader_plan plan = fsfm_train_data_plan(&train->data, false);
    plan.share_first = train->rank * train->local_batch;
    plan.share_count = train->local_batch;
    plan.batch_size = train->micro_batch;
    plan.first_batch = train->at.step * train->micro_count;
    plan.end_batch = train->end_step * train->micro_count;
    plan.hold = train->micro_count + (train->dev->memory_is_host ? 0 : 1); /* taken ahead */
    return plan;
}

fsfm_status fsfm_train_open_reader(fsfm_train *train, fsfm_error *err)
{
    const fsfm_reader_plan plan = fsfm_train_reader_plan(train);
    return fsfm_comm_agree(train->comm, fsfm_reader_open(&plan, &train->reader, err), err);
}

void fsfm_train_close(fsfm_train *train)
{
    fsfm_reader_close(&train->reader);
    fsfm_checkpointer_close(&train->checkpoints);
    fsfm_reduce_close(&train->reduce);
    fsfm_learner_close(&train->learner);
    fsfm_device_close(&train->dev);
    fsfm_train_data_close(&train->data);
    fsfm_bad_samples_free(&train->bad);
    free(train->batches);
    free(train->slice_sums);
    fsfm_train_close_ranks(train);
    fsfm_feature_cache_free(&train->features);
    free(train->keys);
    free(train->all_keys);
    free(train->places);
    fsfm_run_directory_close(&train->run);
}
