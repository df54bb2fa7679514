/* SPDX-License-Identifier: Apache-2.0
 * core/model/optimizer.h - AdamW on all parameters, and the moving average of the target, in one operation:
 * which pieces of which tensors it takes lies on the device from the start, and what differs from update to
 * update is brought there. */
#ifndef FSFM_CORE_MODEL_OPTIMIZER_H
#define FSFM_CORE_MODEL_OPTIMIZER_H

#include "core/device/adamw.h"
#include "core/model/parameters.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    fsfm_adamw_args args; /* the same in every update */
    fsfm_adamw_piece *pieces;
    fsfm_adamw_numbers *numbers; /* both on the device */
} fsfm_optimizer;

/* Takes memory for the pieces of parameters, and for the numbers, from arena. */
void fsfm_optimizer_layout(fsfm_optimizer *optimizer, fsfm_arena *arena, const fsfm_parameters *parameters);

/* Arrays of all parameters; target: of the trunk's, or NULL, if nothing follows the parameters. */
typedef struct {
    void *online, *target;
    const float *gradients;
    float *moment1;
    fsfm_act *moment2;
} fsfm_optimizer_arrays;
/* Brings the pieces to the device. arrays are borrowed. */
FSFM_MUST_USE
fsfm_status fsfm_optimizer_bind(fsfm_optimizer *optimizer, fsfm_device *dev,
                                const fsfm_parameters *parameters, const fsfm_optimizer_arrays *arrays,
                                fsfm_error *err);

FSFM_MUST_USE
fsfm_status fsfm_optimizer_update(const fsfm_optimizer *optimizer, fsfm_device *dev,
                                  const fsfm_adamw_update *update, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
