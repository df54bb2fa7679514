/* SPDX-License-Identifier: Apache-2.0
 * core/model/learner_state.c - weights and moments in and out. */
#include <stdlib.h>

#include "core/model/learner_internal.h"

const fsfm_parameters *fsfm_learner_parameters(const fsfm_learner *learner)
{
    return &learner->parameters;
}

bool fsfm_learner_has_target(const fsfm_learner *learner)
{
    return learner->has_target;
}

int64_t fsfm_learner_state_floats(const fsfm_learner *learner, fsfm_state state)
{
    switch (state) {
    case FSFM_STATE_ONLINE: return learner->parameters.total_floats;
    case FSFM_STATE_TARGET: return learner->owns_target ? learner->parameters.trunk_floats : 0;
    case FSFM_STATE_MOMENT1:
    case FSFM_STATE_MOMENT2:
        return learner->trains && !learner->setup.gradients_only ? learner->parameters.total_floats : 0;
    case FSFM_STATES: break;
    }
    return 0;
}

static size_t state_bytes(const fsfm_learner *learner, fsfm_state state)
{
    return (size_t)fsfm_learner_state_floats(learner, state) * sizeof(float);
}

fsfm_status fsfm_learner_get_state(fsfm_learner *learner, fsfm_state state, float *values_host,
                                   fsfm_error *err)
{
    return learner->dev->ops->download(learner->dev, values_host, learner->state[state],
                                       state_bytes(learner, state), err);
}

fsfm_status fsfm_learner_set_state(fsfm_learner *learner, fsfm_state state, const float *values_host,
                                   fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    FSFM_TRY(dev->ops->upload(dev, learner->state[state], values_host, state_bytes(learner, state), err));
    if (state == FSFM_STATE_ONLINE || state == FSFM_STATE_TARGET)
        FSFM_TRY(dev->ops->params_changed(dev, learner->state[state],
                                          fsfm_learner_state_floats(learner, state), err));
    return dev->ops->synchronize(dev, err);
}

fsfm_status fsfm_learner_copy_target(fsfm_learner *learner, fsfm_error *err)
{
    if (!learner->owns_target) return FSFM_OK;
    fsfm_device *dev = learner->dev;
    float *target = learner->state[FSFM_STATE_TARGET];
    FSFM_TRY(dev->ops->copy(dev, target, learner->state[FSFM_STATE_ONLINE],
                            state_bytes(learner, FSFM_STATE_TARGET), err));
    return dev->ops->params_changed(dev, target, learner->parameters.trunk_floats, err);
}

float *fsfm_learner_gradients_dev(fsfm_learner *learner)
{
    return learner->gradients;
}

fsfm_status fsfm_learner_download_acts(fsfm_learner *learner, float *out_host, const fsfm_act *acts_dev,
                                       int64_t count, fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    if (dev->act_bytes == sizeof(float))
        return dev->ops->download(dev, out_host, acts_dev, (size_t)count * sizeof(float), err);
    FSFM_TRY(dev->ops->download(dev, learner->bf16_host, acts_dev, (size_t)count * sizeof(uint16_t), err));
    for (int64_t i = 0; i < count; i++) { /* bfloat16 is the upper half of a float */
        const union {
            uint32_t bits;
            float value;
        } wide = {.bits = (uint32_t)learner->bf16_host[i] << 16};
        out_host[i] = wide.value;
    }
    return FSFM_OK;
}

fsfm_status fsfm_learner_get_predictions(fsfm_learner *learner, int64_t B, float *pred_host, fsfm_error *err)
{
    const fsfm_pixel_decoder *decoder = &learner->online.pixel_decoder;
    const int64_t P = decoder->P, L = learner->L;
    for (int64_t b = 0; b < B; b++) {
        const size_t skipped = (size_t)((b * (1 + L) + 1) * P) * learner->dev->act_bytes;
        const char *first = (const char *)decoder->pixels + skipped;
        FSFM_TRY(fsfm_learner_download_acts(learner, pred_host + b * L * P, first, L * P, err));
    }
    return FSFM_OK;
}

fsfm_status fsfm_learner_get_outputs(fsfm_learner *learner, const fsfm_learner_outputs *out, fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    const fsfm_online *online = &learner->online;
    const int64_t B = learner->setup.micro_batch, C = learner->options.embed_dim;
    const int64_t features = learner->has_target ? B * learner->options.projection_size : 0;
    const size_t features_bytes = (size_t)features * sizeof(float);
    if (out->latent)
        FSFM_TRY(fsfm_learner_download_acts(learner, out->latent, online->trunk.encoder.latent,
                                            B * (1 + learner->setup.kept) * C, err));
    if (out->feat && features > 0)
        FSFM_TRY(dev->ops->download(dev, out->feat, online->features, features_bytes, err));
    if (out->feat_target && features > 0)
        FSFM_TRY(dev->ops->download(dev, out->feat_target, learner->keys, features_bytes, err));
    return out->pred ? fsfm_learner_get_predictions(learner, B, out->pred, err) : FSFM_OK;
}
