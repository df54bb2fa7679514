/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/rep_decoder.h"

fsfm_status fsfm_rep_decoder_bind(fsfm_rep_decoder *decoder, const fsfm_weights *weights,
                                  const fsfm_model_options *options, int64_t K, bool is_plain,
                                  fsfm_error *err)
{
    const int64_t grid = options->img_size / options->patch_size, C = options->embed_dim;
    const float eps = (float)options->ln_eps;
    const fsfm_block_sizes sizes = {C, options->rep_decoder_num_heads, options->mlp_ratio, eps};
    *decoder = (fsfm_rep_decoder){.C = C, .K = K, .L = grid * grid, .is_plain = is_plain};
    decoder->is_bypassed = !options->id_rep_decoder;
    decoder->T = 1 + decoder->L;
    decoder->last_multiplicity = 1.0f;
    if (decoder->is_bypassed) {
        decoder->T = 1 + K;
        return FSFM_OK;
    }
    if (K < decoder->L && !is_plain && options->rep_pos == FSFM_REP_POS_ZEROS) {
        decoder->T = 1 + K + 1;
        decoder->last_multiplicity = (float)(decoder->L - K);
    }
    decoder->mask_token = fsfm_weights_get(weights, "mask_token");
    decoder->embed = (fsfm_linear){fsfm_weights_pair(weights, "rep_decoder_embed"), C, C};
    decoder->norm = (fsfm_norm){fsfm_weights_pair(weights, "rep_decoder_norm"), C, eps, false, true};
    decoder->pred = (fsfm_linear){fsfm_weights_pair(weights, "rep_decoder_pred"), C, C};
    return fsfm_stack_bind(&decoder->stack, weights, "rep_decoder_blocks", 0, options->rep_decoder_depth,
                           &sizes, err);
}

void fsfm_rep_decoder_free(fsfm_rep_decoder *decoder)
{
    fsfm_stack_free(&decoder->stack);
}

/* Tokens go straight from the first Linear into the blocks where nothing is put in between or added. */
static bool is_direct(const fsfm_rep_decoder *decoder)
{
    return decoder->K == decoder->L && !decoder->position;
}

static void layout_gradients(fsfm_rep_decoder *decoder, fsfm_arena *arena, const fsfm_device *dev, int64_t N)
{
    const int64_t C = decoder->C;
    decoder->dstream = fsfm_arena_acts(arena, dev, N * C);
    decoder->dnormed = decoder->dstream;
    decoder->stats.mean = fsfm_arena_floats(arena, N);
    decoder->stats.rstd = fsfm_arena_floats(arena, N);
    if (dev->precision == FSFM_PRECISION_FP32) return;
    decoder->dnormed = fsfm_arena_floats(arena, N * C);
    fsfm_act *rest = fsfm_arena_acts(arena, dev, 3 * C * C);
    for (int64_t i = 0; i < decoder->stack.depth; i++) decoder->stack.blocks[i].attention.rest = rest;
}

void fsfm_rep_decoder_layout(fsfm_rep_decoder *decoder, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                             fsfm_keeps keeps)
{
    const int64_t C = decoder->C, N = B * decoder->T;
    decoder->out = fsfm_arena_floats(arena, B * C);
    decoder->mean = fsfm_arena_floats(arena, B * C);
    if (keeps != FSFM_KEEPS_NOTHING) decoder->dmean = fsfm_arena_floats(arena, B * C);
    if (decoder->is_bypassed) return;
    decoder->normed = fsfm_arena_floats(arena, N * C);
    if (decoder->is_plain) decoder->tokens = fsfm_arena_floats(arena, N * C);
    decoder->stats = (fsfm_norm_stats){NULL, NULL};
    if (keeps != FSFM_KEEPS_NOTHING) layout_gradients(decoder, arena, dev, N);
    fsfm_stack_layout(&decoder->stack, arena, dev, B, decoder->T, keeps);
    fsfm_arena embedding = *arena; /* used before the blocks, and in backward behind them */
    decoder->embedded = fsfm_arena_floats(&embedding, B * (1 + decoder->K) * C);
    fsfm_stack_layout_work(&decoder->stack, arena, dev, B, decoder->T);
    fsfm_arena_cover(arena, &embedding);
}

/* Where each place of the image finds its token: NULL asks for the one-token form. */
static const int32_t *slots(const fsfm_rep_decoder *decoder, const fsfm_network_view *view)
{
    if (decoder->T != 1 + decoder->L) return NULL;
    return decoder->K == decoder->L ? decoder->all_in_order : view->slot;
}

static fsfm_status fill_gaps(fsfm_device *dev, const fsfm_rep_decoder *decoder, const fsfm_network_view *view,
                             fsfm_error *err)
{
    const fsfm_unshuffle_args args = {
        .B = view->B,
        .K = decoder->K,
        .L = decoder->T - 1,
        .C = decoder->C,
        .x = decoder->embedded,
        .fill = decoder->mask_token.value,
        .position = decoder->position,
        .slot = slots(decoder, view),
        .is_float = true,
        .out = decoder->stack.input,
    };
    return dev->ops->unshuffle(dev, &args, err);
}

static fsfm_status mean_forward(fsfm_device *dev, const fsfm_rep_decoder *decoder, int64_t B,
                                const fsfm_act *x, fsfm_act *out, fsfm_error *err)
{
    const fsfm_mean_args args = {
        .B = B,
        .T = decoder->T,
        .C = decoder->C,
        .last_multiplicity = decoder->last_multiplicity,
        .x = x,
        .out = out,
    };
    return dev->ops->mean(dev, &args, err);
}

static fsfm_status bypass_forward(fsfm_device *dev, const fsfm_rep_decoder *decoder, int64_t B,
                                  const fsfm_act *latent, fsfm_error *err)
{
    const int64_t count = B * decoder->C;
    FSFM_TRY(mean_forward(dev, decoder, B, latent, decoder->mean, err));
    FSFM_TRY(dev->ops->zero(dev, decoder->out, (size_t)count * sizeof(float), err));
    return dev->ops->add_act(dev, count, decoder->mean, decoder->out, err);
}

static fsfm_status embed_tokens(fsfm_device *dev, const fsfm_rep_decoder *decoder,
                                const fsfm_network_view *view, const fsfm_act *latent, fsfm_error *err)
{
    const int64_t rows = view->B * (1 + decoder->K);
    if (is_direct(decoder))
        return fsfm_linear_stream_forward(dev, &decoder->embed, rows, latent, NULL, decoder->stack.input,
                                          err);
    FSFM_TRY(fsfm_linear_stream_forward(dev, &decoder->embed, rows, latent, NULL, decoder->embedded, err));
    return fill_gaps(dev, decoder, view, err);
}

fsfm_status fsfm_rep_decoder_forward(fsfm_device *dev, const fsfm_rep_decoder *decoder,
                                     const fsfm_network_view *view, const fsfm_act *latent, fsfm_error *err)
{
    const int64_t B = view->B, N = B * decoder->T;
    const fsfm_tokens tokens = {B, decoder->T, decoder->last_multiplicity};
    fsfm_device *whole = dev->whole;
    if (decoder->is_bypassed) return bypass_forward(dev, decoder, B, latent, err);
    FSFM_TRY(embed_tokens(dev, decoder, view, latent, err));
    FSFM_TRY(fsfm_stack_forward(dev, &decoder->stack, &tokens, err));
    FSFM_TRY(fsfm_norm_forward(whole, &decoder->norm, N, decoder->stack.output, decoder->normed,
                               &decoder->stats, err));
    if (decoder->is_plain) {
        FSFM_TRY(fsfm_linear_forward(whole, &decoder->pred, N, decoder->normed, decoder->tokens, err));
        return mean_forward(whole, decoder, B, decoder->tokens, decoder->out, err);
    }
    FSFM_TRY(mean_forward(whole, decoder, B, decoder->normed, decoder->mean, err));
    return fsfm_linear_forward(whole, &decoder->pred, B, decoder->mean, decoder->out, err);
}

static fsfm_status mean_backward(fsfm_device *dev, const fsfm_rep_decoder *decoder, int64_t B,
                                 const fsfm_act *dout, fsfm_act *dx, bool dx_adds, fsfm_error *err)
{
    const fsfm_mean_backward_args args = {
        .B = B,
        .T = decoder->T,
        .C = decoder->C,
        .last_multiplicity = decoder->last_multiplicity,
        .dout = dout,
        .dx = dx,
        .dx_adds = dx_adds,
    };
    return dev->ops->mean_backward(dev, &args, err);
}

static fsfm_status bypass_backward(fsfm_device *dev, const fsfm_rep_decoder *decoder, int64_t B,
                                   const float *dout, fsfm_act *dlatent, fsfm_error *err)
{
    FSFM_TRY(dev->ops->to_act(dev, B * decoder->C, dout, decoder->dmean, err));
    return mean_backward(dev, decoder, B, decoder->dmean, dlatent, true, err);
}

/* From dout to the gradient of the normed tokens, in dnormed. */
static fsfm_status output_backward(fsfm_device *whole, const fsfm_rep_decoder *decoder, int64_t B,
                                   const float *dout, fsfm_error *err)
{
    if (decoder->is_plain) {
        FSFM_TRY(mean_backward(whole, decoder, B, dout, decoder->tokens, false, err));
        return fsfm_linear_backward(whole, &decoder->pred, B * decoder->T, decoder->normed, decoder->tokens,
                                    decoder->dnormed, FSFM_SETS, err);
    }
    FSFM_TRY(
        fsfm_linear_backward(whole, &decoder->pred, B, decoder->mean, dout, decoder->dmean, FSFM_SETS, err));
    return mean_backward(whole, decoder, B, decoder->dmean, decoder->dnormed, false, err);
}

/* From dout to the gradient of the blocks' output, in dstream. */
static fsfm_status whole_backward(fsfm_device *dev, const fsfm_rep_decoder *decoder, int64_t B,
                                  const float *dout, fsfm_error *err)
{
    const int64_t N = B * decoder->T;
    FSFM_TRY(output_backward(dev->whole, decoder, B, dout, err));
    FSFM_TRY(fsfm_norm_backward(dev->whole, &decoder->norm, N, decoder->stack.output, decoder->normed,
                                &decoder->stats, decoder->dnormed, decoder->dnormed, FSFM_SETS, err));
    if (decoder->dnormed == decoder->dstream) return FSFM_OK;
    return dev->ops->to_act(dev, N * decoder->C, decoder->dnormed, decoder->dstream, err);
}

fsfm_status fsfm_rep_decoder_backward(fsfm_device *dev, const fsfm_rep_decoder *decoder,
                                      const fsfm_network_view *view, const fsfm_act *latent,
                                      const float *dout, fsfm_act *dlatent, fsfm_error *err)
{
    const int64_t B = view->B;
    const fsfm_tokens tokens = {B, decoder->T, decoder->last_multiplicity};
    if (decoder->is_bypassed) return bypass_backward(dev, decoder, B, dout, dlatent, err);
    FSFM_TRY(whole_backward(dev, decoder, B, dout, err));
    FSFM_TRY(fsfm_stack_backward(dev, &decoder->stack, &tokens, decoder->dstream, NULL, NULL, err));
    fsfm_act *dembedded = decoder->dstream;
    if (!is_direct(decoder)) {
        const fsfm_unshuffle_backward_args args = {
            .B = B,
            .K = decoder->K,
            .L = decoder->T - 1,
            .C = decoder->C,
            .dout = decoder->dstream,
            .slot = slots(decoder, view),
            .dx = decoder->embedded,
            .dfill = decoder->mask_token.grad,
        };
        FSFM_TRY(dev->ops->unshuffle_backward(dev, &args, err));
        dembedded = decoder->embedded;
    }
    return fsfm_linear_backward(dev, &decoder->embed, B * (1 + decoder->K), latent, dembedded, dlatent,
                                FSFM_ADDS, err);
}
