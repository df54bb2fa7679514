/* SPDX-License-Identifier: Apache-2.0
 * mpi/checkpoint.h - what a checkpoint file holds, written and read. Equal runs give equal bytes: no times,
 * no ranks. */
#ifndef FSFM_MPI_CHECKPOINT_H
#define FSFM_MPI_CHECKPOINT_H

#include "core/model/learner.h"
#include "mpi/bad_samples.h"

#define FSFM_CHECKPOINT_FORMAT "fsfm-checkpoint-1"

/* Plain data. */
typedef struct {
    int64_t step;    /* optimiser steps done */
    int64_t samples; /* images consumed */
    int64_t adam_t;  /* updates done: step without the skipped ones */
    int64_t bad_in_row, bad_steps;
    int64_t no_region_steps; /* without a covered region in the whole batch */
    int64_t eval_step;       /* steps done at the last evaluation, -1 */
    int64_t best_step;       /* steps done at the best one, -1 */
    double best_loss;        /* of it; 0 where there is none */
    uint64_t seed;
    int64_t slices;
    double mean[3], std[3];
    char dataset[FSFM_TEXT_SIZE]; /* checksums of the datasets, as text */
    char revision[64];            /* of the source that fsfm was built from */
} fsfm_checkpoint_counters;

/* One state of a run in host memory. */
typedef struct {
    const fsfm_parameters *parameters; /* borrowed */
    int64_t floats[FSFM_STATES];       /* 0: absent */
    float *values[FSFM_STATES];
    fsfm_checkpoint_counters counters;
    char *bad_samples; /* as fsfm_bad_samples_write() */
    char *config;      /* resolved, YAML */
} fsfm_checkpoint;

/* Bytes of the file, nearly. */
uint64_t fsfm_checkpoint_size_bytes(const fsfm_checkpoint *checkpoint);
FSFM_MUST_USE
fsfm_status fsfm_checkpoint_write(const fsfm_checkpoint *checkpoint, const char *path, fsfm_error *err);

/* Returns FSFM_OK if a run may go on from a checkpoint with this configuration and these counters. */
typedef fsfm_status (*fsfm_checkpoint_accept_fn)(void *context, const char *config,
                                                 const fsfm_checkpoint_counters *counters, fsfm_error *err);
/* Reads counters and config, asks accept (may be NULL), then reads the tensors into checkpoint->values.
 * bad_samples and config are new owned strings. *is_refused: accept said no, and its status is returned. */
FSFM_MUST_USE
fsfm_status fsfm_checkpoint_read(fsfm_checkpoint *checkpoint, const char *path,
                                 fsfm_checkpoint_accept_fn accept, void *context, bool *is_refused,
                                 fsfm_error *err);
/* Online weights of another file to start from (model.init): sets the tensors that the file has under
 * online/, or by their bare names; *found counts them. A tensor of another size is an error. */
FSFM_MUST_USE
fsfm_status fsfm_checkpoint_read_online(const fsfm_parameters *parameters, const char *path, float *values,
                                        int *found, fsfm_error *err);
#endif
