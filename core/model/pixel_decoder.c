/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/pixel_decoder.h"

fsfm_status fsfm_pixel_decoder_bind(fsfm_pixel_decoder *decoder, const fsfm_weights *weights,
                                    const fsfm_model_options *options, int64_t K, bool is_plain,
                                    fsfm_error *err)
{
    const int64_t grid = options->img_size / options->patch_size, L = grid * grid;
    const int64_t C = options->decoder_embed_dim, P = options->patch_size * options->patch_size * 3;
    const int64_t depth = options->decoder_depth;
    const fsfm_block_sizes sizes = {C, options->decoder_num_heads, options->mlp_ratio,
                                    (float)options->ln_eps};
    const char *blocks = "decoder_blocks";
    *decoder = (fsfm_pixel_decoder){.is_plain = is_plain,
                                    .has_first = !is_plain && depth > 1,
                                    .Cin = options->embed_dim,
                                    .C = C,
                                    .P = P,
                                    .K = K,
                                    .L = L,
                                    .rows_most = is_plain ? 1 + L : L};
    decoder->mask_token = fsfm_weights_get(weights, "mask_token");
    decoder->embed = (fsfm_linear){fsfm_weights_pair(weights, "decoder_embed"), decoder->Cin, C};
    decoder->norm = (fsfm_norm){fsfm_weights_pair(weights, "decoder_norm"), C, sizes.eps, false, true};
    decoder->pred = (fsfm_linear){fsfm_weights_pair(weights, "decoder_pred"), C, P};
    if (decoder->has_first) fsfm_first_block_bind(&decoder->first, weights, blocks, &sizes, K, L);
    if (!is_plain) fsfm_last_block_bind(&decoder->last, weights, blocks, depth - 1, &sizes, 1 + L);
    return fsfm_stack_bind(&decoder->stack, weights, blocks, decoder->has_first,
                           depth - decoder->has_first - !is_plain, &sizes, err);
}

void fsfm_pixel_decoder_free(fsfm_pixel_decoder *decoder)
{
    fsfm_stack_free(&decoder->stack);
}

void fsfm_pixel_decoder_layout_pixels(fsfm_pixel_decoder *decoder, fsfm_arena *arena, const fsfm_device *dev,
                                      int64_t B)
{
    decoder->pixels = fsfm_arena_acts(arena, dev, B * decoder->rows_most * decoder->P);
}

/* Of the mask token, once a micro-batch. */
static void layout_mask(fsfm_pixel_decoder *decoder, fsfm_arena *arena, const fsfm_device *dev)
{
    decoder->token = fsfm_arena_acts(arena, dev, decoder->Cin);
    if (decoder->is_plain) return;
    decoder->mask_embedded = fsfm_arena_floats(arena, decoder->C);
    if (decoder->keeps == FSFM_KEEPS_NOTHING) return;
    decoder->dmask_embedded = fsfm_arena_floats(arena, decoder->C);
    decoder->dmask_act = fsfm_arena_acts(arena, dev, decoder->C);
    decoder->dtoken = fsfm_arena_acts(arena, dev, decoder->Cin);
}

/* Before and behind the blocks. */
static void layout_ends(fsfm_pixel_decoder *decoder, fsfm_arena *arena, const fsfm_device *dev)
{
    const int64_t B = decoder->group, N = B * (1 + decoder->L), rows = B * decoder->rows_most;
    if (decoder->is_plain) decoder->filled = fsfm_arena_acts(arena, dev, N * decoder->Cin);
    if (!decoder->has_first)
        decoder->embedded =
            fsfm_arena_floats(arena, decoder->is_plain ? N * decoder->C : B * (1 + decoder->K) * decoder->C);
    decoder->normed = fsfm_arena_acts(arena, dev, rows * decoder->C);
    decoder->stats = (fsfm_norm_stats){NULL, NULL};
    if (decoder->keeps == FSFM_KEEPS_NOTHING) return;
    decoder->dpixels = fsfm_arena_acts(arena, dev, rows * decoder->P);
    decoder->dstream = fsfm_arena_acts(arena, dev, N * decoder->C);
    decoder->dnormed = decoder->dstream;
    if (decoder->is_plain)
        decoder->dfilled = fsfm_arena_acts(arena, dev, N * decoder->Cin);
    else
        decoder->dnormed = fsfm_arena_acts(arena, dev, rows * decoder->C);
    decoder->stats.mean = fsfm_arena_floats(arena, rows);
    decoder->stats.rstd = fsfm_arena_floats(arena, rows);
}

/* Images of a group: equal groups, of twice the rows that the device can use at least to keep it busy. More
 * of them would only take more memory. */
static int64_t group_of(const fsfm_device *dev, int64_t B, int64_t T)
{
    if (dev->useful_rows == 0) return B;
    const int64_t rows = 2 * dev->useful_rows, most = rows / T > 1 ? rows / T : 1;
    const int64_t groups = (B + most - 1) / most;
    return (B + groups - 1) / groups;
}

void fsfm_pixel_decoder_layout(fsfm_pixel_decoder *decoder, fsfm_arena *arena, const fsfm_device *dev,
                               int64_t B, fsfm_keeps keeps)
{
    const int64_t T = 1 + decoder->L, R = decoder->rows_most;
    const int64_t G = group_of(dev, B, T);
    decoder->group = G;
    decoder->keeps = keeps;
    layout_mask(decoder, arena, dev);
    layout_ends(decoder, arena, dev);
    fsfm_stack_layout(&decoder->stack, arena, dev, G, T, keeps);
    if (decoder->has_first)
        fsfm_first_block_layout(&decoder->first, arena, dev, G, keeps, decoder->stack.input);
    if (decoder->has_first) decoder->embedded = decoder->first.input;
    if (!decoder->is_plain)
        fsfm_last_block_layout(&decoder->last, arena, dev, G, R, keeps, decoder->stack.output);
    fsfm_arena first = *arena, last = *arena;
    fsfm_stack_layout_work(&decoder->stack, arena, dev, G, T);
    if (decoder->has_first) fsfm_first_block_layout_work(&decoder->first, &first, dev, G);
    if (!decoder->is_plain) fsfm_last_block_layout_work(&decoder->last, &last, dev, G, R, keeps);
    fsfm_arena_cover(arena, &first);
    fsfm_arena_cover(arena, &last);
}

fsfm_status fsfm_pixel_decoder_begin(fsfm_device *dev, const fsfm_pixel_decoder *decoder, fsfm_error *err)
{
    FSFM_TRY(dev->ops->to_act(dev, decoder->Cin, decoder->mask_token.value, decoder->token, err));
    if (decoder->is_plain) return FSFM_OK;
    FSFM_TRY(fsfm_linear_stream_forward(dev, &decoder->embed, 1, decoder->token, NULL, decoder->mask_embedded,
                                        err));
    if (decoder->keeps != FSFM_KEEPS_NOTHING)
        FSFM_TRY(dev->ops->zero(dev, decoder->dmask_embedded, (size_t)decoder->C * sizeof(float), err));
    if (!decoder->has_first) return FSFM_OK;
    return fsfm_first_block_begin(dev, &decoder->first, decoder->mask_embedded, err);
}

/* Fill at the encoder's width, then Linear, then the table: the published order of things. */
static fsfm_status embed_plain(fsfm_device *dev, const fsfm_pixel_decoder *decoder,
                               const fsfm_network_view *view, const fsfm_act *latent, fsfm_error *err)
{
    const int64_t B = view->B, L = decoder->L;
    const fsfm_unshuffle_args fill = {
        .B = B,
        .K = decoder->K,
        .L = L,
        .C = decoder->Cin,
        .x = latent,
        .fill = decoder->token,
        .slot = view->slot,
        .out = decoder->filled,
    };
    const fsfm_unshuffle_args add_position = {
        .B = B,
        .K = L,
        .L = L,
        .C = decoder->C,
        .x = decoder->embedded,
        .position = decoder->position,
        .slot = decoder->all_in_order,
        .is_float = true,
        .out = decoder->stack.input,
    };
    FSFM_TRY(dev->ops->unshuffle(dev, &fill, err));
    FSFM_TRY(fsfm_linear_stream_forward(dev, &decoder->embed, B * (1 + L), decoder->filled, NULL,
                                        decoder->embedded, err));
    return dev->ops->unshuffle(dev, &add_position, err);
}

/* Linear of the tokens seen, then the first block, or just the stream if that one is the last. */
static fsfm_status embed_seen(fsfm_device *dev, const fsfm_pixel_decoder *decoder,
                              const fsfm_network_view *view, const fsfm_act *latent, fsfm_error *err)
{
    const fsfm_unshuffle_args fill = {
        .B = view->B,
        .K = decoder->K,
        .L = decoder->L,
        .C = decoder->C,
        .x = decoder->embedded,
        .fill = decoder->mask_embedded,
        .position = decoder->position,
        .slot = view->slot,
        .is_float = true,
        .out = decoder->stack.input,
    };
    FSFM_TRY(fsfm_linear_stream_forward(dev, &decoder->embed, view->B * (1 + decoder->K), latent, NULL,
                                        decoder->embedded, err));
    if (decoder->has_first)
        return fsfm_first_block_forward(dev, &decoder->first, view, decoder->mask_embedded, err);
    return dev->ops->unshuffle(dev, &fill, err);
}

/* What the last norm reads: (B, R, C). */
static const float *blocks_output(const fsfm_pixel_decoder *decoder)
{
    return decoder->is_plain ? decoder->stack.output : decoder->last.mlp.out;
}

static fsfm_tokens tokens_of(const fsfm_pixel_decoder *decoder, const fsfm_network_view *view)
{
    return (fsfm_tokens){view->B, 1 + decoder->L, 1.0f};
}

fsfm_status fsfm_pixel_decoder_forward(fsfm_device *dev, const fsfm_pixel_decoder *decoder,
                                       const fsfm_network_view *view, const fsfm_act *latent,
                                       fsfm_act *pixels, fsfm_error *err)
{
    const int64_t rows = view->B * view->R;
    const fsfm_tokens tokens = tokens_of(decoder, view);
    FSFM_ASSERT(view->B <= decoder->group && view->R <= decoder->rows_most);
    if (decoder->is_plain)
        FSFM_TRY(embed_plain(dev, decoder, view, latent, err));
    else
        FSFM_TRY(embed_seen(dev, decoder, view, latent, err));
    FSFM_TRY(fsfm_stack_forward(dev, &decoder->stack, &tokens, err));
    if (!decoder->is_plain) FSFM_TRY(fsfm_last_block_forward(dev, &decoder->last, view, err));
    FSFM_TRY(fsfm_norm_forward(dev, &decoder->norm, rows, blocks_output(decoder), decoder->normed,
                               &decoder->stats, err));
    return fsfm_linear_forward(dev, &decoder->pred, rows, decoder->normed, pixels, err);
}

static fsfm_status embed_plain_backward(fsfm_device *dev, const fsfm_pixel_decoder *decoder,
                                        const fsfm_network_view *view, fsfm_act *dlatent, fsfm_error *err)
{
    const fsfm_unshuffle_backward_args fill = {
        .B = view->B,
        .K = decoder->K,
        .L = decoder->L,
        .C = decoder->Cin,
        .dout = decoder->dfilled,
        .slot = view->slot,
        .dx = dlatent,
        .dfill = decoder->mask_token.grad,
    };
    FSFM_TRY(fsfm_linear_backward(dev, &decoder->embed, view->B * (1 + decoder->L), decoder->filled,
                                  decoder->dstream, decoder->dfilled, FSFM_SETS, err));
    return dev->ops->unshuffle_backward(dev, &fill, err);
}

static fsfm_status embed_seen_backward(fsfm_device *dev, const fsfm_pixel_decoder *decoder,
                                       const fsfm_network_view *view, const fsfm_act *latent,
                                       fsfm_act *dlatent, fsfm_error *err)
{
    const fsfm_unshuffle_backward_args fill = {
        .B = view->B,
        .K = decoder->K,
        .L = decoder->L,
        .C = decoder->C,
        .dout = decoder->dstream,
        .slot = view->slot,
        .dx = decoder->embedded,
        .dfill = decoder->dmask_embedded,
    };
    if (decoder->has_first)
        FSFM_TRY(fsfm_first_block_backward(dev, &decoder->first, view, decoder->mask_embedded,
                                           decoder->dstream, err));
    else
        FSFM_TRY(dev->ops->unshuffle_backward(dev, &fill, err));
    return fsfm_linear_backward(dev, &decoder->embed, view->B * (1 + decoder->K), latent, decoder->embedded,
                                dlatent, FSFM_SETS, err);
}

fsfm_status fsfm_pixel_decoder_backward(fsfm_device *dev, const fsfm_pixel_decoder *decoder,
                                        const fsfm_network_view *view, const fsfm_act *latent,
                                        fsfm_act *dlatent, fsfm_error *err)
{
    const int64_t rows = view->B * view->R;
    const fsfm_tokens tokens = tokens_of(decoder, view);
    FSFM_TRY(fsfm_linear_backward(dev, &decoder->pred, rows, decoder->normed, decoder->dpixels,
                                  decoder->dnormed, FSFM_SETS, err));
    FSFM_TRY(fsfm_norm_backward(dev, &decoder->norm, rows, blocks_output(decoder), decoder->normed,
                                &decoder->stats, decoder->dnormed, decoder->dnormed, FSFM_SETS, err));
    if (!decoder->is_plain)
        FSFM_TRY(
            fsfm_last_block_backward(dev, &decoder->last, view, decoder->dnormed, decoder->dstream, err));
    FSFM_TRY(fsfm_stack_backward(dev, &decoder->stack, &tokens, decoder->dstream, NULL, NULL, err));
    if (decoder->is_plain) return embed_plain_backward(dev, decoder, view, dlatent, err);
    return embed_seen_backward(dev, decoder, view, latent, dlatent, err);
}

fsfm_status fsfm_pixel_decoder_end(fsfm_device *dev, const fsfm_pixel_decoder *decoder, fsfm_error *err)
{
    if (decoder->is_plain) return FSFM_OK;
    if (decoder->has_first)
        FSFM_TRY(fsfm_first_block_end(dev, &decoder->first, decoder->dmask_embedded, err));
    FSFM_TRY(dev->ops->to_act(dev, decoder->C, decoder->dmask_embedded, decoder->dmask_act, err));
    FSFM_TRY(fsfm_linear_backward(dev, &decoder->embed, 1, decoder->token, decoder->dmask_act,
                                  decoder->dtoken, FSFM_SETS, err));
    return dev->ops->add_act(dev, decoder->Cin, decoder->dtoken, decoder->mask_token.grad, err);
}
