/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/mlp.h"

void fsfm_mlp_bind(fsfm_mlp *mlp, const fsfm_weights *weights, const char *prefix, int64_t C, int64_t F,
                   float eps)
{
    *mlp = (fsfm_mlp){
        .C = C,
        .F = F,
        .norm = {fsfm_weights_pair(weights, "%s.norm2", prefix), C, eps, false, true},
        .fc1 = {fsfm_weights_pair(weights, "%s.mlp.fc1", prefix), C, F},
        .fc2 = {fsfm_weights_pair(weights, "%s.mlp.fc2", prefix), F, C},
    };
}

void fsfm_mlp_layout(const fsfm_mlp *mlp, fsfm_mlp_acts *acts, const fsfm_layout *layout, int64_t N)
{
    fsfm_layout_acts(layout, FSFM_BUFFER_CHEAP, N * mlp->C, &acts->normed);
    fsfm_layout_acts(layout, FSFM_BUFFER_INNER, N * mlp->F, &acts->hidden);
    if (layout->keeps == FSFM_KEEPS_NOTHING)
        acts->active = acts->hidden;
    else
        fsfm_layout_acts(layout, FSFM_BUFFER_CHEAP, N * mlp->F, &acts->active);
    fsfm_norm_stats_layout(&acts->stats, layout, N);
    fsfm_layout_acts(layout, FSFM_BUFFER_GRADIENT, N * mlp->F, &acts->dhidden);
    fsfm_layout_acts(layout, FSFM_BUFFER_GRADIENT, N * mlp->C, &acts->dnormed);
    acts->is_kept = layout->keeps != FSFM_KEEPS_MOST;
}

fsfm_status fsfm_mlp_forward_inner(fsfm_device *dev, const fsfm_mlp *mlp, const fsfm_mlp_acts *acts,
                                   int64_t N, fsfm_error *err)
{
    FSFM_TRY(fsfm_norm_forward(dev, &mlp->norm, N, acts->x, acts->normed, &acts->stats, err));
    return fsfm_linear_gelu_forward(dev, &mlp->fc1, N, acts->normed, acts->hidden, acts->active, err);
}

fsfm_status fsfm_mlp_forward(fsfm_device *dev, const fsfm_mlp *mlp, const fsfm_mlp_acts *acts, int64_t N,
                             fsfm_error *err)
{
    FSFM_TRY(fsfm_mlp_forward_inner(dev, mlp, acts, N, err));
    return fsfm_linear_stream_forward(dev, &mlp->fc2, N, acts->active, acts->x, acts->out, err);
}

fsfm_status fsfm_mlp_backward(fsfm_device *dev, const fsfm_mlp *mlp, const fsfm_mlp_acts *acts, int64_t N,
                              fsfm_act *dstream, fsfm_error *err)
{
    if (!acts->is_kept)
        FSFM_TRY(fsfm_norm_again(dev, &mlp->norm, N, acts->x, acts->normed, &acts->stats, err));
    FSFM_TRY(fsfm_linear_gelu_backward(dev, &mlp->fc2, N, acts->hidden, acts->active, acts->is_kept, dstream,
                                       acts->dhidden, err));
    FSFM_TRY(
        fsfm_linear_backward(dev, &mlp->fc1, N, acts->normed, acts->dhidden, acts->dnormed, FSFM_SETS, err));
    return fsfm_norm_backward(dev, &mlp->norm, N, acts->x, acts->normed, &acts->stats, acts->dnormed, dstream,
                              FSFM_ADDS, err);
}
