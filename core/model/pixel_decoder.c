/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/pixel_decoder.h"

fsfm_status fsfm_pixel_decoder_bind(fsfm_pixel_decoder *decoder, const fsfm_weights *weights,
                                    const fsfm_model_options *options, int64_t K, bool is_plain,
                                    fsfm_error *err)
{
    const int64_t grid = options->img_size / options->patch_size, C = options->decoder_embed_dim;
    const int64_t P = options->patch_size * options->patch_size * 3;
    const float eps = (float)options->ln_eps;
    *decoder = (fsfm_pixel_decoder){
        .is_plain = is_plain, .Cin = options->embed_dim, .C = C, .P = P, .K = K, .L = grid * grid};
    decoder->mask_token = fsfm_weights_get(weights, "mask_token");
    decoder->embed = (fsfm_linear){fsfm_weights_pair(weights, "decoder_embed"), decoder->Cin, C};
    decoder->norm = (fsfm_norm){fsfm_weights_pair(weights, "decoder_norm"), C, eps, false};
    decoder->pred = (fsfm_linear){fsfm_weights_pair(weights, "decoder_pred"), C, P};
    return fsfm_stack_bind(&decoder->stack, weights, "decoder_blocks", options->decoder_depth, C,
                           options->decoder_num_heads, options->mlp_ratio, eps, err);
}

void fsfm_pixel_decoder_free(fsfm_pixel_decoder *decoder)
{
    fsfm_stack_free(&decoder->stack);
}

void fsfm_pixel_decoder_layout(fsfm_pixel_decoder *decoder, fsfm_arena *arena, const fsfm_device *dev,
                               int64_t B, bool keeps)
{
    const int64_t N = B * (1 + decoder->L), C = decoder->C;
    fsfm_stack_layout(&decoder->stack, arena, dev, B, 1 + decoder->L, keeps);
    if (decoder->is_plain) decoder->filled = fsfm_arena_acts(arena, dev, N * decoder->Cin);
    decoder->embedded = fsfm_arena_acts(arena, dev, decoder->is_plain ? N * C : B * (1 + decoder->K) * C);
    decoder->mask_embedded = fsfm_arena_floats(arena, C);
    decoder->normed = fsfm_arena_acts(arena, dev, N * C);
    decoder->pixels = fsfm_arena_acts(arena, dev, N * decoder->P);
    decoder->stats = (fsfm_norm_stats){NULL, NULL};
    if (!keeps) return;
    decoder->dmask_embedded = fsfm_arena_floats(arena, C);
    decoder->dpixels = fsfm_arena_acts(arena, dev, N * decoder->P);
    decoder->dstream = fsfm_arena_acts(arena, dev, N * C);
    if (decoder->is_plain) decoder->dfilled = fsfm_arena_acts(arena, dev, N * decoder->Cin);
    decoder->stats.mean = fsfm_arena_floats(arena, N);
    decoder->stats.rstd = fsfm_arena_floats(arena, N);
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
        .fill = decoder->mask_token.value,
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
        .out = fsfm_stack_input(&decoder->stack),
    };
    FSFM_TRY(dev->ops->unshuffle(dev, &fill, err));
    FSFM_TRY(fsfm_linear_forward(dev, &decoder->embed, B * (1 + L), decoder->filled, NULL, decoder->embedded,
                                 err));
    return dev->ops->unshuffle(dev, &add_position, err);
}

static fsfm_status embed_seen(fsfm_device *dev, const fsfm_pixel_decoder *decoder,
                              const fsfm_network_view *view, const fsfm_act *latent, fsfm_error *err)
{
    const int64_t B = view->B;
    const fsfm_unshuffle_args fill = {
        .B = B,
        .K = decoder->K,
        .L = decoder->L,
        .C = decoder->C,
        .x = decoder->embedded,
        .fill = decoder->mask_embedded,
        .position = decoder->position,
        .slot = view->slot,
        .out = fsfm_stack_input(&decoder->stack),
    };
    FSFM_TRY(fsfm_linear_forward(dev, &decoder->embed, B * (1 + decoder->K), latent, NULL, decoder->embedded,
                                 err));
    FSFM_TRY(fsfm_linear_forward(dev, &decoder->embed, 1, decoder->mask_token.value, NULL,
                                 decoder->mask_embedded, err));
    return dev->ops->unshuffle(dev, &fill, err);
}

fsfm_status fsfm_pixel_decoder_forward(fsfm_device *dev, const fsfm_pixel_decoder *decoder,
                                       const fsfm_network_view *view, const fsfm_act *latent, fsfm_error *err)
{
    const int64_t B = view->B, T = 1 + decoder->L;
    if (decoder->is_plain)
        FSFM_TRY(embed_plain(dev, decoder, view, latent, err));
    else
        FSFM_TRY(embed_seen(dev, decoder, view, latent, err));
    FSFM_TRY(fsfm_stack_forward(dev, &decoder->stack, B, T, 1.0f, err));
    FSFM_TRY(fsfm_norm_forward(dev, &decoder->norm, B * T, fsfm_stack_output(&decoder->stack),
                               decoder->normed, &decoder->stats, err));
    return fsfm_linear_forward(dev, &decoder->pred, B * T, decoder->normed, NULL, decoder->pixels, err);
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
    const int64_t B = view->B;
    const fsfm_unshuffle_backward_args fill = {
        .B = B,
        .K = decoder->K,
        .L = decoder->L,
        .C = decoder->C,
        .dout = decoder->dstream,
        .slot = view->slot,
        .dx = decoder->embedded,
        .dfill = decoder->dmask_embedded,
    };
    FSFM_TRY(dev->ops->zero(dev, decoder->dmask_embedded, (size_t)decoder->C * sizeof(float), err));
    FSFM_TRY(dev->ops->unshuffle_backward(dev, &fill, err));
    FSFM_TRY(fsfm_linear_backward(dev, &decoder->embed, B * (1 + decoder->K), latent, decoder->embedded,
                                  dlatent, FSFM_SETS, err));
    return fsfm_linear_backward(dev, &decoder->embed, 1, decoder->mask_token.value, decoder->dmask_embedded,
                                decoder->mask_token.grad, FSFM_ADDS, err);
}

fsfm_status fsfm_pixel_decoder_backward(fsfm_device *dev, const fsfm_pixel_decoder *decoder,
                                        const fsfm_network_view *view, const fsfm_act *latent,
                                        fsfm_act *dlatent, const fsfm_block_scratch *scratch, fsfm_error *err)
{
    const int64_t B = view->B, T = 1 + decoder->L;
    FSFM_TRY(fsfm_linear_backward(dev, &decoder->pred, B * T, decoder->normed, decoder->dpixels,
                                  decoder->dstream, FSFM_SETS, err));
    FSFM_TRY(fsfm_norm_backward(dev, &decoder->norm, B * T, fsfm_stack_output(&decoder->stack),
                                decoder->normed, &decoder->stats, decoder->dstream, decoder->dstream,
                                FSFM_SETS, err));
    FSFM_TRY(
        fsfm_stack_backward(dev, &decoder->stack, B, T, 1.0f, decoder->dstream, scratch, NULL, NULL, err));
    if (decoder->is_plain) return embed_plain_backward(dev, decoder, view, dlatent, err);
    return embed_seen_backward(dev, decoder, view, latent, dlatent, err);
}
