/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/first_block.h"

void fsfm_first_block_bind(fsfm_first_block *first, const fsfm_weights *weights, const char *prefix,
                           const fsfm_block_sizes *sizes, int64_t K, int64_t L)
{
    *first = (fsfm_first_block){.C = sizes->C, .K = K, .L = L};
    fsfm_block_bind(&first->block, weights, prefix, 0, sizes);
}

static void layout_table(fsfm_first_block *first, fsfm_arena *arena, const fsfm_device *dev)
{
    fsfm_mask_table *table = &first->table;
    const int64_t L = first->L, C = first->C;
    *table = (fsfm_mask_table){0};
    table->stream = fsfm_arena_floats(arena, (1 + L) * C);
    table->normed = fsfm_arena_acts(arena, dev, L * C);
    table->qkv = fsfm_arena_acts(arena, dev, L * 3 * C);
    if (first->keeps == FSFM_KEEPS_NOTHING) return;
    table->stats.mean = fsfm_arena_floats(arena, L);
    table->stats.rstd = fsfm_arena_floats(arena, L);
    table->dqkv = fsfm_arena_floats(arena, L * 3 * C);
    table->dstream = fsfm_arena_floats(arena, L * C);
    table->dqkv_act = fsfm_arena_acts(arena, dev, L * 3 * C);
    table->dnormed = fsfm_arena_acts(arena, dev, L * C);
    table->dtokens = fsfm_arena_acts(arena, dev, (1 + L) * C);
}

/* Attention's x and out are one buffer: backward takes the norm's input from seen. */
static void layout_attention(fsfm_first_block *first, const fsfm_layout *layout, int64_t B)
{
    const int64_t M = B * (1 + first->K), T = 1 + first->L, C = first->C;
    fsfm_layout_floats(layout, FSFM_BUFFER_INPUT, M * C, &first->input);
    fsfm_layout_floats(layout, FSFM_BUFFER_INNER, M * C, &first->seen);
    fsfm_layout_acts(layout, FSFM_BUFFER_PASSING, M * 3 * C, &first->qkv_seen);
    fsfm_attention_layout(&first->block.attention, &first->acts.attention, layout, B, T, M);
}

static void layout_stream(fsfm_first_block *first, const fsfm_layout *layout, int64_t B)
{
    fsfm_block_acts *acts = &first->acts;
    if (layout->keeps == FSFM_KEEPS_NOTHING)
        acts->attention.out = acts->mlp.out;
    else
        fsfm_layout_floats(layout, FSFM_BUFFER_INNER, B * (1 + first->L) * first->C, &acts->attention.out);
    acts->attention.x = acts->mlp.x = acts->attention.out;
}

void fsfm_first_block_layout(fsfm_first_block *first, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                             fsfm_keeps keeps, float *out)
{
    const fsfm_layout layout = {arena, dev, keeps, FSFM_AREA_KEPT};
    first->keeps = keeps;
    first->acts.mlp.out = out;
    layout_table(first, arena, dev);
    layout_stream(first, &layout, B);
    layout_attention(first, &layout, B);
    fsfm_mlp_layout(&first->block.mlp, &first->acts.mlp, &layout, B * (1 + first->L));
}

void fsfm_first_block_layout_work(fsfm_first_block *first, fsfm_arena *arena, const fsfm_device *dev,
                                  int64_t B)
{
    const fsfm_layout layout = {arena, dev, first->keeps, FSFM_AREA_BLOCK};
    const int64_t N = B * (1 + first->L);
    layout_stream(first, &layout, B);
    layout_attention(first, &layout, B);
    fsfm_mlp_layout(&first->block.mlp, &first->acts.mlp, &layout, N);
    fsfm_arena attention = *arena, mlp = *arena;
    layout_attention(first, &(fsfm_layout){&attention, dev, first->keeps, FSFM_AREA_HALF}, B);
    fsfm_mlp_layout(&first->block.mlp, &first->acts.mlp,
                    &(fsfm_layout){&mlp, dev, first->keeps, FSFM_AREA_HALF}, N);
    fsfm_arena_cover(arena, &attention);
    fsfm_arena_cover(arena, &mlp);
}

fsfm_status fsfm_first_block_begin(fsfm_device *dev, const fsfm_first_block *first,
                                   const float *mask_embedded, fsfm_error *err)
{
    const fsfm_mask_table *table = &first->table;
    const int64_t L = first->L, C = first->C;
    const float *rows = table->stream + C;
    const fsfm_unshuffle_args place = {
        .B = 1,
        .K = 0,
        .L = L,
        .C = C,
        .x = mask_embedded, /* goes to row 0 too */
        .fill = mask_embedded,
        .position = first->position,
        .slot = first->nowhere,
        .is_float = true,
        .out = table->stream,
    };
    FSFM_TRY(dev->ops->unshuffle(dev, &place, err));
    FSFM_TRY(
        fsfm_norm_forward(dev, &first->block.attention.norm, L, rows, table->normed, &table->stats, err));
    FSFM_TRY(fsfm_linear_forward(dev, &first->block.attention.qkv, L, table->normed, table->qkv, err));
    if (first->keeps == FSFM_KEEPS_NOTHING) return FSFM_OK;
    FSFM_TRY(dev->ops->zero(dev, table->dqkv, (size_t)(L * 3 * C) * sizeof(float), err));
    return dev->ops->zero(dev, table->dstream, (size_t)(L * C) * sizeof(float), err);
}

/* The stream of all tokens, and the rows of it that are seen. */
static fsfm_status make_stream(fsfm_device *dev, const fsfm_first_block *first, const fsfm_network_view *view,
                               const float *mask_embedded, fsfm_error *err)
{
    const fsfm_unshuffle_args fill = {
        .B = view->B,
        .K = first->K,
        .L = first->L,
        .C = first->C,
        .x = first->input,
        .fill = mask_embedded,
        .position = first->position,
        .slot = view->slot,
        .is_float = true,
        .out = first->acts.attention.x,
    };
    const fsfm_pick_args pick = {
        .B = view->B,
        .T = 1 + first->L,
        .R = 1 + first->K,
        .C = first->C,
        .is_float = true,
        .x = first->acts.attention.x,
        .index = view->seen,
        .out = first->seen,
    };
    FSFM_TRY(dev->ops->unshuffle(dev, &fill, err));
    return dev->ops->pick(dev, &pick, err);
}

/* Queries, keys and values: of the tokens seen from the tokens, of the others from the table. */
static fsfm_status make_qkv(fsfm_device *dev, const fsfm_first_block *first, const fsfm_network_view *view,
                            fsfm_error *err)
{
    const fsfm_attention *attention = &first->block.attention;
    const fsfm_attention_acts *acts = &first->acts.attention;
    const int64_t M = view->B * (1 + first->K);
    const fsfm_unshuffle_args fill = {
        .B = view->B,
        .K = first->K,
        .L = first->L,
        .C = 3 * first->C,
        .x = first->qkv_seen,
        .fill = first->table.qkv,
        .fill_by_place = true,
        .slot = view->slot,
        .out = acts->qkv,
    };
    FSFM_TRY(fsfm_norm_forward(dev, &attention->norm, M, first->seen, acts->normed, &acts->stats, err));
    FSFM_TRY(fsfm_linear_forward(dev, &attention->qkv, M, acts->normed, first->qkv_seen, err));
    return dev->ops->unshuffle(dev, &fill, err);
}

static fsfm_tokens tokens_of(const fsfm_first_block *first, const fsfm_network_view *view)
{
    return (fsfm_tokens){view->B, 1 + first->L, 1.0f};
}

static fsfm_status attention_forward(fsfm_device *dev, const fsfm_first_block *first,
                                     const fsfm_network_view *view, const float *mask_embedded,
                                     fsfm_error *err)
{
    const fsfm_tokens tokens = tokens_of(first, view);
    FSFM_TRY(make_stream(dev, first, view, mask_embedded, err));
    FSFM_TRY(make_qkv(dev, first, view, err));
    return fsfm_attention_attend(dev, &first->block.attention, &first->acts.attention, &tokens, err);
}

fsfm_status fsfm_first_block_forward(fsfm_device *dev, const fsfm_first_block *first,
                                     const fsfm_network_view *view, const float *mask_embedded,
                                     fsfm_error *err)
{
    FSFM_TRY(attention_forward(dev, first, view, mask_embedded, err));
    return fsfm_mlp_forward(dev, &first->block.mlp, &first->acts.mlp, view->B * (1 + first->L), err);
}

/* Takes dout, (B, 1 + L, width), apart: dx (B, 1 + K, width) is set, dtable (L, width) added to. */
static fsfm_status part_gradient(fsfm_device *dev, const fsfm_first_block *first,
                                 const fsfm_network_view *view, int64_t width, const fsfm_act *dout,
                                 fsfm_act *dx, float *dtable, fsfm_error *err)
{
    const fsfm_unshuffle_backward_args args = {
        .B = view->B,
        .K = first->K,
        .L = first->L,
        .C = width,
        .dout = dout,
        .slot = view->slot,
        .dx = dx,
        .dfill = dtable,
        .fill_by_place = true,
    };
    return dev->ops->unshuffle_backward(dev, &args, err);
}

static fsfm_status attention_backward(fsfm_device *dev, const fsfm_first_block *first,
                                      const fsfm_network_view *view, const fsfm_act *dstream, fsfm_error *err)
{
    const fsfm_attention *attention = &first->block.attention;
    const fsfm_attention_acts *acts = &first->acts.attention;
    const fsfm_tokens tokens = tokens_of(first, view);
    const int64_t M = view->B * (1 + first->K), C = first->C;
    fsfm_act *dnormed = acts->dattended;
    FSFM_TRY(fsfm_attention_attend_backward(dev, attention, acts, &tokens, dstream, err));
    FSFM_TRY(part_gradient(dev, first, view, 3 * C, acts->dqkv, first->qkv_seen, first->table.dqkv, err));
    FSFM_TRY(part_gradient(dev, first, view, C, dstream, first->input, first->table.dstream, err));
    if (!acts->is_kept)
        FSFM_TRY(fsfm_norm_again(dev, &attention->norm, M, first->seen, acts->normed, &acts->stats, err));
    FSFM_TRY(fsfm_linear_backward(dev, &attention->qkv, M, acts->normed, first->qkv_seen, dnormed, FSFM_SETS,
                                  err));
    return fsfm_norm_backward(dev, &attention->norm, M, first->seen, acts->normed, &acts->stats, dnormed,
                              first->input, FSFM_ADDS, err);
}

fsfm_status fsfm_first_block_backward(fsfm_device *dev, const fsfm_first_block *first,
                                      const fsfm_network_view *view, const float *mask_embedded,
                                      fsfm_act *dstream, fsfm_error *err)
{
    const int64_t N = view->B * (1 + first->L);
    if (first->keeps == FSFM_KEEPS_INPUTS) {
        FSFM_TRY(attention_forward(dev, first, view, mask_embedded, err));
        FSFM_TRY(fsfm_mlp_forward_inner(dev, &first->block.mlp, &first->acts.mlp, N, err));
    }
    FSFM_TRY(fsfm_mlp_backward(dev, &first->block.mlp, &first->acts.mlp, N, dstream, err));
    return attention_backward(dev, first, view, dstream, err);
}

fsfm_status fsfm_first_block_end(fsfm_device *dev, const fsfm_first_block *first, float *dmask_embedded,
                                 fsfm_error *err)
{
    const fsfm_attention *attention = &first->block.attention;
    const fsfm_mask_table *table = &first->table;
    const int64_t L = first->L, C = first->C;
    const float *rows = table->stream + C;
    fsfm_act *drows = fsfm_act_after(dev, table->dtokens, C);
    const fsfm_unshuffle_backward_args sum = {
        .B = 1,
        .K = 0,
        .L = L,
        .C = C,
        .dout = table->dtokens,
        .slot = first->nowhere,
        .dx = table->dnormed, /* row 0, which means nothing: free by then */
        .dfill = dmask_embedded,
    };
    FSFM_TRY(dev->ops->to_act(dev, L * 3 * C, table->dqkv, table->dqkv_act, err));
    FSFM_TRY(dev->ops->to_act(dev, L * C, table->dstream, drows, err));
    FSFM_TRY(dev->ops->zero(dev, table->dtokens, (size_t)C * dev->act_bytes, err));
    FSFM_TRY(fsfm_linear_backward(dev, &attention->qkv, L, table->normed, table->dqkv_act, table->dnormed,
                                  FSFM_SETS, err));
    FSFM_TRY(fsfm_norm_backward(dev, &attention->norm, L, rows, table->normed, &table->stats, table->dnormed,
                                drows, FSFM_ADDS, err));
    return dev->ops->unshuffle_backward(dev, &sum, err);
}
