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
    online->pixel_decoder.first.position = tables->decoder_position;
    online->pixel_decoder.first.nowhere = tables->nowhere;
    return FSFM_OK;
}

void fsfm_online_free(fsfm_online *online)
{
    fsfm_trunk_free(&online->trunk);
    fsfm_pixel_decoder_free(&online->pixel_decoder);
}

/* From the encoder's tokens to the similarity loss, and back. */
static void layout_represent(fsfm_online *online, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                             int64_t key_count, fsfm_keeps keeps)
{
    const int64_t C = online->options->embed_dim, features = online->options->projection_size;
    fsfm_trunk_layout_represent(&online->trunk, arena, dev, B, keeps);
    fsfm_head_layout(&online->predictor, arena, dev->whole, B, keeps);
    online->features_norm = fsfm_arena_floats(arena, B);
    online->dfeatures = fsfm_arena_floats(arena, B * features);
    online->dpredicted = fsfm_arena_floats(arena, B * features);
    online->dprojected = fsfm_arena_floats(arena, B * features);
    online->drepresentation = fsfm_arena_floats(arena, B * C);
    if (online->options->id_loss == FSFM_ID_INFONCE) online->logits = fsfm_arena_floats(arena, B * key_count);
}

/* What outlives its part of the step comes first. Behind it encoder, pixel decoder and representation, which
 * are at work one after the other, lie in the same memory. */
void fsfm_online_layout(fsfm_online *online, fsfm_arena *arena, const fsfm_device *dev, int64_t B, int64_t K,
                        int64_t key_count, fsfm_keeps keeps)
{
    const bool learns = keeps != FSFM_KEEPS_NOTHING, represents = learns && online->trunk.represents;
    const int64_t C = online->options->embed_dim, features = online->options->projection_size;
    fsfm_encoder_layout(&online->trunk.encoder, arena, dev, B, K, keeps);
    fsfm_pixel_decoder_layout_pixels(&online->pixel_decoder, arena, dev, B);
    if (learns) online->dlatent = fsfm_arena_acts(arena, dev, B * (1 + K) * C);
    if (represents) online->features = fsfm_arena_floats(arena, B * features);
    fsfm_arena pixels = *arena, represent = *arena;
    fsfm_encoder_layout_work(&online->trunk.encoder, arena, dev, B, K);
    fsfm_pixel_decoder_layout(&online->pixel_decoder, &pixels, dev, B, keeps);
    if (represents) layout_represent(online, &represent, dev, B, key_count, keeps);
    fsfm_arena_cover(arena, &pixels);
    fsfm_arena_cover(arena, &represent);
}

/* Losses of a group's pixels (B, R, P), and their gradient where dpixels is not NULL. */
static fsfm_status patch_loss(fsfm_device *dev, const fsfm_online *online, const fsfm_network_view *view,
                              const fsfm_online_losses *losses, const fsfm_act *pixels, fsfm_act *dpixels,
                              fsfm_error *err)
{
    const fsfm_patch_loss_args args = {
        .B = view->B,
        .L = view->L,
        .R = view->R,
        .images = view->images,
        .norm_pix = online->options->norm_pix,
        .pred = pixels,
        .patch = view->patch,
        .mask = losses->mask,
        .region = losses->region,
        .scales = losses->scales,
        .sums = losses->sums,
        .dpred = dpixels,
    };
    return dev->ops->patch_loss(dev, &args, err);
}

/* Images [first, first + B) of the micro-batch. */
static fsfm_status pixel_group(fsfm_device *dev, const fsfm_online *online, const fsfm_network_view *whole,
                               int64_t first, int64_t B, const fsfm_online_losses *losses, bool learns,
                               fsfm_error *err)
{
    const fsfm_pixel_decoder *decoder = &online->pixel_decoder;
    const fsfm_network_view view = fsfm_view_part(whole, first, B);
    const int64_t tokens = first * (1 + view.K) * decoder->Cin;
    const fsfm_act *latent = fsfm_act_after(dev, online->trunk.encoder.latent, tokens);
    fsfm_act *pixels = fsfm_act_after(dev, decoder->pixels, first * view.R * decoder->P);
    FSFM_TRY(fsfm_pixel_decoder_forward(dev, decoder, &view, latent, pixels, err));
    if (!losses) return FSFM_OK;
    fsfm_online_losses part = *losses;
    part.mask += first * view.L;
    part.region += first * view.L;
    FSFM_TRY(patch_loss(dev, online, &view, &part, pixels, learns ? decoder->dpixels : NULL, err));
    if (!learns) return FSFM_OK;
    return fsfm_pixel_decoder_backward(dev, decoder, &view, latent,
                                       fsfm_act_after(dev, online->dlatent, tokens), err);
}

/* The pixel decoder on the encoder's tokens; learns: with its gradients, dlatent is set. */
static fsfm_status pixel_groups(fsfm_device *dev, const fsfm_online *online, const fsfm_network_view *view,
                                const fsfm_online_losses *losses, bool learns, fsfm_error *err)
{
    const fsfm_pixel_decoder *decoder = &online->pixel_decoder;
    FSFM_TRY(fsfm_pixel_decoder_begin(dev, decoder, err));
    for (int64_t first = 0; first < view->B; first += decoder->group) {
        const int64_t left = view->B - first, B = left < decoder->group ? left : decoder->group;
        FSFM_TRY(pixel_group(dev, online, view, first, B, losses, learns, err));
    }
    return learns ? fsfm_pixel_decoder_end(dev, decoder, err) : FSFM_OK;
}

fsfm_status fsfm_online_reconstruct(fsfm_device *dev, const fsfm_online *online,
                                    const fsfm_network_view *view, const fsfm_online_losses *losses,
                                    fsfm_error *err)
{
    FSFM_TRY(fsfm_encoder_forward(dev, &online->trunk.encoder, view, err));
    return pixel_groups(dev, online, view, losses, false, err);
}

static fsfm_status similarity_loss(fsfm_device *dev, const fsfm_online *online, int64_t B,
                                   const fsfm_online_keys *keys, const fsfm_online_losses *losses,
                                   fsfm_error *err)
{
    const fsfm_model_options *options = online->options;
    if (options->id_loss == FSFM_ID_INFONCE) {
        const fsfm_infonce_args args = {
            .N = B,
            .M = keys->all_count,
            .C = options->projection_size,
            .first = keys->first,
            .q = online->features,
            .keys = keys->all_keys,
            .temperature = (float)options->temperature,
            .dscale = losses->scale_sim,
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
        .dslope = (float)slope * losses->scale_sim,
        .sum = losses->sums + 2,
        .dq = online->dfeatures,
    };
    return dev->ops->dot_loss(dev, &args, err);
}

static fsfm_status represent_forward(fsfm_device *dev, const fsfm_online *online,
                                     const fsfm_network_view *view, const fsfm_online_keys *keys,
                                     const fsfm_online_losses *losses, fsfm_error *err)
{
    const fsfm_normalize_args normalize = {
        .N = view->B,
        .C = online->options->projection_size,
        .x = online->predictor.out,
        .out = online->features,
        .norm = online->features_norm,
    };
    FSFM_TRY(fsfm_trunk_represent(dev, &online->trunk, view, err));
    FSFM_TRY(fsfm_head_forward(dev->whole, &online->predictor, view->B, online->trunk.projector.out, err));
    FSFM_TRY(dev->whole->ops->normalize(dev->whole, &normalize, err));
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
    fsfm_device *whole = dev->whole;
    FSFM_TRY(whole->ops->normalize_backward(whole, &normalize, err));
    FSFM_TRY(fsfm_head_backward(whole, &online->predictor, view->B, trunk->projector.out, online->dpredicted,
                                online->dprojected, err));
    FSFM_TRY(fsfm_head_backward(whole, &trunk->projector, view->B, trunk->rep_decoder.out, online->dprojected,
                                online->drepresentation, err));
    return fsfm_rep_decoder_backward(dev, &trunk->rep_decoder, view, trunk->encoder.latent,
                                     online->drepresentation, online->dlatent, err);
}

fsfm_status fsfm_online_step(fsfm_device *dev, const fsfm_online *online, const fsfm_network_view *view,
                             const fsfm_online_keys *keys, const fsfm_online_losses *losses,
                             fsfm_block_done_fn done, void *context, fsfm_error *err)
{
    FSFM_TRY(fsfm_encoder_forward(dev, &online->trunk.encoder, view, err));
    FSFM_TRY(pixel_groups(dev, online, view, losses, true, err));
    if (online->trunk.represents) {
        FSFM_TRY(represent_forward(dev, online, view, keys, losses, err));
        FSFM_TRY(represent_backward(dev, online, view, err));
    }
    if (done) done(context, online->options->depth);
    return fsfm_encoder_backward(dev, &online->trunk.encoder, view, online->dlatent, done, context, err);
}
