/* SPDX-License-Identifier: Apache-2.0
 * core/device/adamw.h - what the operation adamw reads of its arguments on the device, as the host makes it.
 */
#ifndef FSFM_CORE_DEVICE_ADAMW_H
#define FSFM_CORE_DEVICE_ADAMW_H

#include "core/device/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Update t, from 1 on: p -= lr (mhat / (sqrt(vhat) + eps) + decay p), where mhat and vhat are the moments
 * over 1 - beta^t; target = momentum target + (1 - momentum) p. */
typedef struct {
    int64_t t;
    double lr, beta1, beta2, eps, decay, grad_scale, momentum;
} fsfm_adamw_update;
fsfm_adamw_numbers fsfm_adamw_numbers_of(const fsfm_adamw_update *update);

/* Cuts a tensor (first is not looked at) into pieces, in their order, and returns how many. out NULL: only
 * that. */
int64_t fsfm_adamw_cut(const fsfm_adamw_piece *tensor, fsfm_adamw_piece *out);

#ifdef __cplusplus
}
#endif
#endif
