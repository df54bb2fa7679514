/* SPDX-License-Identifier: Apache-2.0
 * core/model/pixel_decoder.h - from the encoder's tokens to the pixels of patches: mask tokens in the gaps,
 * Linear to the decoder's width, fixed position table, blocks, norm, Linear to the patch's pixels.
 *
 * It is the widest part of the step, so it goes through a micro-batch in groups of a few images, forward,
 * loss and backward of one group before the next: its activations exist for one group alone.
 *
 * The exact savings: the mask token fills the gaps at the encoder's width, before the Linear; as a Linear
 * treats tokens alone, it is applied to the tokens seen and once to the mask token, and the gaps are filled
 * behind it. The first of several blocks does the same with its own Linear (first_block.h); the last block
 * and all behind it compute the tokens that a loss looks at (last_block.h). `plain` does none of it. */
#ifndef FSFM_CORE_MODEL_PIXEL_DECODER_H
#define FSFM_CORE_MODEL_PIXEL_DECODER_H

#include "core/model/first_block.h"
#include "core/model/last_block.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    bool is_plain, has_first; /* has_first: not plain, and the first block is not the last */
    int64_t Cin, C, P;        /* encoder's width, own width, values of a patch */
    int64_t K, L;
    const float *position;       /* (L, C) on the device, borrowed */
    const int32_t *all_in_order; /* (B, L) on the device: slots 0, 1, ...; borrowed */
    fsfm_weight mask_token;
    fsfm_linear embed, pred;
    fsfm_first_block first;
    fsfm_stack stack; /* the blocks in between, plain: all of them */
    fsfm_last_block last;
    fsfm_norm norm;
    int64_t group;     /* images at a time, at most */
    int64_t rows_most; /* rows of an image's pixels, at most */
    fsfm_keeps keeps;
    /* of the micro-batch; not plain but for the first */
    fsfm_act *token;       /* (Cin): the mask token */
    float *mask_embedded;  /* (C) */
    float *dmask_embedded; /* (C) */
    fsfm_act *dmask_act;   /* (C) */
    fsfm_act *dtoken;      /* (Cin) */
    fsfm_act *pixels;      /* (B, R, P): the output */
    /* of a group of B images; R: rows that are predicted of each, plain: 1 + L */
    fsfm_act *filled;  /* (B, 1 + L, Cin), plain: tokens with their gaps filled */
    float *embedded;   /* (B, 1 + K, C), plain: (B, 1 + L, C); in backward its gradient: fsfm_act */
    fsfm_act *normed;  /* (B, R, C) */
    fsfm_act *dpixels; /* (B, R, P) */
    fsfm_act *dnormed; /* (B, R, C) */
    fsfm_act *dstream; /* (B, 1 + L, C); plain: dnormed */
    fsfm_act *dfilled; /* (B, 1 + L, Cin), plain */
    fsfm_norm_stats stats;
} fsfm_pixel_decoder;

FSFM_MUST_USE
fsfm_status fsfm_pixel_decoder_bind(fsfm_pixel_decoder *decoder, const fsfm_weights *weights,
                                    const fsfm_model_options *options, int64_t K, bool is_plain,
                                    fsfm_error *err);
void fsfm_pixel_decoder_free(fsfm_pixel_decoder *decoder);
/* The pixels of B images, which outlive the rest. */
void fsfm_pixel_decoder_layout_pixels(fsfm_pixel_decoder *decoder, fsfm_arena *arena, const fsfm_device *dev,
                                      int64_t B);
/* All that it needs from begin() to end(), for micro-batches of at most B images. */
void fsfm_pixel_decoder_layout(fsfm_pixel_decoder *decoder, fsfm_arena *arena, const fsfm_device *dev,
                               int64_t B, fsfm_keeps keeps);

/* Before the groups of a micro-batch. */
FSFM_MUST_USE
fsfm_status fsfm_pixel_decoder_begin(fsfm_device *dev, const fsfm_pixel_decoder *decoder, fsfm_error *err);
/* A group: view and latent (B, 1 + K, Cin) are its own; pixels (B, R, P) is set. */
FSFM_MUST_USE
fsfm_status fsfm_pixel_decoder_forward(fsfm_device *dev, const fsfm_pixel_decoder *decoder,
                                       const fsfm_network_view *view, const fsfm_act *latent,
                                       fsfm_act *pixels, fsfm_error *err);
/* The same group, from decoder->dpixels; dlatent (B, 1 + K, Cin) is set. */
FSFM_MUST_USE
fsfm_status fsfm_pixel_decoder_backward(fsfm_device *dev, const fsfm_pixel_decoder *decoder,
                                        const fsfm_network_view *view, const fsfm_act *latent,
                                        fsfm_act *dlatent, fsfm_error *err);
/* Behind the groups of a micro-batch, if they had backward. */
FSFM_MUST_USE
fsfm_status fsfm_pixel_decoder_end(fsfm_device *dev, const fsfm_pixel_decoder *decoder, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
