/* SPDX-License-Identifier: Apache-2.0
 * core/model/learner_step.c - one optimiser step, piece by piece. */
#include <math.h>

#include "core/model/learner_internal.h"

enum { SUMS = 3 }; /* rec_m, rec_fr, sim */

fsfm_status fsfm_learner_begin_step(fsfm_learner *learner, fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    const size_t gradient_bytes = (size_t)learner->parameters.total_floats * sizeof(float);
    FSFM_TRY(dev->ops->zero(dev, learner->gradients, gradient_bytes, err));
    return dev->ops->zero(dev, learner->sums, SUMS * sizeof(double), err);
}

static float *key_rows(const fsfm_learner *learner, int64_t first)
{
    return learner->keys + first * learner->options.projection_size;
}

static size_t key_bytes(const fsfm_learner *learner, int64_t count)
{
    return (size_t)(count * learner->options.projection_size) * sizeof(float);
}

/* Both networks' work is of these kinds: with the same key it is enqueued with the same arguments. */
typedef enum { TARGET_WORK, ONLINE_WORK } work_kind;

static fsfm_recording_key target_key(const fsfm_network_view *view)
{
    return (fsfm_recording_key){{TARGET_WORK, view->B, view->images.u8 != NULL}};
}

static fsfm_recording_key online_key(const fsfm_network_view *view, int64_t samples, bool tells)
{
    return (fsfm_recording_key){{ONLINE_WORK, view->B, view->images.u8 != NULL, view->R, samples, tells}};
}

static fsfm_status enqueue_target(void *context, fsfm_error *err)
{
    fsfm_learner *learner = context;
    return fsfm_target_forward(learner->dev, &learner->target, &learner->brought.target_view,
                               learner->batch_keys, err);
}

fsfm_status fsfm_learner_target(fsfm_learner *learner, int64_t first, fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    const int64_t B = learner->brought.view.B;
    const fsfm_recording_key key = target_key(&learner->brought.target_view);
    const fsfm_recordable work = {.enqueue = enqueue_target, .context = learner};
    FSFM_ASSERT(learner->has_target && B > 0 && first + B <= learner->setup.local_batch);
    FSFM_TRY(fsfm_recordings_run(learner->recordings, &key, &work, err));
    return dev->ops->copy(dev, key_rows(learner, first), learner->batch_keys, key_bytes(learner, B), err);
}

fsfm_status fsfm_learner_set_features(fsfm_learner *learner, int64_t first, int64_t count,
                                      const float *features_host, fsfm_error *err)
{
    FSFM_ASSERT(learner->has_target && first + count <= learner->setup.local_batch);
    return learner->dev->ops->upload(learner->dev, key_rows(learner, first), features_host,
                                     key_bytes(learner, count), err);
}

fsfm_status fsfm_learner_get_keys(fsfm_learner *learner, float *keys_host, fsfm_error *err)
{
    return learner->dev->ops->download(learner->dev, keys_host, learner->keys,
                                       key_bytes(learner, learner->setup.local_batch), err);
}

fsfm_status fsfm_learner_set_keys(fsfm_learner *learner, const float *keys_host, int64_t global_first,
                                  fsfm_error *err)
{
    FSFM_ASSERT(learner->all_keys);
    learner->global_first = global_first;
    return learner->dev->ops->upload(learner->dev, learner->all_keys, keys_host,
                                     key_bytes(learner, learner->setup.global_batch), err);
}

typedef struct {
    fsfm_learner *learner;
    float scale_sim;
    fsfm_gradients_ready_fn ready; /* or NULL */
    void *ready_context;
    int64_t done_from; /* gradients from here on have been told */
} online_work;

static void cut_at_block(void *context, int64_t block)
{
    const online_work *work = context;
    (void)block;
    fsfm_recordings_cut(work->learner->recordings);
}

static fsfm_status enqueue_online(void *context, fsfm_error *err)
{
    online_work *work = context;
    fsfm_learner *learner = work->learner;
    const fsfm_placed_input *placed = &learner->brought;
    const fsfm_online_keys keys = {.keys = learner->batch_keys,
                                   .all_keys = learner->all_keys,
                                   .all_count = learner->setup.global_batch,
                                   .first = &learner->numbers->first};
    const fsfm_online_losses losses = {placed->mask, placed->region, learner->sums, learner->numbers->scales,
                                       work->scale_sim};
    return fsfm_online_step(learner->dev, &learner->online, &placed->view, &keys, &losses,
                            work->ready ? cut_at_block : NULL, work, err);
}

/* Cut 0 is behind all that comes behind the encoder, the mask token included; the others are behind its
 * blocks, from the last to the first. Each is the beginning of what is complete in the gradient array. */
static void tell_gradients(void *context, int64_t cut)
{
    online_work *work = context;
    const fsfm_online *online = &work->learner->online;
    const int64_t block = work->learner->options.depth - cut;
    const int64_t from = cut == 0 ? online->pixel_decoder.mask_token.offset
                                  : online->trunk.encoder.stack.blocks[block].attention.norm.w.weight.offset;
    work->ready(work->ready_context, from, work->done_from - from);
    work->done_from = from;
}

/* weight / count, or 0 where there is nothing to count. */
static float share(double weight, int64_t count)
{
    return count > 0 ? (float)(weight / (double)count) : 0.0f;
}

fsfm_status fsfm_learner_online(fsfm_learner *learner, int64_t first, const fsfm_learner_totals *totals,
                                fsfm_gradients_ready_fn ready, void *ready_context, fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    const fsfm_model_options *options = &learner->options;
    const fsfm_network_view *view = &learner->brought.view;
    const fsfm_step_numbers numbers = {
        .scales = {share(1.0, totals->masked_patches), share(options->weight_fr, totals->region_patches)},
        .first = learner->global_first + first,
    };
    online_work state = {learner, share(options->weight_sim, totals->samples), ready, ready_context,
                         learner->parameters.total_floats};
    const fsfm_recordable work = {enqueue_online, tell_gradients, &state};
    const fsfm_recording_key key = online_key(view, totals->samples, ready != NULL);
    FSFM_ASSERT(learner->trains && view->B > 0);
    FSFM_TRY(dev->ops->upload(dev, learner->numbers, &numbers, sizeof numbers, err));
    if (learner->has_target)
        FSFM_TRY(dev->ops->copy(dev, learner->batch_keys, key_rows(learner, first),
                                key_bytes(learner, view->B), err));
    FSFM_TRY(fsfm_recordings_run(learner->recordings, &key, &work, err));
    if (ready) ready(ready_context, 0, state.done_from);
    return FSFM_OK;
}

size_t fsfm_learner_results_bytes(const fsfm_learner *learner)
{
    return (size_t)(1 + SUMS * (1 + learner->setup.slices)) * sizeof(double);
}

fsfm_status fsfm_learner_keep_sums(fsfm_learner *learner, int64_t slice, fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    FSFM_ASSERT(slice < learner->setup.slices);
    return dev->ops->copy(dev, learner->sums + SUMS * (1 + slice), learner->sums, SUMS * sizeof(double), err);
}

fsfm_status fsfm_learner_start_read(fsfm_learner *learner, fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    FSFM_TRY(dev->ops->norm_squared(dev, learner->parameters.total_floats, learner->gradients,
                                    learner->results, err));
    return dev->ops->start_read(dev, learner->results, fsfm_learner_results_bytes(learner), err);
}

static fsfm_learner_sums sums_at(const double *sums)
{
    return (fsfm_learner_sums){sums[0], sums[1], sums[2]};
}

fsfm_status fsfm_learner_finish_read(fsfm_learner *learner, fsfm_learner_results *out,
                                     fsfm_learner_sums *slices, fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    const double *results = learner->results_host;
    FSFM_TRY(dev->ops->finish_read(dev, learner->results_host, fsfm_learner_results_bytes(learner), err));
    *out = (fsfm_learner_results){results[0], sums_at(results + 1)};
    for (int64_t i = 0; slices && i < learner->setup.slices; i++)
        slices[i] = sums_at(results + 1 + SUMS * (1 + i));
    return FSFM_OK;
}

int64_t fsfm_learner_replays(const fsfm_learner *learner)
{
    return fsfm_recordings_replays(learner->recordings);
}

const char *fsfm_learner_replay_note(const fsfm_learner *learner)
{
    return fsfm_recordings_note(learner->recordings);
}

/* Coefficient of the gradient: min(1, clip / (norm + 1e-6)); clip 0 switches it off. */
static double clip_coefficient(const fsfm_model_options *options, double norm_squared)
{
    if (options->clip <= 0) return 1.0;
    return fmin(1.0, options->clip / (sqrt(norm_squared) + 1e-6));
}

fsfm_status fsfm_learner_finish_step(fsfm_learner *learner, const fsfm_learner_update *update,
                                     fsfm_error *err)
{
    const fsfm_model_options *o = &learner->options;
    const fsfm_adamw_update adamw = {
        .t = update->adam_t,
        .lr = update->lr,
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .eps = o->eps,
        .decay = o->weight_decay,
        .grad_scale = clip_coefficient(o, update->norm_squared),
        .momentum = update->ema_momentum,
    };
    FSFM_ASSERT(learner->trains && !learner->setup.gradients_only);
    return fsfm_optimizer_update(&learner->optimizer, learner->dev, &adamw, err);
}

fsfm_losses fsfm_losses_from_sums(const fsfm_model_options *options, const fsfm_learner_sums *sums,
                                  const fsfm_learner_totals *totals)
{
    fsfm_losses losses = {0};
    if (totals->masked_patches > 0) losses.rec_m = sums->rec_m / (double)totals->masked_patches;
    if (totals->region_patches > 0) losses.rec_fr = sums->rec_fr / (double)totals->region_patches;
    if (totals->samples > 0) losses.sim = sums->sim / (double)totals->samples;
    losses.loss = losses.rec_m + options->weight_fr * losses.rec_fr + options->weight_sim * losses.sim;
    return losses;
}

fsfm_status fsfm_learner_evaluate(fsfm_learner *learner, const fsfm_learner_input *input,
                                  fsfm_learner_sums *sums, fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    fsfm_placed_input placed;
    double got[3];
    FSFM_TRY(fsfm_learner_place(learner, input, FSFM_FOR_LOSSES, &placed, err));
    const fsfm_online_losses losses = {
        .mask = placed.mask, .region = placed.region, .sums = learner->scratch_sums};
    FSFM_TRY(dev->ops->zero(dev, learner->scratch_sums, sizeof got, err));
    FSFM_TRY(fsfm_online_reconstruct(dev, &learner->online, &placed.view, &losses, err));
    FSFM_TRY(dev->ops->download(dev, got, learner->scratch_sums, sizeof got, err));
    sums->rec_m += got[0];
    sums->rec_fr += got[1];
    return FSFM_OK;
}

fsfm_status fsfm_learner_reconstruct(fsfm_learner *learner, const fsfm_learner_input *input, float *pred_host,
                                     fsfm_error *err)
{
    fsfm_placed_input placed;
    FSFM_TRY(fsfm_learner_place(learner, input, FSFM_FOR_PICTURES, &placed, err));
    FSFM_TRY(fsfm_online_reconstruct(learner->dev, &learner->online, &placed.view, NULL, err));
    return fsfm_learner_get_predictions(learner, input->B, pred_host, err);
}
