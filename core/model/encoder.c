/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/encoder.h"

fsfm_status fsfm_encoder_bind(fsfm_encoder *encoder, const fsfm_weights *weights,
                              const fsfm_model_options *options, fsfm_error *err)
{
    const int64_t C = options->embed_dim, P = options->patch_size * options->patch_size * 3;
    const fsfm_block_sizes sizes = {C, options->num_heads, options->mlp_ratio, (float)options->ln_eps};
    *encoder = (fsfm_encoder){.C = C, .P = P};
    encoder->patch_embed = (fsfm_linear){fsfm_weights_pair(weights, "patch_embed.proj"), P, C};
    encoder->cls_token = fsfm_weights_get(weights, "cls_token");
    encoder->norm = (fsfm_norm){fsfm_weights_pair(weights, "norm"), C, sizes.eps, false, true};
    return fsfm_stack_bind(&encoder->stack, weights, "blocks", 0, options->depth, &sizes, err);
}

void fsfm_encoder_free(fsfm_encoder *encoder)
{
    fsfm_stack_free(&encoder->stack);
}

void fsfm_encoder_layout(fsfm_encoder *encoder, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                         int64_t K, fsfm_keeps keeps)
{
    const int64_t N = B * (1 + K);
    encoder->keeps = keeps;
    encoder->latent = fsfm_arena_acts(arena, dev, N * encoder->C);
    encoder->stats = (fsfm_norm_stats){NULL, NULL};
    if (keeps == FSFM_KEEPS_NOTHING) return;
    encoder->patches = fsfm_arena_acts(arena, dev, B * K * encoder->P);
    fsfm_stack_layout(&encoder->stack, arena, dev, B, 1 + K, keeps);
    encoder->stats.mean = fsfm_arena_floats(arena, N);
    encoder->stats.rstd = fsfm_arena_floats(arena, N);
}

void fsfm_encoder_layout_work(fsfm_encoder *encoder, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                              int64_t K)
{
    const bool is_forward_only = encoder->keeps == FSFM_KEEPS_NOTHING;
    if (is_forward_only) fsfm_stack_layout(&encoder->stack, arena, dev, B, 1 + K, encoder->keeps);
    fsfm_arena embedding = *arena; /* used before the blocks, and in backward behind them */
    if (is_forward_only) encoder->patches = fsfm_arena_acts(&embedding, dev, B * K * encoder->P);
    encoder->embedded = fsfm_arena_acts(&embedding, dev, B * K * encoder->C);
    fsfm_stack_layout_work(&encoder->stack, arena, dev, B, 1 + K);
    fsfm_arena_cover(arena, &embedding);
}

fsfm_status fsfm_encoder_forward(fsfm_device *dev, const fsfm_encoder *encoder, const fsfm_network_view *view,
                                 fsfm_error *err)
{
    const int64_t B = view->B, K = view->K;
    const fsfm_tokens tokens = {B, 1 + K, 1.0f};
    const fsfm_patches_args patches = {
        .B = B, .K = K, .images = view->images, .index = view->index, .out = encoder->patches};
    const fsfm_embed_args embed = {
        .B = B,
        .K = K,
        .C = encoder->C,
        .patches = encoder->embedded,
        .class_token = encoder->cls_token.value,
        .position = encoder->position,
        .index = view->index,
        .out = encoder->stack.input,
    };
    FSFM_TRY(dev->ops->patches(dev, &patches, err));
    FSFM_TRY(
        fsfm_linear_forward(dev, &encoder->patch_embed, B * K, encoder->patches, encoder->embedded, err));
    FSFM_TRY(dev->ops->embed(dev, &embed, err));
    FSFM_TRY(fsfm_stack_forward(dev, &encoder->stack, &tokens, err));
    return fsfm_norm_forward(dev, &encoder->norm, B * (1 + K), encoder->stack.output, encoder->latent,
                             &encoder->stats, err);
}

fsfm_status fsfm_encoder_backward(fsfm_device *dev, const fsfm_encoder *encoder,
                                  const fsfm_network_view *view, fsfm_act *dlatent, fsfm_block_done_fn done,
                                  void *context, fsfm_error *err)
{
    const int64_t B = view->B, K = view->K;
    const fsfm_tokens tokens = {B, 1 + K, 1.0f};
    const fsfm_embed_backward_args embed = {
        .B = B,
        .K = K,
        .C = encoder->C,
        .dout = dlatent,
        .dpatches = encoder->embedded,
        .dclass = encoder->cls_token.grad,
    };
    FSFM_TRY(fsfm_norm_backward(dev, &encoder->norm, B * (1 + K), encoder->stack.output, encoder->latent,
                                &encoder->stats, dlatent, dlatent, FSFM_SETS, err));
    FSFM_TRY(fsfm_stack_backward(dev, &encoder->stack, &tokens, dlatent, done, context, err));
    FSFM_TRY(dev->ops->embed_backward(dev, &embed, err));
    return fsfm_linear_backward(dev, &encoder->patch_embed, B * K, encoder->patches, encoder->embedded, NULL,
                                FSFM_SETS, err);
}
