/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/last_block.h"

void fsfm_last_block_bind(fsfm_last_block *last, const fsfm_weights *weights, const char *prefix, int64_t i,
                          const fsfm_block_sizes *sizes, int64_t T)
{
    *last = (fsfm_last_block){.C = sizes->C, .H = sizes->H, .T = T};
    fsfm_block_bind(&last->block, weights, prefix, i, sizes);
}

static void layout_attention(fsfm_last_block *last, const fsfm_layout *layout, int64_t B, int64_t R)
{
    const int64_t N = B * last->T, picked = B * R, C = last->C;
    fsfm_layout_acts(layout, FSFM_BUFFER_CHEAP, N * C, &last->normed);
    fsfm_layout_acts(layout, FSFM_BUFFER_CHEAP, picked * C, &last->normed_picked);
    fsfm_layout_acts(layout, FSFM_BUFFER_INNER, picked * C, &last->q);
    fsfm_layout_acts(layout, FSFM_BUFFER_INNER, N * 2 * C, &last->kv);
    fsfm_layout_acts(layout, FSFM_BUFFER_INNER, picked * C, &last->attended);
    fsfm_layout_floats(layout, FSFM_BUFFER_STATISTICS, picked * last->H, &last->log_sum);
    fsfm_norm_stats_layout(&last->stats, layout, N);
    fsfm_layout_acts(layout, FSFM_BUFFER_GRADIENT, picked * C, &last->dattended);
    fsfm_layout_acts(layout, FSFM_BUFFER_GRADIENT, picked * C, &last->dq);
    fsfm_layout_acts(layout, FSFM_BUFFER_GRADIENT, N * 2 * C, &last->dkv);
    fsfm_layout_acts(layout, FSFM_BUFFER_GRADIENT, N * C, &last->dnormed);
    last->is_kept = layout->keeps != FSFM_KEEPS_MOST;
}

/* mlp.x, the stream between the halves, is used by both: it is kept, and without gradients it is the result
 * too. */
void fsfm_last_block_layout(fsfm_last_block *last, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                            int64_t R, fsfm_keeps keeps, const float *x)
{
    const fsfm_layout layout = {arena, dev, keeps, FSFM_AREA_KEPT};
    last->x = x;
    last->mlp.x = last->mlp.out = fsfm_arena_floats(arena, B * R * last->C);
    if (keeps != FSFM_KEEPS_NOTHING) last->mlp.out = fsfm_arena_floats(arena, B * R * last->C);
    layout_attention(last, &layout, B, R);
    fsfm_mlp_layout(&last->block.mlp, &last->mlp, &layout, B * R);
}

void fsfm_last_block_layout_work(fsfm_last_block *last, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                                 int64_t R, fsfm_keeps keeps)
{
    const fsfm_layout layout = {arena, dev, keeps, FSFM_AREA_BLOCK};
    layout_attention(last, &layout, B, R);
    fsfm_mlp_layout(&last->block.mlp, &last->mlp, &layout, B * R);
    fsfm_arena attention = *arena, mlp = *arena;
    layout_attention(last, &(fsfm_layout){&attention, dev, keeps, FSFM_AREA_HALF}, B, R);
    fsfm_mlp_layout(&last->block.mlp, &last->mlp, &(fsfm_layout){&mlp, dev, keeps, FSFM_AREA_HALF}, B * R);
    fsfm_arena_cover(arena, &attention);
    fsfm_arena_cover(arena, &mlp);
}

static fsfm_linear query_layer(const fsfm_device *dev, const fsfm_last_block *last)
{
    return fsfm_linear_rows(dev, &last->block.attention.qkv, 0, last->C);
}

static fsfm_linear key_value_layer(const fsfm_device *dev, const fsfm_last_block *last)
{
    return fsfm_linear_rows(dev, &last->block.attention.qkv, last->C, 2 * last->C);
}

/* out (B, R, C): the predicted tokens of x (B, T, C), both floats if is_float. */
static fsfm_status pick(fsfm_device *dev, const fsfm_last_block *last, const fsfm_network_view *view,
                        bool is_float, const void *x, void *out, fsfm_error *err)
{
    const fsfm_pick_args args = {
        .B = view->B,
        .T = last->T,
        .R = view->R,
        .C = last->C,
        .is_float = is_float,
        .x = x,
        .index = view->predicted,
        .out = out,
    };
    return dev->ops->pick(dev, &args, err);
}

static fsfm_status add_picked(fsfm_device *dev, const fsfm_last_block *last, const fsfm_network_view *view,
                              const fsfm_act *picked, fsfm_act *to, fsfm_error *err)
{
    const fsfm_pick_backward_args args = {
        .B = view->B,
        .T = last->T,
        .R = view->R,
        .C = last->C,
        .x = picked,
        .index = view->predicted,
        .y = to,
    };
    return dev->ops->pick_backward(dev, &args, err);
}

static fsfm_status attend(fsfm_device *dev, const fsfm_last_block *last, const fsfm_network_view *view,
                          fsfm_error *err)
{
    const int64_t C = last->C;
    const fsfm_attention_args args = {
        .B = view->B,
        .Tq = view->R,
        .T = last->T,
        .H = last->H,
        .D = C / last->H,
        .last_multiplicity = 1.0f,
        .q = last->q,
        .k = last->kv,
        .v = fsfm_act_after(dev, last->kv, C),
        .q_stride = C,
        .kv_stride = 2 * C,
        .out = last->attended,
        .log_sum = last->log_sum,
    };
    return dev->ops->attention(dev, &args, err);
}

fsfm_status fsfm_last_block_forward(fsfm_device *dev, const fsfm_last_block *last,
                                    const fsfm_network_view *view, fsfm_error *err)
{
    const fsfm_attention *attention = &last->block.attention;
    const fsfm_linear query = query_layer(dev, last), key_value = key_value_layer(dev, last);
    const int64_t N = view->B * last->T, picked = view->B * view->R;
    FSFM_TRY(fsfm_norm_forward(dev, &attention->norm, N, last->x, last->normed, &last->stats, err));
    FSFM_TRY(pick(dev, last, view, false, last->normed, last->normed_picked, err));
    FSFM_TRY(fsfm_linear_forward(dev, &key_value, N, last->normed, last->kv, err));
    FSFM_TRY(fsfm_linear_forward(dev, &query, picked, last->normed_picked, last->q, err));
    FSFM_TRY(attend(dev, last, view, err));
    FSFM_TRY(pick(dev, last, view, true, last->x, last->mlp.x, err));
    FSFM_TRY(fsfm_linear_stream_forward(dev, &attention->proj, picked, last->attended, last->mlp.x,
                                        last->mlp.x, err));
    return fsfm_mlp_forward(dev, &last->block.mlp, &last->mlp, picked, err);
}

/* From dattended to dq and dkv. */
static fsfm_status attend_backward(fsfm_device *dev, const fsfm_last_block *last,
                                   const fsfm_network_view *view, fsfm_error *err)
{
    const int64_t C = last->C;
    const fsfm_attention_backward_args args = {
        .B = view->B,
        .Tq = view->R,
        .T = last->T,
        .H = last->H,
        .D = C / last->H,
        .last_multiplicity = 1.0f,
        .q = last->q,
        .k = last->kv,
        .v = fsfm_act_after(dev, last->kv, C),
        .q_stride = C,
        .kv_stride = 2 * C,
        .out = last->attended,
        .dout = last->dattended,
        .log_sum = last->log_sum,
        .dq = last->dq,
        .dk = last->dkv,
        .dv = fsfm_act_after(dev, last->dkv, C),
    };
    return dev->ops->attention_backward(dev, &args, err);
}

/* From dq and dkv to dnormed. */
static fsfm_status project_backward(fsfm_device *dev, const fsfm_last_block *last,
                                    const fsfm_network_view *view, fsfm_error *err)
{
    const fsfm_linear query = query_layer(dev, last), key_value = key_value_layer(dev, last);
    const int64_t N = view->B * last->T, picked = view->B * view->R;
    fsfm_act *dnormed_picked = last->dattended;
    if (!last->is_kept) {
        FSFM_TRY(
            fsfm_norm_again(dev, &last->block.attention.norm, N, last->x, last->normed, &last->stats, err));
        FSFM_TRY(pick(dev, last, view, false, last->normed, last->normed_picked, err));
    }
    FSFM_TRY(
        fsfm_linear_backward(dev, &key_value, N, last->normed, last->dkv, last->dnormed, FSFM_SETS, err));
    FSFM_TRY(fsfm_linear_backward(dev, &query, picked, last->normed_picked, last->dq, dnormed_picked,
                                  FSFM_SETS, err));
    return add_picked(dev, last, view, dnormed_picked, last->dnormed, err);
}

fsfm_status fsfm_last_block_backward(fsfm_device *dev, const fsfm_last_block *last,
                                     const fsfm_network_view *view, fsfm_act *dout, fsfm_act *dstream,
                                     fsfm_error *err)
{
    const fsfm_attention *attention = &last->block.attention;
    const int64_t N = view->B * last->T, picked = view->B * view->R;
    FSFM_TRY(fsfm_mlp_backward(dev, &last->block.mlp, &last->mlp, picked, dout, err));
    FSFM_TRY(fsfm_linear_backward(dev, &attention->proj, picked, last->attended, dout, last->dattended,
                                  FSFM_SETS, err));
    FSFM_TRY(attend_backward(dev, last, view, err));
    FSFM_TRY(project_backward(dev, last, view, err));
    FSFM_TRY(fsfm_norm_backward(dev, &attention->norm, N, last->x, last->normed, &last->stats, last->dnormed,
                                dstream, FSFM_SETS, err));
    return add_picked(dev, last, view, dout, dstream, err);
}
