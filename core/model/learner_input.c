/* SPDX-License-Identifier: Apache-2.0
 * core/model/learner_input.c - a micro-batch from the host to the device. Where the host's memory is the
 * device's, it is used in place. */
#include <inttypes.h>
#include <string.h>

#include "core/model/learner_internal.h"

void fsfm_learner_layout_batch(fsfm_learner *learner, fsfm_arena *arena)
{
    if (learner->dev->memory_is_host) return;
    const int64_t B = learner->setup.micro_batch, L = learner->L, size = learner->options.img_size;
    learner->images_u8 = fsfm_arena_bytes(arena, (size_t)(B * size * size * 3));
    learner->images_f32 = fsfm_arena_floats(arena, B * size * size * 3);
    learner->mask = fsfm_arena_bytes(arena, (size_t)(B * L));
    learner->region = fsfm_arena_bytes(arena, (size_t)(B * L));
    fsfm_index_buffers *buffers[] = {&learner->online_index, &learner->target_index};
    for (int i = 0; i < 2; i++) {
        buffers[i]->index_dev = fsfm_arena_ints(arena, B * L);
        buffers[i]->slot_dev = fsfm_arena_ints(arena, B * L);
    }
}

/* The device's copy of size_bytes at host, or host itself where copy_dev is NULL. */
static fsfm_status bring(fsfm_learner *learner, void *copy_dev, const void *host, size_t size_bytes,
                         const void **out, fsfm_error *err)
{
    *out = copy_dev && host ? copy_dev : host;
    if (!copy_dev || !host) return FSFM_OK;
    return learner->dev->ops->upload(learner->dev, copy_dev, host, size_bytes, err);
}

static fsfm_status place_images(fsfm_learner *learner, const fsfm_learner_input *input, fsfm_images *out,
                                fsfm_error *err)
{
    const int64_t size = learner->options.img_size;
    const size_t pixels = (size_t)(input->B * size * size * 3);
    const void *u8 = NULL, *f32 = NULL;
    *out = (fsfm_images){.size = size, .patch = learner->options.patch_size};
    memcpy(out->mean, learner->setup.mean, sizeof out->mean);
    memcpy(out->std, learner->setup.std, sizeof out->std);
    FSFM_TRY(bring(learner, learner->images_u8, input->images_u8, pixels, &u8, err));
    FSFM_TRY(bring(learner, learner->images_f32, input->images_f32, pixels * sizeof(float), &f32, err));
    out->u8 = u8;
    out->f32 = f32;
    return FSFM_OK;
}

static fsfm_status place_indices(fsfm_learner *learner, const uint8_t *mask, fsfm_index_buffers *buffers,
                                 fsfm_network_view *view, fsfm_error *err)
{
    const size_t B = (size_t)view->B;
    const void *index = NULL, *slot = NULL;
    FSFM_TRY(
        fsfm_view_indices(mask, view->B, view->L, view->K, buffers->index_host, buffers->slot_host, err));
    FSFM_TRY(bring(learner, buffers->index_dev, buffers->index_host, B * (size_t)view->K * sizeof(int32_t),
                   &index, err));
    FSFM_TRY(bring(learner, buffers->slot_dev, buffers->slot_host, B * (size_t)view->L * sizeof(int32_t),
                   &slot, err));
    view->index = index;
    view->slot = slot;
    return FSFM_OK;
}

fsfm_status fsfm_learner_place(fsfm_learner *learner, const fsfm_learner_input *input, bool for_target,
                               fsfm_placed_input *out, fsfm_error *err)
{
    if (input->B < 1 || input->B > learner->setup.micro_batch)
        return fsfm_fail(err, FSFM_ERR_ARG, "%" PRId64 " images in a micro-batch, expected 1 to %" PRId64,
                         input->B, learner->setup.micro_batch);
    const size_t patches = (size_t)(input->B * learner->L);
    const void *mask = NULL, *region = NULL;
    *out = (fsfm_placed_input){.view = {.B = input->B, .L = learner->L}};
    FSFM_TRY(place_images(learner, input, &out->view.images, err));
    if (for_target) {
        out->view.K = learner->target_K;
        if (learner->target_K == learner->L) return FSFM_OK;
        return place_indices(learner, input->target_mask, &learner->target_index, &out->view, err);
    }
    out->view.K = learner->setup.kept;
    FSFM_TRY(bring(learner, learner->mask, input->mask, patches, &mask, err));
    FSFM_TRY(bring(learner, learner->region, input->region, patches, &region, err));
    out->mask = mask;
    out->region = region;
    return place_indices(learner, input->mask, &learner->online_index, &out->view, err);
}
