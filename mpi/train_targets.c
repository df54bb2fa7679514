/* SPDX-License-Identifier: Apache-2.0
 * mpi/train_targets.c - whether target features are computed once a sample or every time. */
#include <inttypes.h>
#include <stdlib.h>

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

static void tell(const fsfm_train *train)
{
    const double mib = (double)all_bytes(train) / (1 << 20);
    if (train->rank != 0) return;
    if (train->features)
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
    if (!are_constant(train) || train->job->train->target_cache_mib == 0) return FSFM_OK;
    if (fsfm_train_kept_features(train) > 0)
        FSFM_TRY(fsfm_comm_agree(train->comm, make_cache(train, err), err));
    tell(train);
    return FSFM_OK;
}
