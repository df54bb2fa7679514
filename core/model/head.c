/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/head.h"

static const float head_eps = 1e-5f;

void fsfm_head_bind(fsfm_head *head, const fsfm_weights *weights, const char *name, int64_t in,
                    int64_t hidden, int64_t out)
{
    *head = (fsfm_head){
        .first = {fsfm_weights_pair(weights, "%s.projection_head.0", name), in, hidden},
        .norm = {fsfm_weights_pair(weights, "%s.projection_head.1", name), hidden, head_eps, true, false},
        .last = {fsfm_weights_pair(weights, "%s.projection_head.3", name), hidden, out},
    };
}

void fsfm_head_layout(fsfm_head *head, fsfm_arena *arena, const fsfm_device *dev, int64_t B, fsfm_keeps keeps)
{
    head->hidden = fsfm_arena_acts(arena, dev, B * head->first.out);
    head->active = fsfm_arena_acts(arena, dev, B * head->first.out);
    head->out = fsfm_arena_acts(arena, dev, B * head->last.out);
    head->stats = (fsfm_norm_stats){NULL, NULL};
    if (keeps == FSFM_KEEPS_NOTHING) return;
    head->dhidden = fsfm_arena_acts(arena, dev, B * head->first.out);
    head->stats.mean = fsfm_arena_floats(arena, B);
    head->stats.rstd = fsfm_arena_floats(arena, B);
}

fsfm_status fsfm_head_forward(fsfm_device *dev, const fsfm_head *head, int64_t B, const fsfm_act *x,
                              fsfm_error *err)
{
    FSFM_TRY(fsfm_linear_forward(dev, &head->first, B, x, head->hidden, err));
    FSFM_TRY(fsfm_norm_forward(dev, &head->norm, B, head->hidden, head->active, &head->stats, err));
    return fsfm_linear_forward(dev, &head->last, B, head->active, head->out, err);
}

fsfm_status fsfm_head_backward(fsfm_device *dev, const fsfm_head *head, int64_t B, const fsfm_act *x,
                               const fsfm_act *dout, fsfm_act *dx, fsfm_error *err)
{
    FSFM_TRY(fsfm_linear_backward(dev, &head->last, B, head->active, dout, head->dhidden, FSFM_SETS, err));
    FSFM_TRY(fsfm_norm_backward(dev, &head->norm, B, head->hidden, head->active, &head->stats, head->dhidden,
                                head->dhidden, FSFM_SETS, err));
    return fsfm_linear_backward(dev, &head->first, B, x, head->dhidden, dx, FSFM_SETS, err);
}
