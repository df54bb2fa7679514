/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/layers.h"

fsfm_linear fsfm_linear_rows(const fsfm_device *dev, const fsfm_linear *layer, int64_t first, int64_t count)
{
    fsfm_linear rows = *layer;
    rows.out = count;
    rows.w.weight.value = fsfm_act_after(dev, layer->w.weight.value, first * layer->in);
    rows.w.bias.value = (const float *)layer->w.bias.value + first;
    if (layer->w.weight.grad) rows.w.weight.grad = layer->w.weight.grad + first * layer->in;
    if (layer->w.bias.grad) rows.w.bias.grad = layer->w.bias.grad + first;
    return rows;
}

static fsfm_linear_args forward_args(const fsfm_linear *layer, int64_t N, const fsfm_act *x, void *out)
{
    return (fsfm_linear_args){
        .N = N,
        .Cin = layer->in,
        .Cout = layer->out,
        .x = x,
        .weight = layer->w.weight.value,
        .bias = layer->w.bias.value,
        .out = out,
    };
}

fsfm_status fsfm_linear_forward(fsfm_device *dev, const fsfm_linear *layer, int64_t N, const fsfm_act *x,
                                fsfm_act *y, fsfm_error *err)
{
    const fsfm_linear_args args = forward_args(layer, N, x, y);
    return dev->ops->linear(dev, &args, err);
}

fsfm_status fsfm_linear_whole_forward(fsfm_device *dev, const fsfm_linear *layer, int64_t N,
                                      const fsfm_act *x, fsfm_act *rest, fsfm_act *y, fsfm_error *err)
{
    fsfm_linear_args args = forward_args(layer, N, x, y);
    FSFM_TRY(dev->ops->matrix_rest(dev, layer->in * layer->out, layer->w.weight.value, rest, err));
    args.weight = rest;
    args.bias = NULL;
    FSFM_TRY(dev->ops->linear(dev, &args, err));
    args = forward_args(layer, N, x, y);
    args.residual = y;
    return dev->ops->linear(dev, &args, err);
}

fsfm_status fsfm_linear_stream_forward(fsfm_device *dev, const fsfm_linear *layer, int64_t N,
                                       const fsfm_act *x, const float *residual, float *y, fsfm_error *err)
{
    fsfm_linear_args args = forward_args(layer, N, x, y);
    args.out_is_float = true;
    args.residual = residual;
    return dev->ops->linear(dev, &args, err);
}

fsfm_status fsfm_linear_gelu_forward(fsfm_device *dev, const fsfm_linear *layer, int64_t N, const fsfm_act *x,
                                     fsfm_act *hidden, fsfm_act *active, fsfm_error *err)
{
    fsfm_linear_args args = forward_args(layer, N, x, hidden);
    args.active = active;
    return dev->ops->linear(dev, &args, err);
}

static fsfm_linear_backward_args backward_args(const fsfm_linear *layer, int64_t N, const fsfm_act *x,
                                               const fsfm_act *dy, fsfm_act *dx)
{
    return (fsfm_linear_backward_args){
        .N = N,
        .Cin = layer->in,
        .Cout = layer->out,
        .x = x,
        .weight = layer->w.weight.value,
        .dout = dy,
        .dx = dx,
        .dweight = layer->w.weight.grad,
        .dbias = layer->w.bias.grad,
    };
}

fsfm_status fsfm_linear_backward(fsfm_device *dev, const fsfm_linear *layer, int64_t N, const fsfm_act *x,
                                 const fsfm_act *dy, fsfm_act *dx, fsfm_write write, fsfm_error *err)
{
    fsfm_linear_backward_args args = backward_args(layer, N, x, dy, dx);
    args.dx_adds = write == FSFM_ADDS;
    return dev->ops->linear_backward(dev, &args, err);
}

fsfm_status fsfm_linear_gelu_backward(fsfm_device *dev, const fsfm_linear *layer, int64_t N,
                                      const fsfm_act *hidden, fsfm_act *active, bool is_known,
                                      const fsfm_act *dy, fsfm_act *dhidden, fsfm_error *err)
{
    fsfm_linear_backward_args args = backward_args(layer, N, is_known ? active : NULL, dy, dhidden);
    args.hidden = hidden;
    args.active = is_known ? NULL : active;
    return dev->ops->linear_backward(dev, &args, err);
}

void fsfm_norm_stats_layout(fsfm_norm_stats *stats, const fsfm_layout *layout, int64_t N)
{
    fsfm_layout_floats(layout, FSFM_BUFFER_STATISTICS, N, &stats->mean);
    fsfm_layout_floats(layout, FSFM_BUFFER_STATISTICS, N, &stats->rstd);
}

static fsfm_status norm(fsfm_device *dev, const fsfm_norm *layer, int64_t N, const void *x, fsfm_act *y,
                        const fsfm_norm_stats *stats, bool is_known, fsfm_error *err)
{
    const fsfm_layernorm_args args = {
        .N = N,
        .C = layer->width,
        .eps = layer->eps,
        .relu = layer->relu,
        .is_known = is_known,
        .x_is_float = layer->of_stream,
        .x = x,
        .weight = layer->w.weight.value,
        .bias = layer->w.bias.value,
        .out = y,
        .mean = stats->mean,
        .rstd = stats->rstd,
    };
    return dev->ops->layernorm(dev, &args, err);
}

fsfm_status fsfm_norm_forward(fsfm_device *dev, const fsfm_norm *layer, int64_t N, const void *x, fsfm_act *y,
                              const fsfm_norm_stats *stats, fsfm_error *err)
{
    return norm(dev, layer, N, x, y, stats, false, err);
}

fsfm_status fsfm_norm_again(fsfm_device *dev, const fsfm_norm *layer, int64_t N, const void *x, fsfm_act *y,
                            const fsfm_norm_stats *stats, fsfm_error *err)
{
    return norm(dev, layer, N, x, y, stats, true, err);
}

fsfm_status fsfm_norm_backward(fsfm_device *dev, const fsfm_norm *layer, int64_t N, const void *x,
                               const fsfm_act *y, const fsfm_norm_stats *stats, const fsfm_act *dy,
                               fsfm_act *dx, fsfm_write write, fsfm_error *err)
{
    const fsfm_layernorm_backward_args args = {
        .N = N,
        .C = layer->width,
        .relu = layer->relu,
        .x_is_float = layer->of_stream,
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
