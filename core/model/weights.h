/* SPDX-License-Identifier: Apache-2.0
 * core/model/weights.h - a network's tensors by name: where their values and gradients lie on the device. */
#ifndef FSFM_CORE_MODEL_WEIGHTS_H
#define FSFM_CORE_MODEL_WEIGHTS_H

#include "core/model/parameters.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const void *value; /* floats; of a matrix: fsfm_act, as device.h has it */
    float *grad;       /* NULL: no gradient is wanted */
    int64_t offset;    /* in the arrays, in floats */
} fsfm_weight;

typedef struct {
    const fsfm_parameters *list;
    const float *values; /* device array in the layout of list; NULL: only shapes matter */
    float *grads;        /* the same, or NULL */
} fsfm_weights;

typedef struct {
    fsfm_weight weight, bias;
} fsfm_weight_pair;

/* By name, which must be in the list (asserted: names are ours). */
fsfm_weight fsfm_weights_get(const fsfm_weights *weights, const char *fmt, ...) FSFM_PRINTF(2, 3);
/* "NAME.weight" and "NAME.bias". */
fsfm_weight_pair fsfm_weights_pair(const fsfm_weights *weights, const char *fmt, ...) FSFM_PRINTF(2, 3);

#ifdef __cplusplus
}
#endif
#endif
