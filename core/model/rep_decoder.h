/* SPDX-License-Identifier: Apache-2.0
 * core/model/rep_decoder.h - from the encoder's tokens to one vector an image: Linear, mask tokens in the
 * gaps, blocks, norm, Linear back, mean over all 1 + L tokens. With id.rep_decoder off: the mean of the
 * encoder's tokens.
 *
 * Without a position table (model.rep_pos zeros) all mask tokens of an image are equal at the input and stay
 * equal through every block. They then go through as ONE last token that counts L - K times as a key, in the
 * mean and so in every gradient: exact, not an approximation. The last Linear commutes with the mean and
 * comes after it. `plain` does neither.
 *
 * One vector an image is little work, and the loss is a cosine of it: from the last norm on everything is
 * computed in fp32, whatever the device's precision, and in the online network the blocks' queries and keys
 * come from weights that are not rounded (attention.h). In bf16 the noise in their small gradients would
 * otherwise grow from step to step. */
#ifndef FSFM_CORE_MODEL_REP_DECODER_H
#define FSFM_CORE_MODEL_REP_DECODER_H

#include "core/model/view.h"
#include "core/model/vit_block.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    bool is_bypassed; /* id.rep_decoder false */
    bool is_plain;
    int64_t C;    /* width of encoder and rep decoder */
    int64_t K, L; /* patches seen and all */
    int64_t T;    /* tokens in the blocks */
    float last_multiplicity;
    const float *position;       /* (L, C) on the device, borrowed; NULL: rep_pos zeros */
    const int32_t *all_in_order; /* (B, L) on the device: slots 0, 1, ...; borrowed */
    fsfm_weight mask_token;
    fsfm_linear embed, pred;
    fsfm_stack stack;
    fsfm_norm norm;
    /* activations */
    float *embedded; /* (B, 1 + K, C), where tokens are put in between; in backward its gradient: fsfm_act */
    float *normed;   /* (B, T, C) */
    void *mean;      /* (B, C), floats before pred unless plain; bypassed: fsfm_act */
    float *tokens;   /* (B, T, C), plain: after pred; its gradient in backward */
    float *out;      /* (B, C) */
    fsfm_act *dstream; /* (B, T, C) */
    void *dnormed;     /* (B, T, C) floats; dstream, if these are floats too */
    void *dmean;       /* (B, C), as mean */
    fsfm_norm_stats stats;
} fsfm_rep_decoder;

FSFM_MUST_USE
fsfm_status fsfm_rep_decoder_bind(fsfm_rep_decoder *decoder, const fsfm_weights *weights,
                                  const fsfm_model_options *options, int64_t K, bool is_plain,
                                  fsfm_error *err);
void fsfm_rep_decoder_free(fsfm_rep_decoder *decoder);
/* All that it needs from the beginning of forward to the end of backward. */
void fsfm_rep_decoder_layout(fsfm_rep_decoder *decoder, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                             fsfm_keeps keeps);
/* latent (B, 1 + K, C) -> decoder->out (B, C). */
FSFM_MUST_USE
fsfm_status fsfm_rep_decoder_forward(fsfm_device *dev, const fsfm_rep_decoder *decoder,
                                     const fsfm_network_view *view, const fsfm_act *latent, fsfm_error *err);
/* dout (B, C); dlatent (B, 1 + K, C) is added to. */
FSFM_MUST_USE
fsfm_status fsfm_rep_decoder_backward(fsfm_device *dev, const fsfm_rep_decoder *decoder,
                                      const fsfm_network_view *view, const fsfm_act *latent,
                                      const float *dout, fsfm_act *dlatent, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
