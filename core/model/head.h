/* SPDX-License-Identifier: Apache-2.0
 * core/model/head.h - projector and predictor: Linear, LayerNorm (eps 1e-5), ReLU, Linear. For a device that
 * computes in fp32 (fsfm_device's whole): so its matrices of weights are kept. */
#ifndef FSFM_CORE_MODEL_HEAD_H
#define FSFM_CORE_MODEL_HEAD_H

#include "core/model/layers.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    fsfm_linear first, last;
    fsfm_norm norm;
    /* activations */
    fsfm_act *hidden; /* (B, hidden) */
    fsfm_act *active; /* (B, hidden), after norm and ReLU */
    fsfm_act *out;    /* (B, out) */
    fsfm_act *dhidden;
    fsfm_norm_stats stats;
} fsfm_head;

void fsfm_head_bind(fsfm_head *head, const fsfm_weights *weights, const char *name, int64_t in,
                    int64_t hidden, int64_t out);
void fsfm_head_layout(fsfm_head *head, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                      fsfm_keeps keeps);
FSFM_MUST_USE
fsfm_status fsfm_head_forward(fsfm_device *dev, const fsfm_head *head, int64_t B, const fsfm_act *x,
                              fsfm_error *err);
/* dx (B, in) is set. */
FSFM_MUST_USE
fsfm_status fsfm_head_backward(fsfm_device *dev, const fsfm_head *head, int64_t B, const fsfm_act *x,
                               const fsfm_act *dout, fsfm_act *dx, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
