/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/train_data.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/stage.h"
#include "mpi/alike.h"

/* Adds a source's share of mean and variance (law of total variance) to sums of mean and of mean of squares.
 */
static void add_statistics(const fsfm_dataset_card *card, double share, double mean[3], double squares[3])
{
    for (int c = 0; c < 3; c++) {
        mean[c] += share * card->mean[c];
        squares[c] += share * (card->std[c] * card->std[c] + card->mean[c] * card->mean[c]);
    }
}

static void find_normalisation(fsfm_train_data *data)
{
    const fsfm_data_options *options = data->job->data;
    double total = 0, mean[3] = {0}, squares[3] = {0};
    for (int i = 0; i < options->sources.count; i++) total += options->sources.item[i].weight;
    for (int i = 0; i < data->count; i++)
        add_statistics(fsfm_dataset_describe(data->sets[i]),
                       options->sources.count ? options->sources.item[i].weight / total : 1.0, mean, squares);
    for (int c = 0; c < 3; c++) {
        data->mean[c] = mean[c];
        data->std[c] = sqrt(squares[c] - mean[c] * mean[c]);
    }
    if (data->count == 1) /* the very values, not what the sums above make of them */
        memcpy(data->std, fsfm_dataset_describe(data->sets[0])->std, sizeof data->std);
    if (!isnan(options->mean[0])) memcpy(data->mean, options->mean, sizeof data->mean);
    if (!isnan(options->std[0])) memcpy(data->std, options->std, sizeof data->std);
}

static fsfm_status check_size(const fsfm_train_data *data, const fsfm_dataset *set, fsfm_error *err)
{
    const int size = fsfm_dataset_describe(set)->kind.size;
    if (size == data->job->model->img_size) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_ARG, "%s: images of %d pixels, expected model.img_size = %" PRId64,
                     fsfm_dataset_folder(set), size, data->job->model->img_size);
}

/* Opens the dataset, or its copy on the node's own disk (data.stage). */
static fsfm_status open_set(const fsfm_train_job *job, const char *path, fsfm_dataset **out, fsfm_error *err)
{
    char staged[FSFM_TEXT_SIZE];
    if (!job->data->stage[0]) return fsfm_dataset_open(path, out, err);
    if (fsfm_stage_dataset(path, job->data->stage, staged, sizeof staged, err) != FSFM_OK)
        return fsfm_context(err, "data.stage");
    return fsfm_dataset_open(staged, out, err);
}

static fsfm_status open_sources(fsfm_train_data *data, fsfm_error *err)
{
    const fsfm_train_job *job = data->job;
    const fsfm_data_options *options = job->data;
    const int count = options->sources.count ? options->sources.count : 1;
    fsfm_sampler_source sources[FSFM_SOURCES_MAX];
    size_t used = 0;
    if (!options->sources.count && !options->path[0])
        return fsfm_fail(err, FSFM_ERR_ARG, "data.path: expected a packed dataset, found nothing");
    for (int i = 0; i < count; i++) {
        const char *path = options->sources.count ? options->sources.item[i].path : options->path;
        fsfm_status st = open_set(job, path, &data->sets[i], err);
        if (st != FSFM_OK) return fsfm_context(err, options->sources.count ? "data.sources" : "data.path");
        data->count = i + 1;
        FSFM_TRY(check_size(data, data->sets[i], err));
        sources[i].count = fsfm_dataset_describe(data->sets[i])->count;
        sources[i].weight = options->sources.count ? options->sources.item[i].weight : 1.0;
        used += (size_t)snprintf(data->checksums + used, sizeof data->checksums - used, "%s%016" PRIx64,
                                 i ? " " : "", fsfm_dataset_describe(data->sets[i])->xxh3);
    }
    return fsfm_sampler_create(sources, count, job->seed,
                               job->train->eval_path[0] ? 0.0 : job->train->eval_share, &data->sampler, err);
}

static fsfm_status open_evaluation(fsfm_train_data *data, fsfm_error *err)
{
    const fsfm_train_job *job = data->job;
    fsfm_sampler_source source = {0, 1.0};
    size_t used = strlen(data->checksums);
    if (job->train->eval_every_epochs <= 0) return FSFM_OK;
    if (!job->train->eval_path[0]) {
        data->eval_samples = fsfm_sampler_held_out(data->sampler);
        if (job->train->eval_share > 0 && data->eval_samples == 0)
            return fsfm_fail(err, FSFM_ERR_ARG, "eval.share: %g of the samples is none of them",
                             job->train->eval_share);
        return FSFM_OK;
    }
    if (open_set(job, job->train->eval_path, &data->eval_set, err) != FSFM_OK)
        return fsfm_context(err, "eval.path");
    FSFM_TRY(check_size(data, data->eval_set, err));
    source.count = data->eval_samples = fsfm_dataset_describe(data->eval_set)->count;
    snprintf(data->checksums + used, sizeof data->checksums - used, " eval %016" PRIx64,
             fsfm_dataset_describe(data->eval_set)->xxh3);
    return fsfm_sampler_create(&source, 1, job->seed, 1.0, &data->eval_sampler, err);
}

static fsfm_status make_feeds(fsfm_train_data *data, fsfm_error *err)
{
    const fsfm_train_job *job = data->job;
    const int size = (int)job->model->img_size, patch = (int)job->model->patch_size;
    FSFM_TRY(fsfm_mask_feed_make(job->mask, job->seed, size, patch, false, data->sets, data->count,
                                 &data->feed, err));
    if (!data->eval_samples) return FSFM_OK;
    return fsfm_mask_feed_make(job->mask, job->seed, size, patch, true,
                               data->eval_set ? &data->eval_set : data->sets,
                               data->eval_set ? 1 : data->count, &data->eval_feed, err);
}

fsfm_status fsfm_train_data_open(fsfm_comm *comm, const fsfm_train_job *job, fsfm_train_data *data,
                                 fsfm_error *err)
{
    const int rank = fsfm_comm_rank(comm), ranks = fsfm_comm_size(comm);
    fsfm_status st = FSFM_OK;
    memset(data, 0, sizeof *data);
    data->job = job;
    st = open_sources(data, err);
    if (st == FSFM_OK) st = open_evaluation(data, err);
    if (st == FSFM_OK) st = make_feeds(data, err);
    if (st == FSFM_OK) data->samples = fsfm_sampler_epoch_samples(data->sampler);
    /* Every shard is opened once at start, by one of the ranks: a file system of many nodes is not asked
     * more. */
    for (int i = 0; i < data->count && st == FSFM_OK; i++)
        st = fsfm_dataset_check_shards(data->sets[i], rank, ranks, err);
    if (st == FSFM_OK && data->eval_set) st = fsfm_dataset_check_shards(data->eval_set, rank, ranks, err);
    if (st == FSFM_OK) find_normalisation(data);
    FSFM_TRY(fsfm_comm_agree(comm, st, err));
    /* Nodes may see different folders under one path, or one of them before a change. */
    return fsfm_alike_text(comm, FSFM_ERR_ARG, "the dataset's checksum", data->checksums, err);
}

void fsfm_train_data_close(fsfm_train_data *data)
{
    fsfm_sampler_free(&data->sampler);
    fsfm_sampler_free(&data->eval_sampler);
    for (int i = 0; i < data->count; i++) fsfm_dataset_close(&data->sets[i]);
    fsfm_dataset_close(&data->eval_set);
}

fsfm_reader_plan fsfm_train_data_plan(const fsfm_train_data *data, bool held_out)
{
    const fsfm_train_job *job = data->job;
    const bool is_apart = held_out && data->eval_set;
    const fsfm_mask_feed *feed = held_out ? &data->eval_feed : &data->feed;
    const fsfm_reader_plan plan = {
        .sources = is_apart ? &data->eval_set : data->sets,
        .source_count = is_apart ? 1 : data->count,
        .sampler = is_apart ? data->eval_sampler : data->sampler,
        .held_out = held_out,
        .seed = job->seed,
        .size = (int)job->model->img_size,
        .patch = (int)job->model->patch_size,
        .view = held_out ? FSFM_VIEW_NONE : job->data->augment_view,
        .wants_map = fsfm_mask_feed_wants_map(feed),
        .wants_target_mask =
            !held_out && job->model->id_loss != FSFM_ID_NONE && job->model->target_view == FSFM_TARGET_MASKED,
        .draw_masks = fsfm_mask_feed_draw,
        .draw_context = (void *)(uintptr_t)feed, /* only read */
        .global_batch = job->train->global_batch,
        .steps_per_epoch = data->samples / job->train->global_batch,
        .threads = (int)job->data->threads,
        .prefetch_bytes = job->data->prefetch_mib << 20,
        .hold = 1,
    };
    return plan;
}

const char *fsfm_train_data_folder(const fsfm_train_data *data, int source)
{
    return fsfm_dataset_folder(source < data->count ? data->sets[source] : data->eval_set);
}
