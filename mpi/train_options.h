/* SPDX-License-Identifier: Apache-2.0
 * mpi/train_options.h - the keys `train.*`, `comm.*`, `checkpoint.*`, `eval.*` and `log.*`. */
#ifndef FSFM_MPI_TRAIN_OPTIONS_H
#define FSFM_MPI_TRAIN_OPTIONS_H

#include "core/base/options.h"
#include "core/model/model_options.h"
#include "core/model/recordings.h"
#include "mpi/carrier.h"

typedef enum { FSFM_REDUCTION_FAST, FSFM_REDUCTION_EXACT } fsfm_reduction;

typedef struct {
    int64_t global_batch, micro_batch; /* micro_batch: FSFM_AUTO */
    double epochs;
    int64_t max_steps;        /* 0: all */
    int precision;            /* fsfm_precision */
    fsfm_recompute recompute; /* or AUTO */
    fsfm_records records;     /* train.cuda_graph */
    int64_t target_cache_mib; /* 0: off */
    fsfm_reduction reduction;
    int64_t slices; /* a power of two */
    int64_t max_bad_steps;

    fsfm_carrier_kind carrier; /* comm.backend */
    int64_t bucket_mib;        /* comm.bucket_mib */

    int64_t checkpoint_every_steps; /* 0: at the end only */
    int64_t checkpoint_keep_last;
    int64_t checkpoint_keep_every; /* steps; 0: none */

    char eval_path[FSFM_TEXT_SIZE];
    double eval_share;
    double eval_every_epochs; /* 0: never */

    int64_t log_every_steps;
    double log_pictures_every_epochs; /* 0: at the end only */
    int64_t log_pictures;             /* images in a picture; 0: no pictures */
} fsfm_train_options;

extern const char *const fsfm_recompute_names[]; /* as fsfm_recompute; ended by NULL */
extern const fsfm_option fsfm_train_options_table[];
extern const int fsfm_train_options_count;
#endif
