/* SPDX-License-Identifier: Apache-2.0
 * jobs/verify/verify_step.h - the parts of `fsfm verify`: one step with its outputs and gradients, and the
 * trajectory. */
#ifndef FSFM_JOBS_VERIFY_VERIFY_STEP_H
#define FSFM_JOBS_VERIFY_VERIFY_STEP_H

#include "jobs/verify/comparison.h"
#include "jobs/verify/golden_case.h"

typedef struct {
    const fsfm_golden_case *golden;
    fsfm_device *dev;
    const fsfm_tolerances *tolerances;
    fsfm_log *log;
    bool is_plain; /* the exact savings are off */
    fsfm_records records;
    int64_t failed; /* groups beyond their tolerance */
} fsfm_verification;

/* Forward and backward of the file's input; pred is compared where mask or region is 1, with the savings off
 * everywhere. */
FSFM_MUST_USE
fsfm_status fsfm_verify_step(fsfm_verification *v, fsfm_error *err);
/* The optimiser steps of trajectory/, and the weights after the last. */
FSFM_MUST_USE
fsfm_status fsfm_verify_trajectory(fsfm_verification *v, fsfm_error *err);

/* A learner for one golden batch a step, with the file's weights. */
FSFM_MUST_USE
fsfm_status fsfm_verify_open_learner(const fsfm_verification *v, bool gradients_only, fsfm_learner **out,
                                     fsfm_error *err);
/* Target, online, backward on one batch; norm_squared: of the gradients. */
FSFM_MUST_USE
fsfm_status fsfm_verify_run(fsfm_learner *learner, const fsfm_golden_case *golden,
                            const fsfm_golden_batch *batch, fsfm_losses *losses, double *norm_squared,
                            fsfm_error *err);
/* Prints the comparison as a line named after the group, and counts it if it fails. */
void fsfm_verify_report(fsfm_verification *v, const fsfm_comparison *comparison, const char *group,
                        double tolerance);
#endif
