/* SPDX-License-Identifier: Apache-2.0
 * core/model/layers.h - linear layers and layer norms bound to their weights: the shapes said once. */
#ifndef FSFM_CORE_MODEL_LAYERS_H
#define FSFM_CORE_MODEL_LAYERS_H

#include "core/model/layout.h"
#include "core/model/weights.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    fsfm_weight_pair w; /* weight (out, in), bias (out) */
    int64_t in, out;
} fsfm_linear;

/* The layer of count of the outputs, from first on. */
fsfm_linear fsfm_linear_rows(const fsfm_device *dev, const fsfm_linear *layer, int64_t first, int64_t count);
/* y (N, out) = x W^T + b. */
FSFM_MUST_USE
fsfm_status fsfm_linear_forward(fsfm_device *dev, const fsfm_linear *layer, int64_t N, const fsfm_act *x,
                                fsfm_act *y, fsfm_error *err);
/* The same with the weights as they were before rounding, to about 16 bits: as one product with the rounded
 * ones and one with their rest (out, in), which is set. */
FSFM_MUST_USE
fsfm_status fsfm_linear_whole_forward(fsfm_device *dev, const fsfm_linear *layer, int64_t N,
                                      const fsfm_act *x, fsfm_act *rest, fsfm_act *y, fsfm_error *err);
/* Into the residual stream (floats): + residual where not NULL (may be y). */
FSFM_MUST_USE
fsfm_status fsfm_linear_stream_forward(fsfm_device *dev, const fsfm_linear *layer, int64_t N,
                                       const fsfm_act *x, const float *residual, float *y, fsfm_error *err);
/* hidden (N, out) = x W^T + b; active (N, out) = GELU(hidden), may be hidden, which is then not kept. */
FSFM_MUST_USE
fsfm_status fsfm_linear_gelu_forward(fsfm_device *dev, const fsfm_linear *layer, int64_t N, const fsfm_act *x,
                                     fsfm_act *hidden, fsfm_act *active, fsfm_error *err);
typedef enum { FSFM_SETS, FSFM_ADDS } fsfm_write;
/* Adds the weights' gradients; dx (N, in), where not NULL, is set or added to. */
FSFM_MUST_USE
fsfm_status fsfm_linear_backward(fsfm_device *dev, const fsfm_linear *layer, int64_t N, const fsfm_act *x,
                                 const fsfm_act *dy, fsfm_act *dx, fsfm_write write, fsfm_error *err);
/* The same where x is active (N, in) = GELU(hidden): sets dhidden (N, in). is_known: active holds what
 * forward set; else it is computed again into it. */
FSFM_MUST_USE
fsfm_status fsfm_linear_gelu_backward(fsfm_device *dev, const fsfm_linear *layer, int64_t N,
                                      const fsfm_act *hidden, fsfm_act *active, bool is_known,
                                      const fsfm_act *dy, fsfm_act *dhidden, fsfm_error *err);

typedef struct {
    fsfm_weight_pair w;
    int64_t width;
    float eps;
    bool relu;
    bool of_stream; /* x is the residual stream: floats */
} fsfm_norm;

/* The statistics that backward wants; both NULL: not kept. */
typedef struct {
    float *mean, *rstd; /* (N) */
} fsfm_norm_stats;

void fsfm_norm_stats_layout(fsfm_norm_stats *stats, const fsfm_layout *layout, int64_t N);
FSFM_MUST_USE
fsfm_status fsfm_norm_forward(fsfm_device *dev, const fsfm_norm *layer, int64_t N, const void *x, fsfm_act *y,
                              const fsfm_norm_stats *stats, fsfm_error *err);
/* y once more, from the statistics that forward kept: the same bits. */
FSFM_MUST_USE
fsfm_status fsfm_norm_again(fsfm_device *dev, const fsfm_norm *layer, int64_t N, const void *x, fsfm_act *y,
                            const fsfm_norm_stats *stats, fsfm_error *err);
/* y: forward's result, read if the layer has a ReLU. dx may be dy where it is set. */
FSFM_MUST_USE
fsfm_status fsfm_norm_backward(fsfm_device *dev, const fsfm_norm *layer, int64_t N, const void *x,
                               const fsfm_act *y, const fsfm_norm_stats *stats, const fsfm_act *dy,
                               fsfm_act *dx, fsfm_write write, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
