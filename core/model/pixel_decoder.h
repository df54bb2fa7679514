/* SPDX-License-Identifier: Apache-2.0
 * core/model/pixel_decoder.h - from the encoder's tokens to the pixels of every patch: mask tokens in the
 * gaps, Linear to the decoder's width, fixed position table, blocks, norm, Linear to the patch's pixels.
 *
 * The mask token fills the gaps at the encoder's width, before the Linear; as a Linear treats tokens alone,
 * it is applied to the tokens seen and once to the mask token (whose floats are taken as activations: fp32
 * only), and the gaps are filled behind it: exact. `plain` fills first. */
#ifndef FSFM_CORE_MODEL_PIXEL_DECODER_H
#define FSFM_CORE_MODEL_PIXEL_DECODER_H

#include "core/model/view.h"
#include "core/model/vit_block.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    bool is_plain;
    int64_t Cin, C, P; /* encoder's width, own width, values of a patch */
    int64_t K, L;
    const float *position;       /* (L, C) on the device, borrowed */
    const int32_t *all_in_order; /* (B, L) on the device: slots 0, 1, ...; borrowed */
    fsfm_weight mask_token;
    fsfm_linear embed, pred;
    fsfm_stack stack;
    fsfm_norm norm;
    /* activations */
    fsfm_act *filled;   /* (B, 1 + L, Cin), plain: tokens with their gaps filled; its gradient in backward */
    fsfm_act *embedded; /* (B, 1 + K, C), plain: (B, 1 + L, C); its gradient in backward */
    float *mask_embedded, *dmask_embedded; /* (C) */
    fsfm_act *normed;                      /* (B, 1 + L, C) */
    fsfm_act *pixels;                      /* (B, 1 + L, P): the output; row 0 of an image means nothing */
    fsfm_act *dpixels;                     /* (B, 1 + L, P) */
    fsfm_act *dstream;                     /* (B, 1 + L, C) */
    fsfm_act *dfilled;                     /* (B, 1 + L, Cin), plain */
    fsfm_norm_stats stats;
} fsfm_pixel_decoder;

FSFM_MUST_USE
fsfm_status fsfm_pixel_decoder_bind(fsfm_pixel_decoder *decoder, const fsfm_weights *weights,
                                    const fsfm_model_options *options, int64_t K, bool is_plain,
                                    fsfm_error *err);
void fsfm_pixel_decoder_free(fsfm_pixel_decoder *decoder);
void fsfm_pixel_decoder_layout(fsfm_pixel_decoder *decoder, fsfm_arena *arena, const fsfm_device *dev,
                               int64_t B, bool keeps);
FSFM_MUST_USE
fsfm_status fsfm_pixel_decoder_forward(fsfm_device *dev, const fsfm_pixel_decoder *decoder,
                                       const fsfm_network_view *view, const fsfm_act *latent,
                                       fsfm_error *err);
/* From decoder->dpixels; dlatent (B, 1 + K, Cin) is set. */
FSFM_MUST_USE
fsfm_status fsfm_pixel_decoder_backward(fsfm_device *dev, const fsfm_pixel_decoder *decoder,
                                        const fsfm_network_view *view, const fsfm_act *latent,
                                        fsfm_act *dlatent, const fsfm_block_scratch *scratch,
                                        fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
