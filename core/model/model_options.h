/* SPDX-License-Identifier: Apache-2.0
 * core/model/model_options.h - the keys `model.*`, `loss.*`, `id.*`, `target.*` and `optim.*`. */
#ifndef FSFM_CORE_MODEL_MODEL_OPTIONS_H
#define FSFM_CORE_MODEL_MODEL_OPTIONS_H

#include "core/base/options.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { FSFM_VIT_T16, FSFM_VIT_S16, FSFM_VIT_B16, FSFM_VIT_L16, FSFM_VIT_H14 } fsfm_preset;
typedef enum { FSFM_REP_POS_ZEROS, FSFM_REP_POS_SINCOS } fsfm_rep_pos;
typedef enum { FSFM_ID_COSINE, FSFM_ID_BYOL, FSFM_ID_INFONCE, FSFM_ID_NONE } fsfm_id_loss;
typedef enum { FSFM_TARGET_EMA, FSFM_TARGET_FROZEN, FSFM_TARGET_SHARED } fsfm_target_update;
typedef enum { FSFM_TARGET_FULL, FSFM_TARGET_MASKED } fsfm_target_view;
/* What backward computes again instead of finding it in memory; the results are the same bits. */
typedef enum {
    FSFM_RECOMPUTE_NONE,
    FSFM_RECOMPUTE_GELU,
    FSFM_RECOMPUTE_BLOCK,
    FSFM_RECOMPUTE_AUTO /* what a learner is opened with is chosen before */
} fsfm_recompute;

typedef struct {
    fsfm_preset preset;
    /* FSFM_AUTO until fsfm_model_options_resolve() fills them from the preset. */
    int64_t img_size, patch_size, embed_dim, depth, num_heads;
    int64_t decoder_embed_dim, decoder_depth, decoder_num_heads;
    int64_t rep_decoder_embed_dim, rep_decoder_depth, rep_decoder_num_heads;
    int64_t projection_size, projection_hidden_size;
    double mlp_ratio, ln_eps;
    fsfm_rep_pos rep_pos;
    char init[FSFM_TEXT_SIZE]; /* checkpoint to start from; "" */

    double weight_fr, weight_sim;
    bool norm_pix;

    fsfm_id_loss id_loss;
    double temperature;
    bool id_rep_decoder;

    fsfm_target_update target_update;
    fsfm_target_view target_view;
    double target_momentum;

    double blr, beta1, beta2, eps, weight_decay, clip, warmup_epochs;
} fsfm_model_options;

extern const fsfm_option fsfm_model_options_table[];
extern const int fsfm_model_options_count;

const char *fsfm_model_preset_name(fsfm_preset preset); /* "vit_b16", ... */

/* Fills what is FSFM_AUTO from the preset and checks what goes together (heads divide widths, patch divides
 * image, rep decoder as wide as the encoder, widths divide by 4). On failure *key names the key at fault. */
FSFM_MUST_USE
fsfm_status fsfm_model_options_resolve(fsfm_model_options *options, const char **key, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
