/* SPDX-License-Identifier: Apache-2.0
 * core/model/mlp.h - the second half of a transformer block: out = x + fc2(GELU(fc1(norm x))). */
#ifndef FSFM_CORE_MODEL_MLP_H
#define FSFM_CORE_MODEL_MLP_H

#include "core/model/layers.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int64_t C, F; /* width of the stream, and hidden */
    fsfm_norm norm;
    fsfm_linear fc1, fc2;
} fsfm_mlp;

typedef struct {
    float *x, *out;    /* (N, C): the block's; one buffer without gradients */
    fsfm_act *normed;  /* (N, C) */
    fsfm_act *hidden;  /* (N, F), before GELU */
    fsfm_act *active;  /* (N, F), after GELU; hidden itself without gradients */
    fsfm_act *dhidden; /* (N, F) */
    fsfm_act *dnormed; /* (N, C) */
    fsfm_norm_stats stats;
    bool is_kept; /* normed and active hold forward's results until backward */
} fsfm_mlp_acts;

/* The layers PREFIX.norm2, PREFIX.mlp.fc1, PREFIX.mlp.fc2. */
void fsfm_mlp_bind(fsfm_mlp *mlp, const fsfm_weights *weights, const char *prefix, int64_t C, int64_t F,
                   float eps);
/* All but x and out, for N rows. */
void fsfm_mlp_layout(const fsfm_mlp *mlp, fsfm_mlp_acts *acts, const fsfm_layout *layout, int64_t N);
FSFM_MUST_USE
fsfm_status fsfm_mlp_forward(fsfm_device *dev, const fsfm_mlp *mlp, const fsfm_mlp_acts *acts, int64_t N,
                             fsfm_error *err);
/* What backward needs of forward: all but out. */
FSFM_MUST_USE
fsfm_status fsfm_mlp_forward_inner(fsfm_device *dev, const fsfm_mlp *mlp, const fsfm_mlp_acts *acts,
                                   int64_t N, fsfm_error *err);
/* dstream (N, C): gradient of out on entry, of x on return. */
FSFM_MUST_USE
fsfm_status fsfm_mlp_backward(fsfm_device *dev, const fsfm_mlp *mlp, const fsfm_mlp_acts *acts, int64_t N,
                              fsfm_act *dstream, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
