/* SPDX-License-Identifier: Apache-2.0
 * core/model/online.h - the online network: trunk, predictor, pixel decoder, the losses, and the gradient of
 * all of it. */
#ifndef FSFM_CORE_MODEL_ONLINE_H
#define FSFM_CORE_MODEL_ONLINE_H

#include "core/model/learner.h"
#include "core/model/pixel_decoder.h"
#include "core/model/trunk.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const fsfm_model_options *options; /* borrowed */
    fsfm_trunk trunk;
    fsfm_head predictor;
    fsfm_pixel_decoder pixel_decoder;
    /* activations */
    float *features, *features_norm, *dfeatures; /* (B, projection_size), (B), (B, projection_size) */
    float *logits;                               /* (B, keys of the global batch); InfoNCE */
    float *dpredicted, *dprojected;              /* (B, projection_size) */
    float *drepresentation;                      /* (B, C) */
    fsfm_act *dlatent;                           /* (B, 1 + K, C) */
} fsfm_online;

/* The target features that the online ones are compared with. */
typedef struct {
    const float *keys;     /* (B, projection_size): of the same images */
    const float *all_keys; /* InfoNCE: (count, projection_size), of the whole global batch */
    int64_t all_count;
    const int64_t *first; /* on the device: place of the micro-batch's first image among them */
} fsfm_online_keys;

/* Where the losses go. */
typedef struct {
    const uint8_t *mask, *region; /* (B, L) on the device */
    double *sums;                 /* rec_m, rec_fr, sim on the device; added to */
    const float *scales;          /* (2) on the device: of the gradients of rec_m and rec_fr */
    float scale_sim;              /* of the gradient of sim */
} fsfm_online_losses;

FSFM_MUST_USE
fsfm_status fsfm_online_bind(fsfm_online *online, const fsfm_weights *weights,
                             const fsfm_model_options *options, const fsfm_tables *tables, int64_t K,
                             bool is_plain, fsfm_error *err);
void fsfm_online_free(fsfm_online *online);
/* key_count: of InfoNCE's global batch. */
void fsfm_online_layout(fsfm_online *online, fsfm_arena *arena, const fsfm_device *dev, int64_t B, int64_t K,
                        int64_t key_count, fsfm_keeps keeps);
/* Encoder and pixel decoder without gradients: sets pixel_decoder.pixels; losses, where not NULL, are added
 * up. */
FSFM_MUST_USE
fsfm_status fsfm_online_reconstruct(fsfm_device *dev, const fsfm_online *online,
                                    const fsfm_network_view *view, const fsfm_online_losses *losses,
                                    fsfm_error *err);
/* Forward and backward of all of it: losses and gradients are added up. done tells of each encoder block;
 * block number depth, first, stands for everything behind the encoder. */
FSFM_MUST_USE
fsfm_status fsfm_online_step(fsfm_device *dev, const fsfm_online *online, const fsfm_network_view *view,
                             const fsfm_online_keys *keys, const fsfm_online_losses *losses,
                             fsfm_block_done_fn done, void *context, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
