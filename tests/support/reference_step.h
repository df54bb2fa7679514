/* SPDX-License-Identifier: Apache-2.0
 * tests/support/reference_step.h - the losses of one micro-batch in double, written straight from
 * golden/FORMAT.md: every token goes through every layer, nothing is saved, nothing is shared with the code
 * under test but names and shapes. */
#ifndef FSFM_TESTS_SUPPORT_REFERENCE_STEP_H
#define FSFM_TESTS_SUPPORT_REFERENCE_STEP_H

#include "core/model/learner.h"

typedef struct {
    const fsfm_model_options *options;
    const fsfm_parameters *list;
    int64_t B;
    const float *images; /* (B, size, size, 3), normalised */
    const uint8_t *mask, *region, *target_mask;
    fsfm_learner_totals totals;
} reference_batch;

/* online: weights in the layout of list; features (B, projection_size): what the target network gave. */
fsfm_losses reference_losses(const reference_batch *batch, const double *online, const double *features);
/* The target network's l2-normalised projections, (B, projection_size). */
void reference_features(const reference_batch *batch, const double *target, double *features);
#endif
