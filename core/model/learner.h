/* SPDX-License-Identifier: Apache-2.0
 * core/model/learner.h - both networks, their gradients and optimiser on one device: everything a step
 * computes.
 *
 * One optimiser step, as the train loop drives it:
 *   fsfm_learner_begin_step()                      gradients and sums to zero
 *   for each micro-batch: fsfm_learner_bring()     to the device, once for both networks
 *                         fsfm_learner_target()    features of the target network, or
 *                         fsfm_learner_set_features()    where they are known
 *                         fsfm_learner_online()    losses; gradients are added up
 *   (sum gradients over ranks)
 *   fsfm_learner_start_read()                      their norm, and the sums of the losses, to the host
 *   (fsfm_learner_bring() of the next step)        while the device still computes
 *   fsfm_learner_finish_read()                     the one place where a step waits
 *   (sum the losses over ranks)
 *   fsfm_learner_finish_step()                     clip, AdamW, EMA
 * With InfoNCE the target comes first for all micro-batches, then the keys of all ranks are gathered
 * (fsfm_learner_get_keys(), which waits, and fsfm_learner_set_keys()), then online() follows for all.
 *
 * Nothing here allocates after fsfm_learner_open(), but for recordings at the second use of a shape: what
 * target() and online() enqueue is then replayed as a whole, where the device can (recordings.h). */
#ifndef FSFM_CORE_MODEL_LEARNER_H
#define FSFM_CORE_MODEL_LEARNER_H

#include "core/device/device.h"
#include "core/model/parameters.h"
#include "core/model/recordings.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fsfm_learner fsfm_learner;

typedef struct {
    const fsfm_model_options *options; /* resolved; copied */
    int64_t micro_batch;               /* images at a time, at most */
    int64_t kept;                      /* patches that the online network sees of each image (K) */
    int64_t global_batch;     /* 0: no training (evaluation, export): no gradients, moments, target */
    int64_t local_batch;      /* images of this process in a step; the target features of so many are held */
    bool gradients_only;      /* finish_step() will not be called: no moments */
    bool plain;               /* without the exact savings: rep decoder on all 1 + L tokens, ... */
    fsfm_recompute recompute; /* what backward computes again for the sake of memory */
    fsfm_records records;     /* whether the work of a micro-batch is replayed as a whole */
    int64_t slices;           /* of a step in this process, whose sums are kept apart; 0: none */
    float mean[3], std[3];    /* normalisation of uint8 images */
} fsfm_learner_setup;

/* One micro-batch in host memory. Masks: 1 = removed; every row of mask (and target_mask) has the same number
 * of zeros, setup.kept. Exactly one of images_u8 and images_f32 is not NULL. */
typedef struct {
    int64_t B;
    const uint8_t *images_u8;   /* (B, size, size, 3) */
    const float *images_f32;    /* (B, size, size, 3), normalised */
    const uint8_t *mask;        /* (B, L) */
    const uint8_t *region;      /* (B, L) */
    const uint8_t *target_mask; /* (B, L); only with target.view masked */
} fsfm_learner_input;

/* Integer counts over the global batch: the denominators of the losses, known before backward. A term whose
 * count is 0 is 0. */
typedef struct {
    int64_t samples, masked_patches, region_patches;
} fsfm_learner_totals;

/* Sums over samples or patches; divided by totals they are the losses. */
typedef struct {
    double rec_m, rec_fr, sim;
} fsfm_learner_sums;

typedef struct {
    double loss, rec_m, rec_fr, sim;
} fsfm_losses;

/* Memory that open() would take, by part, without opening (`fsfm plan`, train.micro_batch auto). */
typedef struct {
    size_t parameters, gradients, optimizer, target, activations, batch;
} fsfm_learner_memory;
FSFM_MUST_USE
fsfm_status fsfm_learner_measure(const fsfm_device *dev, const fsfm_learner_setup *setup,
                                 fsfm_learner_memory *out, fsfm_error *err);

/* dev is borrowed and must outlive the learner. All state is zero until set. */
FSFM_MUST_USE
fsfm_status fsfm_learner_open(fsfm_device *dev, const fsfm_learner_setup *setup, fsfm_learner **out,
                              fsfm_error *err);
void fsfm_learner_close(fsfm_learner **learner); /* accepts NULL */

const fsfm_parameters *fsfm_learner_parameters(const fsfm_learner *learner);

/* Arrays of the state, for checkpoints, as floats: online (total_floats), target (trunk_floats; absent with
 * target.update shared or id.loss none), first and second moments (total_floats). Absent without training.
 * Getting and setting again changes no bit, whatever the device's precision. */
typedef enum {
    FSFM_STATE_ONLINE,
    FSFM_STATE_TARGET,
    FSFM_STATE_MOMENT1,
    FSFM_STATE_MOMENT2,
    FSFM_STATES
} fsfm_state;
/* Length in floats; 0 where absent. */
int64_t fsfm_learner_state_floats(const fsfm_learner *learner, fsfm_state state);
FSFM_MUST_USE
fsfm_status fsfm_learner_get_state(fsfm_learner *learner, fsfm_state state, float *values_host,
                                   fsfm_error *err);
/* Setting the online weights does not change the target. */
FSFM_MUST_USE
fsfm_status fsfm_learner_set_state(fsfm_learner *learner, fsfm_state state, const float *values_host,
                                   fsfm_error *err);
/* target = the online trunk, bit for bit: how every run starts. */
FSFM_MUST_USE
fsfm_status fsfm_learner_copy_target(fsfm_learner *learner, fsfm_error *err);

bool fsfm_learner_has_target(
    const fsfm_learner *learner); /* id.loss is not none: target() has to be called */

FSFM_MUST_USE
fsfm_status fsfm_learner_begin_step(fsfm_learner *learner, fsfm_error *err);
/* Brings a micro-batch to the device, for target() and online() until the next one is brought, behind what
 * was enqueued before. Where the device's memory is the host's, input's arrays are used in place and must
 * stay as they are so long; else they are free on return. */
FSFM_MUST_USE
fsfm_status fsfm_learner_bring(fsfm_learner *learner, const fsfm_learner_input *input, fsfm_error *err);
/* Whether what was brought last is still there: evaluate() and reconstruct() bring their own. */
bool fsfm_learner_has_batch(const fsfm_learner *learner);
/* Target features of what was brought: images [first, first + B) of this process's part of the global batch.
 */
FSFM_MUST_USE
fsfm_status fsfm_learner_target(fsfm_learner *learner, int64_t first, fsfm_error *err);
/* The same of count images from features that target() gave before, features_host (count, projection_size).
 */
FSFM_MUST_USE
fsfm_status fsfm_learner_set_features(fsfm_learner *learner, int64_t first, int64_t count,
                                      const float *features_host, fsfm_error *err);
/* (local_batch, projection_size): what target() computed, or was set. Waits. */
FSFM_MUST_USE
fsfm_status fsfm_learner_get_keys(fsfm_learner *learner, float *keys_host, fsfm_error *err);
/* InfoNCE: (global_batch, projection_size), all ranks' keys in the order of the global batch; global_first is
 * the place of this process's first image in it. */
FSFM_MUST_USE
fsfm_status fsfm_learner_set_keys(fsfm_learner *learner, const float *keys_host, int64_t global_first,
                                  fsfm_error *err);
/* Tells that gradients [first, first + count) of this micro-batch are complete (enqueued). */
typedef void (*fsfm_gradients_ready_fn)(void *context, int64_t first, int64_t count);
/* Forward and backward of the online network on what was brought, images [first, first + B) of this process's
 * part: gradients and sums are added to. ready may be NULL. */
FSFM_MUST_USE
fsfm_status fsfm_learner_online(fsfm_learner *learner, int64_t first, const fsfm_learner_totals *totals,
                                fsfm_gradients_ready_fn ready, void *ready_context, fsfm_error *err);
/* Keeps the sums so far as those of a slice, 0 <= slice < setup.slices, for start_read(). */
FSFM_MUST_USE
fsfm_status fsfm_learner_keep_sums(fsfm_learner *learner, int64_t slice, fsfm_error *err);

float *fsfm_learner_gradients_dev(fsfm_learner *learner); /* (total_floats) */

typedef struct {
    double norm_squared;    /* of all gradients, in double and in a fixed order */
    fsfm_learner_sums sums; /* of what online() saw since begin_step() */
} fsfm_learner_results;
/* Starts to read the results as they are at this place of the queue; finish_read() waits for them. slices
 * (setup.slices), where not NULL, gets the sums that were kept. */
FSFM_MUST_USE
fsfm_status fsfm_learner_start_read(fsfm_learner *learner, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_learner_finish_read(fsfm_learner *learner, fsfm_learner_results *out,
                                     fsfm_learner_sums *slices, fsfm_error *err);
/* How often a micro-batch's work was replayed, and why it is not, as recordings.h has them. */
int64_t fsfm_learner_replays(const fsfm_learner *learner);
const char *fsfm_learner_replay_note(const fsfm_learner *learner);

typedef struct {
    double lr, ema_momentum;
    double norm_squared; /* of the gradients, for clipping */
    int64_t adam_t;      /* this update's number, from 1 */
} fsfm_learner_update;
/* Clips, updates online weights and moments, then the target (target.update ema). */
FSFM_MUST_USE
fsfm_status fsfm_learner_finish_step(fsfm_learner *learner, const fsfm_learner_update *update,
                                     fsfm_error *err);

/* L = L_rec^m + weight_fr L_rec^fr + weight_sim L_sim from sums and totals. */
fsfm_losses fsfm_losses_from_sums(const fsfm_model_options *options, const fsfm_learner_sums *sums,
                                  const fsfm_learner_totals *totals);

/* Reconstruction losses without gradients: adds to *sums (rec_m, rec_fr only). */
FSFM_MUST_USE
fsfm_status fsfm_learner_evaluate(fsfm_learner *learner, const fsfm_learner_input *input,
                                  fsfm_learner_sums *sums, fsfm_error *err);
/* Pixel predictions of every patch, (B, L, P), in the order (row, column, channel), as the network gives them
 * (normalised by patch if loss.norm_pix). */
FSFM_MUST_USE
fsfm_status fsfm_learner_reconstruct(fsfm_learner *learner, const fsfm_learner_input *input, float *pred_host,
                                     fsfm_error *err);

/* What `verify` compares; each may be NULL. After target() and online(). */
typedef struct {
    float *latent;      /* (B, 1 + K, C) */
    float *feat;        /* (B, projection_size) */
    float *feat_target; /* (B, projection_size) */
    float *pred;        /* (B, L, P); NaN in patches that were not predicted, as no loss looked at them */
} fsfm_learner_outputs;
FSFM_MUST_USE
fsfm_status fsfm_learner_get_outputs(fsfm_learner *learner, const fsfm_learner_outputs *out, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
