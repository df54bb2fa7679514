/* SPDX-License-Identifier: Apache-2.0
 * core/model/encoder.h - ViT encoder on the patches that are seen: patch embedding + fixed position table,
 * class token, blocks, norm. */
#ifndef FSFM_CORE_MODEL_ENCODER_H
#define FSFM_CORE_MODEL_ENCODER_H

#include "core/model/view.h"
#include "core/model/vit_block.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int64_t C, P;
    fsfm_linear patch_embed;
    fsfm_weight cls_token;
    const float *position; /* (L, C) on the device, borrowed */
    fsfm_stack stack;
    fsfm_norm norm;
    /* activations */
    fsfm_keeps keeps;
    fsfm_act *patches;  /* (B, K, P) */
    fsfm_act *embedded; /* (B, K, C); in backward: its gradient */
    fsfm_act *latent;   /* (B, 1 + K, C): the output */
    fsfm_norm_stats stats;
} fsfm_encoder;

FSFM_MUST_USE
fsfm_status fsfm_encoder_bind(fsfm_encoder *encoder, const fsfm_weights *weights,
                              const fsfm_model_options *options, fsfm_error *err);
void fsfm_encoder_free(fsfm_encoder *encoder);
/* The result, and what forward leaves for backward. */
void fsfm_encoder_layout(fsfm_encoder *encoder, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                         int64_t K, fsfm_keeps keeps);
/* Then what it needs while it is at work, forward or backward: others may use the memory at other times. */
void fsfm_encoder_layout_work(fsfm_encoder *encoder, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                              int64_t K);
FSFM_MUST_USE
fsfm_status fsfm_encoder_forward(fsfm_device *dev, const fsfm_encoder *encoder, const fsfm_network_view *view,
                                 fsfm_error *err);
/* dlatent (B, 1 + K, C) is overwritten. */
FSFM_MUST_USE
fsfm_status fsfm_encoder_backward(fsfm_device *dev, const fsfm_encoder *encoder,
                                  const fsfm_network_view *view, fsfm_act *dlatent, fsfm_block_done_fn done,
                                  void *context, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
