/* SPDX-License-Identifier: Apache-2.0
 * jobs/verify/golden_case.h - a golden file's model, inputs and weights in the form in which the learner
 * takes them. */
#ifndef FSFM_JOBS_VERIFY_GOLDEN_CASE_H
#define FSFM_JOBS_VERIFY_GOLDEN_CASE_H

#include "core/model/learner.h"
#include "io/golden_file.h"

/* A batch in host memory; owned. */
typedef struct {
    float *images;          /* (B, size, size, 3) */
    uint8_t *mask, *region; /* (B, L) */
    fsfm_learner_totals totals;
} fsfm_golden_batch;

typedef struct {
    const fsfm_golden_file *file; /* borrowed */
    fsfm_model_options options;   /* resolved */
    int64_t B, L, K, P, seed;
    fsfm_golden_batch input;
    int64_t trajectory_steps; /* 0: the file has none */
} fsfm_golden_case;

/* Reads sizes and the input batch. The caller ends it with fsfm_golden_case_free(), also after a failure. */
FSFM_MUST_USE
fsfm_status fsfm_golden_case_read(const fsfm_golden_file *file, fsfm_golden_case *out, fsfm_error *err);
void fsfm_golden_case_free(fsfm_golden_case *golden);
/* The batch in group ("input", "trajectory/batch1"). Freed by fsfm_golden_batch_free(), also after a failure.
 */
FSFM_MUST_USE
fsfm_status fsfm_golden_batch_read(const fsfm_golden_case *golden, const char *group, fsfm_golden_batch *out,
                                   fsfm_error *err);
void fsfm_golden_batch_free(fsfm_golden_batch *batch);
/* Sets online and target weights: those of the file, or by the formula of FORMAT.md where it has none. */
FSFM_MUST_USE
fsfm_status fsfm_golden_set_weights(const fsfm_golden_case *golden, fsfm_learner *learner, fsfm_error *err);
#endif
