/* SPDX-License-Identifier: Apache-2.0
 * core/model/learner_internal.h - what the files of the learner share. Not for others. */
#ifndef FSFM_CORE_MODEL_LEARNER_INTERNAL_H
#define FSFM_CORE_MODEL_LEARNER_INTERNAL_H

#include "core/model/learner.h"
#include "core/model/online.h"
#include "core/model/optimizer.h"
#include "core/model/target.h"

/* Rows of indices: (B, ...), with room for 1 + L an image. See fsfm_network_view. */
typedef enum {
    FSFM_INDEX_ONLINE,
    FSFM_SLOT_ONLINE,
    FSFM_SEEN_ONLINE,
    FSFM_PATCH_PREDICTED,
    FSFM_TOKEN_PREDICTED,
    FSFM_INDEX_TARGET,
    FSFM_SLOT_TARGET,
    FSFM_INDICES
} fsfm_indices;

typedef struct {
    int32_t *host; /* owned */
    int32_t *dev;  /* NULL where the host's are used in place */
} fsfm_index_buffer;

/* A micro-batch on the device. */
typedef struct {
    fsfm_network_view view, target_view; /* what the online and the target network see of it */
    const uint8_t *mask, *region;
} fsfm_placed_input;

/* What kernels have to know of a step and is not the same in each. */
typedef struct {
    float scales[2]; /* of the gradients of rec_m and rec_fr */
    int64_t first;   /* the micro-batch's place among all keys */
} fsfm_step_numbers;

struct fsfm_learner {
    fsfm_device *dev; /* borrowed */
    fsfm_model_options options;
    fsfm_learner_setup setup; /* options points at the copy above */
    fsfm_parameters parameters;
    int64_t L;        /* patches of an image */
    int64_t target_K; /* patches that the target network sees */
    bool trains, has_target, owns_target;

    /* one arena per lifetime and kind, all on the device */
    fsfm_arena parameter_arena, gradient_arena, optimizer_arena, target_arena, activation_arena, batch_arena;
    /* Weights: 4 bytes an element, matrices as device.h has them. First moments: floats, second: fsfm_act. */
    void *state[FSFM_STATES];
    float *gradients;
    float *encoder_position, *decoder_position;
    int32_t *all_in_order, *nowhere;

    fsfm_online online;
    fsfm_target target;
    fsfm_optimizer optimizer;

    /* of one step */
    double *results;      /* the square of the norm; rec_m, rec_fr, sim; the same three of each slice */
    double *results_host; /* owned */
    double *sums;         /* in results: rec_m, rec_fr, sim */
    double *scratch_sums; /* the same for evaluation */
    float *keys;          /* (local_batch, projection_size) */
    float *all_keys;      /* InfoNCE: (global_batch, projection_size) */
    int64_t global_first;

    /* of one micro-batch; always in the same place, as recordings want it */
    fsfm_recordings *recordings; /* owned; of its work */
    fsfm_placed_input brought;   /* view.B 0: nothing */
    float *batch_keys;           /* (micro_batch, projection_size): its rows of keys */
    fsfm_step_numbers *numbers;  /* on the device */
    fsfm_index_buffer indices[FSFM_INDICES];
    uint8_t *images_u8, *mask, *region; /* device copies; NULL where the host's are used in place */
    float *images_f32;
    int64_t predicted_rows; /* of each image, in pixel_decoder.pixels */
    float *pixels_host;     /* owned: one image's */
    uint16_t *bf16_host;    /* owned: a piece of activations on its way; NULL with float activations */
};
enum { FSFM_BF16_PIECE = 1 << 16 };

size_t fsfm_learner_results_bytes(const fsfm_learner *learner);
/* On the device; 0 where absent. */
size_t fsfm_learner_state_bytes(const fsfm_learner *learner, fsfm_state state);
/* Takes the buffers of micro-batches from arena. */
void fsfm_learner_layout_batch(fsfm_learner *learner, fsfm_arena *arena);
/* Checks input and brings it to the device: for a step of both networks; or for the online one alone, which
 * predicts the patches that a loss looks at, or all. What was brought before is lost. */
typedef enum { FSFM_FOR_STEP, FSFM_FOR_LOSSES, FSFM_FOR_PICTURES } fsfm_purpose;
FSFM_MUST_USE
fsfm_status fsfm_learner_place(fsfm_learner *learner, const fsfm_learner_input *input, fsfm_purpose purpose,
                               fsfm_placed_input *out, fsfm_error *err);
/* count activations from the device as floats. */
FSFM_MUST_USE
fsfm_status fsfm_learner_download_acts(fsfm_learner *learner, float *out_host, const fsfm_act *acts_dev,
                                       int64_t count, fsfm_error *err);
/* (B, L, P): what the pixel decoder predicted, NaN elsewhere. */
FSFM_MUST_USE
fsfm_status fsfm_learner_get_predictions(fsfm_learner *learner, int64_t B, float *pred_host, fsfm_error *err);
#endif
