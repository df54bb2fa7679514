/* SPDX-License-Identifier: Apache-2.0
 * mpi/train_targets.c - whether target features are computed once a sample or every time. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/train_state.h"

/* Nothing changes the target network or what it sees of a sample. */
static bool are_constant(const fsfm_train *train)
{
    const fsfm_model_options *model = train->job->model;
    return model->id_loss != FSFM_ID_NONE && model->target_update == FSFM_TARGET_FROZEN &&
           model->target_view == FSFM_TARGET_FULL && train->job->data->augment_view == FSFM_VIEW_NONE;
}

static uint64_t all_bytes(const fsfm_train *train)
{
    return fsfm_feature_cache_bytes(train->data.samples, train->job->model->projection_size);
}

int64_t fsfm_train_kept_features(const fsfm_train *train)
{
    const uint64_t limit_bytes = (uint64_t)train->job->train->target_cache_mib << 20;
    return are_constant(train) && all_bytes(train) <= limit_bytes ? train->data.samples : 0;
}

/* Held-out samples have rows too, which nothing ever touches. */
static fsfm_status make_cache(fsfm_train *train, fsfm_error *err)
{
    const int64_t width = train->job->model->projection_size;
    int64_t counts[FSFM_SOURCES_MAX];
    for (int i = 0; i < train->data.count; i++) counts[i] = fsfm_dataset_describe(train->data.sets[i])->count;
    if (!train->keys) train->keys = malloc((size_t)(train->local_batch * width) * sizeof *train->keys);
    if (!train->keys) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a step's target features");
    return fsfm_feature_cache_create(counts, train->data.count, width, &train->features, err);
}

/* A micro-batch of one image, again and again, (micro_batch, size, size, 3). */
static uint8_t *make_copies(const fsfm_train *train)
{
    const size_t size = (size_t)train->job->model->img_size, image_bytes = size * size * 3;
    uint8_t *images = malloc((size_t)train->micro_batch * image_bytes);
    if (!images) return NULL;
    for (size_t i = 0; i < image_bytes; i++)
        images[i] = (uint8_t)((uint32_t)i * 2654435761u >> 24); /* any values without order */
    for (int64_t b = 1; b < train->micro_batch; b++)
        memcpy(images + (size_t)b * image_bytes, images, image_bytes);
    return images;
}

/* A device's products may sum rows in different orders at their edge and within (the CPU's do not): then
 * the bits of an image's features depend on its place, and those kept from another place would be others. */
static fsfm_status find_place_matters(fsfm_train *train, bool *matters, fsfm_error *err)
{
    const int64_t width = train->job->model->projection_size;
    uint8_t *images = make_copies(train);
    const fsfm_learner_input input = {.B = train->micro_batch, .images_u8 = images};
    fsfm_status st = images ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a micro-batch");
    *matters = false;
    if (st == FSFM_OK) st = fsfm_learner_target(train->learner, &input, 0, err);
    if (st == FSFM_OK) st = fsfm_learner_get_keys(train->learner, train->keys, err);
    for (int64_t b = 1; b < train->micro_batch && st == FSFM_OK; b++)
        *matters |= memcmp(train->keys, train->keys + b * width, (size_t)width * sizeof *train->keys) != 0;
    free(images);
    return st;
}

static void tell(const fsfm_train *train, bool place_matters)
{
    const double mib = (double)all_bytes(train) / (1 << 20);
    if (train->rank != 0) return;
    if (place_matters)
        fsfm_log_line(train->log,
                      "targets   features are computed every time: their last bits depend on the place in a "
                      "micro-batch of %" PRId64 " here",
                      train->micro_batch);
    else if (train->features)
        fsfm_log_line(train->log, "targets   features of a sample are computed once, %.1f MiB in the end",
                      mib);
    else
        fsfm_log_line(train->log,
                      "targets   features are computed every time: all of them take %.1f MiB, "
                      "train.target_cache_mib is %" PRId64,
                      mib, train->job->train->target_cache_mib);
}

fsfm_status fsfm_train_open_features(fsfm_train *train, fsfm_error *err)
{
    bool place_matters = false;
    fsfm_status st = FSFM_OK;
    if (!are_constant(train) || train->job->train->target_cache_mib == 0) return FSFM_OK;
    if (fsfm_train_kept_features(train) > 0) {
        st = make_cache(train, err);
        if (st == FSFM_OK) st = find_place_matters(train, &place_matters, err);
        FSFM_TRY(fsfm_comm_agree(train->comm, st, err));
        if (place_matters) fsfm_feature_cache_free(&train->features);
    }
    tell(train, place_matters);
    return FSFM_OK;
}
