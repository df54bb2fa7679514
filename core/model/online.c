/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/online.h"

fsfm_status fsfm_online_bind(fsfm_online *online, const fsfm_weights *weights,
                             const fsfm_model_options *options, const fsfm_tables *tables, int64_t K,
                             bool is_plain, fsfm_error *err)
{
    *online = (fsfm_online){.options = options};
    FSFM_TRY(fsfm_trunk_bind(&online->trunk, weights, options, tables, K, is_plain, err));
    if (online->trunk.represents)
        fsfm_head_bind(&online->predictor, weights, "predictor", options->projection_size,
                       options->projection_hidden_size, options->projection_size);
    FSFM_TRY(fsfm_pixel_decoder_bind(&online->pixel_decoder, weights, options, K, is_plain, err));
    online->pixel_decoder.position = tables->decoder_position;
    online->pixel_decoder.all_in_order = tables->all_in_order;
    return FSFM_OK;
}

void fsfm_online_free(fsfm_online *online)
{
    fsfm_trunk_free(&online->trunk);
    fsfm_pixel_decoder_free(&online->pixel_decoder);
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void layout_scratch(fsfm_online *online, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                           int64_t K)
{
    const fsfm_stack *pixel = &online->pixel_decoder.stack, *encoder = &online->trunk.encoder.stack;
    const fsfm_stack *rep = &online->trunk.rep_decoder.stack; /* zeros where it is not there */
    const int64_t N_pixel = B * (1 + online->pixel_decoder.L), N_encoder = B * (1 + K);
    const int64_t N_rep = B * online->trunk.rep_decoder.T;
    const int64_t C = larger(larger(N_pixel * pixel->C, N_encoder * encoder->C), N_rep * rep->C);
    const int64_t F = larger(larger(N_pixel * pixel->F, N_encoder * encoder->F), N_rep * rep->F);
    online->scratch.dnorm = fsfm_arena_acts(arena, dev, C);
    online->scratch.dqkv = fsfm_arena_acts(arena, dev, 3 * C);
    online->scratch.dhidden = fsfm_arena_acts(arena, dev, F);
}

void fsfm_online_layout(fsfm_online *online, fsfm_arena *arena, const fsfm_device *dev, int64_t B, int64_t K,
                        int64_t key_count, bool keeps)
{
    const int64_t C = online->options->embed_dim, features = online->options->projection_size;
    fsfm_trunk_layout(&online->trunk, arena, dev, B, K, keeps);
    fsfm_pixel_decoder_layout(&online->pixel_decoder, arena, dev, B, keeps);
    if (!keeps) return;
    online->dlatent = fsfm_arena_acts(arena, dev, B * (1 + K) * C);
    layout_scratch(online, arena, dev, B, K);
    if (!online->trunk.represents) return;
    fsfm_head_layout(&online->predictor, arena, dev, B, true);
    online->features = fsfm_arena_floats(arena, B * features);
    online->features_norm = fsfm_arena_floats(arena, B);
    online->dfeatures = fsfm_arena_floats(arena, B * features);
    online->dpredicted = fsfm_arena_acts(arena, dev, B * features);
    online->dprojected = fsfm_arena_acts(arena, dev, B * features);
    online->drepresentation = fsfm_arena_acts(arena, dev, B * C);
    if (online->options->id_loss == FSFM_ID_INFONCE) online->logits = fsfm_arena_floats(arena, B * key_count);
}

fsfm_status fsfm_online_reconstruct(fsfm_device *dev, const fsfm_online *online,
                                    const fsfm_network_view *view, fsfm_error *err)
{
    FSFM_TRY(fsfm_encoder_forward(dev, &online->trunk.encoder, view, err));
    return fsfm_pixel_decoder_forward(dev, &online->pixel_decoder, view, online->trunk.encoder.latent, err);
}

/* weight / count, or 0 where there is nothing to count. */
static float share(double weight, int64_t count)
{
    return count > 0 ? (float)(weight / (double)count) : 0.0f;
}

fsfm_status fsfm_online_patch_loss(fsfm_device *dev, const fsfm_online *online, const fsfm_network_view *view,
                                   const fsfm_online_losses *losses, bool wants_gradient, fsfm_error *err)
{
    const fsfm_patch_loss_args args = {
        .B = view->B,
        .L = view->L,
        .images = view->images,
        .norm_pix = online->options->norm_pix,
        .pred = online->pixel_decoder.pixels,
        .mask = losses->mask,
        .region = losses->region,
        .dmask = share(1.0, losses->totals.masked_patches),
        .dregion = share(online->options->weight_fr, losses->totals.region_patches),
        .sums = losses->sums,
        .dpred = wants_gradient ? online->pixel_decoder.dpixels : NULL,
    };
    return dev->ops->patch_loss(dev, &args, err);
}

static fsfm_status similarity_loss(fsfm_device *dev, const fsfm_online *online, int64_t B,
                                   const fsfm_online_keys *keys, const fsfm_online_losses *losses,
                                   fsfm_error *err)
{
    const fsfm_model_options *options = online->options;
    const float per_sample = share(options->weight_sim, losses->totals.samples);
    if (options->id_loss == FSFM_ID_INFONCE) {
        const fsfm_infonce_args args = {
            .N = B,
            .M = keys->all_count,
            .C = options->projection_size,
            .first = keys->first,
            .q = online->features,
            .keys = keys->all_keys,
            .temperature = (float)options->temperature,
            .dscale = per_sample,
            .logits = online->logits,
            .sum = losses->sums + 2,
            .dq = online->dfeatures,
        };
        return dev->ops->infonce(dev, &args, err);
    }
    const bool is_byol = options->id_loss == FSFM_ID_BYOL;
    const double slope = is_byol ? -2.0 : -0.5;
    const fsfm_dot_loss_args args = {
        .N = B,
        .C = options->projection_size,
        .q = online->features,
        .k = keys->keys,
        .offset = is_byol ? 2.0 : 0.0,
        .slope = slope,
        .dslope = (float)slope * per_sample,
        .sum = losses->sums + 2,
        .dq = online->dfeatures,
    };
    return dev->ops->dot_loss(dev, &args, err);
}

fsfm_status fsfm_online_forward(fsfm_device *dev, const fsfm_online *online, const fsfm_network_view *view,
                                const fsfm_online_keys *keys, const fsfm_online_losses *losses,
                                fsfm_error *err)
{
    FSFM_TRY(fsfm_online_reconstruct(dev, online, view, err));
    FSFM_TRY(fsfm_online_patch_loss(dev, online, view, losses, true, err));
    if (!online->trunk.represents) return FSFM_OK;
    const fsfm_normalize_args normalize = {
        .N = view->B,
        .C = online->options->projection_size,
        .x = online->predictor.out,
        .out = online->features,
        .norm = online->features_norm,
    };
    FSFM_TRY(fsfm_trunk_represent(dev, &online->trunk, view, err));
    FSFM_TRY(fsfm_head_forward(dev, &online->predictor, view->B, online->trunk.projector.out, err));
    FSFM_TRY(dev->ops->normalize(dev, &normalize, err));
    return similarity_loss(dev, online, view->B, keys, losses, err);
}

/* From dfeatures to the encoder's tokens; adds to dlatent. */
static fsfm_status represent_backward(fsfm_device *dev, const fsfm_online *online,
                                      const fsfm_network_view *view, fsfm_error *err)
{
    const fsfm_trunk *trunk = &online->trunk;
    const fsfm_normalize_backward_args normalize = {
        .N = view->B,
        .C = online->options->projection_size,
        .out = online->features,
        .norm = online->features_norm,
        .dout = online->dfeatures,
        .dx = online->dpredicted,
    };
    FSFM_TRY(dev->ops->normalize_backward(dev, &normalize, err));
    FSFM_TRY(fsfm_head_backward(dev, &online->predictor, view->B, trunk->projector.out, online->dpredicted,
                                online->dprojected, err));
    FSFM_TRY(fsfm_head_backward(dev, &trunk->projector, view->B, trunk->rep_decoder.out, online->dprojected,
                                online->drepresentation, err));
    return fsfm_rep_decoder_backward(dev, &trunk->rep_decoder, view, trunk->encoder.latent,
                                     online->drepresentation, online->dlatent, &online->scratch, err);
}

fsfm_status fsfm_online_backward(fsfm_device *dev, const fsfm_online *online, const fsfm_network_view *view,
                                 fsfm_block_done_fn done, void *context, fsfm_error *err)
{
    FSFM_TRY(fsfm_pixel_decoder_backward(dev, &online->pixel_decoder, view, online->trunk.encoder.latent,
                                         online->dlatent, &online->scratch, err));
    if (online->trunk.represents) FSFM_TRY(represent_backward(dev, online, view, err));
    if (done) done(context, online->options->depth);
    return fsfm_encoder_backward(dev, &online->trunk.encoder, view, online->dlatent, &online->scratch, done,
                                 context, err);
}
