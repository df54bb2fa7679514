/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/layers.h"

fsfm_status fsfm_linear_forward(fsfm_device *dev, const fsfm_linear *layer, int64_t N, const fsfm_act *x,
                                const fsfm_act *residual, fsfm_act *y, fsfm_error *err)
{
    const fsfm_linear_args args = {
        .N = N,
        .Cin = layer->in,
        .Cout = layer->out,
        .x = x,
        .weight = layer->w.weight.value,
        .bias = layer->w.bias.value,
        .residual = residual,
        .out = y,
    };
    return dev->ops->linear(dev, &args, err);
}

fsfm_status fsfm_linear_backward(fsfm_device *dev, const fsfm_linear *layer, int64_t N, const fsfm_act *x,
                                 const fsfm_act *dy, fsfm_act *dx, fsfm_write write, fsfm_error *err)
{
    const fsfm_linear_backward_args args = {
        .N = N,
        .Cin = layer->in,
        .Cout = layer->out,
        .x = x,
        .weight = layer->w.weight.value,
        .dout = dy,
        .dx = dx,
        .dx_adds = write == FSFM_ADDS,
        .dweight = layer->w.weight.grad,
        .dbias = layer->w.bias.grad,
    };
    return dev->ops->linear_backward(dev, &args, err);
}

fsfm_status fsfm_norm_forward(fsfm_device *dev, const fsfm_norm *layer, int64_t N, const fsfm_act *x,
                              fsfm_act *y, const fsfm_norm_stats *stats, fsfm_error *err)
{
    const fsfm_layernorm_args args = {
        .N = N,
        .C = layer->width,
        .eps = layer->eps,
        .relu = layer->relu,
        .x = x,
        .weight = layer->w.weight.value,
        .bias = layer->w.bias.value,
        .out = y,
        .mean = stats->mean,
        .rstd = stats->rstd,
    };
    return dev->ops->layernorm(dev, &args, err);
}

fsfm_status fsfm_norm_backward(fsfm_device *dev, const fsfm_norm *layer, int64_t N, const fsfm_act *x,
                               const fsfm_act *y, const fsfm_norm_stats *stats, const fsfm_act *dy,
                               fsfm_act *dx, fsfm_write write, fsfm_error *err)
{
    const fsfm_layernorm_backward_args args = {
        .N = N,
        .C = layer->width,
        .relu = layer->relu,
        .x = x,
        .out = y,
        .dout = dy,
        .weight = layer->w.weight.value,
        .mean = stats->mean,
        .rstd = stats->rstd,
        .dx = dx,
        .dx_adds = write == FSFM_ADDS,
        .dweight = layer->w.weight.grad,
        .dbias = layer->w.bias.grad,
    };
    return dev->ops->layernorm_backward(dev, &args, err);
}
