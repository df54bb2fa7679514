/* SPDX-License-Identifier: Apache-2.0
 * core/model/trunk.h - what the online and the target network share: encoder, rep decoder, projector. */
#ifndef FSFM_CORE_MODEL_TRUNK_H
#define FSFM_CORE_MODEL_TRUNK_H

#include "core/model/encoder.h"
#include "core/model/head.h"
#include "core/model/rep_decoder.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Constant arrays on the device, borrowed from the learner. */
typedef struct {
    const float *encoder_position; /* (L, embed_dim); the rep decoder, as wide, uses it too */
    const float *decoder_position; /* (L, decoder_embed_dim) */
    const int32_t *all_in_order;   /* (B, L): every row 0, 1, ..., L - 1 */
    const int32_t *nowhere;        /* (L): all -1 */
} fsfm_tables;

typedef struct {
    bool represents; /* id.loss is not none: rep decoder and projector are there */
    fsfm_encoder encoder;
    fsfm_rep_decoder rep_decoder;
    fsfm_head projector;
} fsfm_trunk;

/* K: patches that the network sees. The caller ends it with fsfm_trunk_free(), also after a failure. */
FSFM_MUST_USE
fsfm_status fsfm_trunk_bind(fsfm_trunk *trunk, const fsfm_weights *weights, const fsfm_model_options *options,
                            const fsfm_tables *tables, int64_t K, bool is_plain, fsfm_error *err);
void fsfm_trunk_free(fsfm_trunk *trunk);
/* What represent() and its backward need; the encoder is laid out by itself. */
void fsfm_trunk_layout_represent(fsfm_trunk *trunk, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                                 fsfm_keeps keeps);
/* From encoder.latent to projector.out. */
FSFM_MUST_USE
fsfm_status fsfm_trunk_represent(fsfm_device *dev, const fsfm_trunk *trunk, const fsfm_network_view *view,
                                 fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
