/* SPDX-License-Identifier: Apache-2.0
 * core/model/learner_state.c - weights and moments in and out. */
#include <math.h>
#include <string.h>

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

static float float_of_bf16(uint16_t bits)
{
    const union {
        uint32_t bits;
        float value;
    } wide = {.bits = (uint32_t)bits << 16}; /* bfloat16 is the upper half of a float */
    return wide.value;
}

/* Of a float that a device gave, which is a bfloat16: exact. Others are rounded to the nearest, ties to even.
 */
static uint16_t bf16_of_float(float value)
{
    const union {
        float value;
        uint32_t bits;
    } wide = {.value = value};
    return (uint16_t)((wide.bits + 0x7FFFu + (wide.bits >> 16 & 1u)) >> 16);
}

fsfm_status fsfm_learner_download_acts(fsfm_learner *learner, float *out_host, const fsfm_act *acts_dev,
                                       int64_t count, fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    if (dev->act_bytes == sizeof(float))
        return dev->ops->download(dev, out_host, acts_dev, (size_t)count * sizeof(float), err);
    for (int64_t first = 0; first < count; first += FSFM_BF16_PIECE) {
        const int64_t left = count - first, piece = left < FSFM_BF16_PIECE ? left : FSFM_BF16_PIECE;
        FSFM_TRY(dev->ops->download(dev, learner->bf16_host, fsfm_act_after(dev, acts_dev, first),
                                    (size_t)piece * sizeof(uint16_t), err));
        for (int64_t i = 0; i < piece; i++) out_host[first + i] = float_of_bf16(learner->bf16_host[i]);
    }
    return FSFM_OK;
}

static fsfm_status upload_acts(fsfm_learner *learner, fsfm_act *acts_dev, const float *values_host,
                               int64_t count, fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    if (dev->act_bytes == sizeof(float))
        FSFM_TRY(dev->ops->upload(dev, acts_dev, values_host, (size_t)count * sizeof(float), err));
    for (int64_t first = 0; dev->act_bytes != sizeof(float) && first < count; first += FSFM_BF16_PIECE) {
        const int64_t left = count - first, piece = left < FSFM_BF16_PIECE ? left : FSFM_BF16_PIECE;
        for (int64_t i = 0; i < piece; i++) learner->bf16_host[i] = bf16_of_float(values_host[first + i]);
        FSFM_TRY(dev->ops->upload(dev, fsfm_act_after(dev, acts_dev, first), learner->bf16_host,
                                  (size_t)piece * sizeof(uint16_t), err));
        FSFM_TRY(dev->ops->synchronize(dev, err)); /* bf16_host is used again */
    }
    return dev->ops->synchronize(dev, err);
}

size_t fsfm_learner_state_bytes(const fsfm_learner *learner, fsfm_state state)
{
    const size_t element = state == FSFM_STATE_MOMENT2 ? learner->dev->act_bytes : sizeof(float);
    return (size_t)fsfm_learner_state_floats(learner, state) * element;
}

/* Of the state's array: the weights' tensors, without the padding between them. */
static int tensor_count(const fsfm_learner *learner, fsfm_state state)
{
    return state == FSFM_STATE_TARGET ? learner->parameters.trunk_count : learner->parameters.count;
}

fsfm_status fsfm_learner_get_state(fsfm_learner *learner, fsfm_state state, float *values_host,
                                   fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    const int64_t floats = fsfm_learner_state_floats(learner, state);
    FSFM_ASSERT(state < FSFM_STATES);
    const float *array = learner->state[state];
    if (state == FSFM_STATE_MOMENT1)
        return dev->ops->download(dev, values_host, array, (size_t)floats * sizeof *array, err);
    if (state == FSFM_STATE_MOMENT2)
        return fsfm_learner_download_acts(learner, values_host, learner->state[state], floats, err);
    memset(values_host, 0, (size_t)floats * sizeof *values_host);
    for (int i = 0; i < tensor_count(learner, state); i++) {
        const fsfm_parameter *item = &learner->parameters.items[i];
        const float *from = array + item->offset;
        float *to = values_host + item->offset;
        if (item->is_matrix)
            FSFM_TRY(dev->ops->get_matrix(dev, item->count, from, to, err));
        else
            FSFM_TRY(dev->ops->download(dev, to, from, (size_t)item->count * sizeof *to, err));
    }
    return FSFM_OK;
}

fsfm_status fsfm_learner_set_state(fsfm_learner *learner, fsfm_state state, const float *values_host,
                                   fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    const int64_t floats = fsfm_learner_state_floats(learner, state);
    FSFM_ASSERT(state < FSFM_STATES);
    float *array = learner->state[state];
    if (state == FSFM_STATE_MOMENT2)
        return upload_acts(learner, learner->state[state], values_host, floats, err);
    if (state == FSFM_STATE_MOMENT1) {
        FSFM_TRY(dev->ops->upload(dev, array, values_host, (size_t)floats * sizeof *array, err));
        return dev->ops->synchronize(dev, err);
    }
    for (int i = 0; i < tensor_count(learner, state); i++) {
        const fsfm_parameter *item = &learner->parameters.items[i];
        const float *from = values_host + item->offset;
        float *to = array + item->offset;
        if (item->is_matrix)
            FSFM_TRY(dev->ops->set_matrix(dev, item->count, to, from, err));
        else
            FSFM_TRY(dev->ops->upload(dev, to, from, (size_t)item->count * sizeof *to, err));
    }
    return dev->ops->synchronize(dev, err);
}

fsfm_status fsfm_learner_copy_target(fsfm_learner *learner, fsfm_error *err)
{
    if (!learner->owns_target) return FSFM_OK;
    return learner->dev->ops->copy(learner->dev, learner->state[FSFM_STATE_TARGET],
                                   learner->state[FSFM_STATE_ONLINE],
                                   fsfm_learner_state_bytes(learner, FSFM_STATE_TARGET), err);
}

float *fsfm_learner_gradients_dev(fsfm_learner *learner)
{
    return learner->gradients;
}

fsfm_status fsfm_learner_get_predictions(fsfm_learner *learner, int64_t B, float *pred_host, fsfm_error *err)
{
    const fsfm_pixel_decoder *decoder = &learner->online.pixel_decoder;
    const int64_t P = decoder->P, L = learner->L, R = learner->predicted_rows;
    const int32_t *patch = learner->indices[FSFM_PATCH_PREDICTED].host;
    for (int64_t i = 0; i < B * L * P; i++) pred_host[i] = NAN;
    for (int64_t b = 0; b < B; b++) {
        const fsfm_act *rows = fsfm_act_after(learner->dev, decoder->pixels, b * R * P);
        FSFM_TRY(fsfm_learner_download_acts(learner, learner->pixels_host, rows, R * P, err));
        for (int64_t r = 0; r < R; r++)
            if (patch[b * R + r] >= 0)
                memcpy(pred_host + (b * L + patch[b * R + r]) * P, learner->pixels_host + r * P,
                       (size_t)P * sizeof *pred_host);
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
