/* SPDX-License-Identifier: Apache-2.0
 * core/model/learner_step.c - one optimiser step, piece by piece. */
#include <math.h>

#include "core/model/learner_internal.h"

fsfm_status fsfm_learner_begin_step(fsfm_learner *learner, fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    const size_t gradient_bytes = (size_t)learner->parameters.total_floats * sizeof(float);
    FSFM_TRY(dev->ops->zero(dev, learner->gradients, gradient_bytes, err));
    return dev->ops->zero(dev, learner->sums, 3 * sizeof(double), err);
}

static float *key_rows(const fsfm_learner *learner, int64_t first)
{
    return learner->keys + first * learner->options.projection_size;
}

fsfm_status fsfm_learner_target(fsfm_learner *learner, const fsfm_learner_input *input, int64_t first,
                                fsfm_error *err)
{
    fsfm_placed_input placed;
    FSFM_ASSERT(learner->has_target && first + input->B <= learner->setup.local_batch);
    FSFM_TRY(fsfm_learner_place(learner, input, FSFM_FOR_TARGET, &placed, err));
    return fsfm_target_forward(learner->dev, &learner->target, &placed.view, key_rows(learner, first), err);
}

fsfm_status fsfm_learner_set_features(fsfm_learner *learner, int64_t first, int64_t count,
                                      const float *features_host, fsfm_error *err)
{
    const size_t size_bytes = (size_t)(count * learner->options.projection_size) * sizeof(float);
    FSFM_ASSERT(learner->has_target && first + count <= learner->setup.local_batch);
    return learner->dev->ops->upload(learner->dev, key_rows(learner, first), features_host, size_bytes, err);
}

fsfm_status fsfm_learner_get_keys(fsfm_learner *learner, float *keys_host, fsfm_error *err)
{
    const size_t size_bytes =
        (size_t)(learner->setup.local_batch * learner->options.projection_size) * sizeof(float);
    return learner->dev->ops->download(learner->dev, keys_host, learner->keys, size_bytes, err);
}

fsfm_status fsfm_learner_set_keys(fsfm_learner *learner, const float *keys_host, int64_t global_first,
                                  fsfm_error *err)
{
    const size_t size_bytes =
        (size_t)(learner->setup.global_batch * learner->options.projection_size) * sizeof(float);
    FSFM_ASSERT(learner->all_keys);
    learner->global_first = global_first;
    return learner->dev->ops->upload(learner->dev, learner->all_keys, keys_host, size_bytes, err);
}

/* Turns "block i is done" into ranges of the gradient array. */
typedef struct {
    const fsfm_learner *learner;
    fsfm_gradients_ready_fn ready;
    void *context;
    int64_t done_from; /* gradients from here on have been told */
} ready_state;

static void tell_block(void *context, int64_t block)
{
    ready_state *state = context;
    const fsfm_learner *learner = state->learner;
    int64_t from;
    if (block == learner->options.depth) /* the mask token and all that comes behind the encoder */
        from = learner->online.pixel_decoder.mask_token.offset;
    else
        from = learner->online.trunk.encoder.stack.blocks[block].attention.norm.w.weight.offset;
    state->ready(state->context, from, state->done_from - from);
    state->done_from = from;
}

fsfm_status fsfm_learner_online(fsfm_learner *learner, const fsfm_learner_input *input, int64_t first,
                                const fsfm_learner_totals *totals, fsfm_gradients_ready_fn ready,
                                void *ready_context, fsfm_error *err)
{
    fsfm_placed_input placed;
    FSFM_ASSERT(learner->trains);
    FSFM_TRY(fsfm_learner_place(learner, input, FSFM_FOR_LOSSES, &placed, err));
    const fsfm_online_keys keys = {
        .keys = learner->has_target ? key_rows(learner, first) : NULL,
        .all_keys = learner->all_keys,
        .all_count = learner->setup.global_batch,
        .first = learner->global_first + first,
    };
    const fsfm_online_losses losses = {placed.mask, placed.region, learner->sums, *totals};
    ready_state state = {learner, ready, ready_context, learner->parameters.total_floats};
    FSFM_TRY(fsfm_online_step(learner->dev, &learner->online, &placed.view, &keys, &losses,
                              ready ? tell_block : NULL, &state, err));
    if (ready) ready(ready_context, 0, state.done_from);
    return FSFM_OK;
}

fsfm_status fsfm_learner_get_sums(fsfm_learner *learner, fsfm_learner_sums *out, fsfm_error *err)
{
    double sums[3];
    FSFM_TRY(learner->dev->ops->download(learner->dev, sums, learner->sums, sizeof sums, err));
    *out = (fsfm_learner_sums){sums[0], sums[1], sums[2]};
    return FSFM_OK;
}

fsfm_status fsfm_learner_norm_squared(fsfm_learner *learner, double *out, fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    FSFM_TRY(dev->ops->norm_squared(dev, learner->parameters.total_floats, learner->gradients,
                                    learner->scratch_sums, err));
    return dev->ops->download(dev, out, learner->scratch_sums, sizeof *out, err);
}

/* Coefficient of the gradient: min(1, clip / (norm + 1e-6)); clip 0 switches it off. */
static double clip_coefficient(const fsfm_model_options *options, double norm_squared)
{
    if (options->clip <= 0) return 1.0;
    return fmin(1.0, options->clip / (sqrt(norm_squared) + 1e-6));
}

static fsfm_status update_weights(fsfm_learner *learner, const fsfm_learner_update *update, fsfm_error *err)
{
    const fsfm_model_options *o = &learner->options;
    fsfm_device *dev = learner->dev;
    fsfm_adamw_args args = {
        .lr = update->lr,
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .eps = o->eps,
        .grad_scale = clip_coefficient(o, update->norm_squared),
        .correction1 = 1.0 - pow(o->beta1, (double)update->adam_t),
        .correction2 = 1.0 - pow(o->beta2, (double)update->adam_t),
        .t = update->adam_t,
        .momentum = update->ema_momentum,
    };
    const bool moves_target = learner->owns_target && o->target_update == FSFM_TARGET_EMA;
    float *online = learner->state[FSFM_STATE_ONLINE], *target = learner->state[FSFM_STATE_TARGET];
    float *m = learner->state[FSFM_STATE_MOMENT1];
    for (int i = 0; i < learner->parameters.count; i++) {
        const fsfm_parameter *item = &learner->parameters.items[i];
        args.count = item->count;
        args.first = item->offset;
        args.is_matrix = item->is_matrix;
        args.params = online + item->offset;
        args.grads = learner->gradients + item->offset;
        args.target = moves_target && i < learner->parameters.trunk_count ? target + item->offset : NULL;
        args.m = m + item->offset;
        args.v = fsfm_act_after(dev, learner->state[FSFM_STATE_MOMENT2], item->offset);
        args.decay = item->is_decayed ? o->weight_decay : 0.0;
        FSFM_TRY(dev->ops->adamw(dev, &args, err));
    }
    return FSFM_OK;
}

fsfm_status fsfm_learner_finish_step(fsfm_learner *learner, const fsfm_learner_update *update,
                                     fsfm_error *err)
{
    FSFM_ASSERT(learner->trains && !learner->setup.gradients_only);
    return update_weights(learner, update, err);
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
