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
    for (int i = 0; i < FSFM_INDICES; i++) learner->indices[i].dev = fsfm_arena_ints(arena, B * (1 + L));
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

/* Rows of row_length indices for each image, from the host's buffer to where the device finds them. */
static fsfm_status bring_rows(fsfm_learner *learner, fsfm_indices which, int64_t B, int64_t row_length,
                              const int32_t **out, fsfm_error *err)
{
    const fsfm_index_buffer *buffer = &learner->indices[which];
    const void *rows = NULL;
    FSFM_TRY(
        bring(learner, buffer->dev, buffer->host, (size_t)(B * row_length) * sizeof(int32_t), &rows, err));
    *out = rows;
    return FSFM_OK;
}

/* The same images as the target network sees them. */
static fsfm_status place_target(fsfm_learner *learner, const uint8_t *mask, fsfm_network_view *view,
                                fsfm_error *err)
{
    view->K = learner->target_K;
    if (view->K == view->L) return FSFM_OK;
    FSFM_TRY(fsfm_view_indices(mask, view->B, view->L, view->K, learner->indices[FSFM_INDEX_TARGET].host,
                               learner->indices[FSFM_SLOT_TARGET].host, NULL, err));
    FSFM_TRY(bring_rows(learner, FSFM_INDEX_TARGET, view->B, view->K, &view->index, err));
    return bring_rows(learner, FSFM_SLOT_TARGET, view->B, view->L, &view->slot, err);
}

static fsfm_status place_online(fsfm_learner *learner, const uint8_t *mask, fsfm_network_view *view,
                                fsfm_error *err)
{
    FSFM_TRY(fsfm_view_indices(mask, view->B, view->L, view->K, learner->indices[FSFM_INDEX_ONLINE].host,
                               learner->indices[FSFM_SLOT_ONLINE].host,
                               learner->indices[FSFM_SEEN_ONLINE].host, err));
    FSFM_TRY(bring_rows(learner, FSFM_INDEX_ONLINE, view->B, view->K, &view->index, err));
    FSFM_TRY(bring_rows(learner, FSFM_SLOT_ONLINE, view->B, view->L, &view->slot, err));
    return bring_rows(learner, FSFM_SEEN_ONLINE, view->B, 1 + view->K, &view->seen, err);
}

/* What is predicted: without the savings every token, the class token's row for nothing. */
static fsfm_status place_predicted(fsfm_learner *learner, const fsfm_learner_input *input,
                                   fsfm_purpose purpose, fsfm_network_view *view, fsfm_error *err)
{
    int32_t *patch = learner->indices[FSFM_PATCH_PREDICTED].host;
    int32_t *token = learner->indices[FSFM_TOKEN_PREDICTED].host;
    const int64_t skipped = learner->setup.plain ? 0 : 1;
    if (purpose != FSFM_FOR_PICTURES && !learner->setup.plain) {
        view->R = fsfm_view_looked_at(input->mask, input->region, view->B, view->L, patch, token);
    } else {
        view->R = 1 + view->L - skipped;
        for (int64_t i = 0; i < view->B * view->R; i++) {
            token[i] = (int32_t)(i % view->R + skipped);
            patch[i] = token[i] - 1;
        }
    }
    learner->predicted_rows = view->R;
    FSFM_TRY(bring_rows(learner, FSFM_PATCH_PREDICTED, view->B, view->R, &view->patch, err));
    return bring_rows(learner, FSFM_TOKEN_PREDICTED, view->B, view->R, &view->predicted, err);
}

fsfm_status fsfm_learner_place(fsfm_learner *learner, const fsfm_learner_input *input, fsfm_purpose purpose,
                               fsfm_placed_input *out, fsfm_error *err)
{
    if (input->B < 1 || input->B > learner->setup.micro_batch)
        return fsfm_fail(err, FSFM_ERR_ARG, "%" PRId64 " images in a micro-batch, expected 1 to %" PRId64,
                         input->B, learner->setup.micro_batch);
    const size_t patches = (size_t)(input->B * learner->L);
    const void *mask = NULL, *region = NULL;
    learner->brought.view.B = 0;
    *out = (fsfm_placed_input){.view = {.B = input->B, .K = learner->setup.kept, .L = learner->L}};
    FSFM_TRY(place_images(learner, input, &out->view.images, err));
    out->target_view = out->view;
    if (purpose == FSFM_FOR_STEP && learner->has_target)
        FSFM_TRY(place_target(learner, input->target_mask, &out->target_view, err));
    FSFM_TRY(bring(learner, learner->mask, input->mask, patches, &mask, err));
    FSFM_TRY(bring(learner, learner->region, input->region, patches, &region, err));
    out->mask = mask;
    out->region = region;
    FSFM_TRY(place_online(learner, input->mask, &out->view, err));
    return place_predicted(learner, input, purpose, &out->view, err);
}

fsfm_status fsfm_learner_bring(fsfm_learner *learner, const fsfm_learner_input *input, fsfm_error *err)
{
    fsfm_placed_input placed;
    FSFM_TRY(fsfm_learner_place(learner, input, FSFM_FOR_STEP, &placed, err));
    learner->brought = placed;
    return FSFM_OK;
}

bool fsfm_learner_has_batch(const fsfm_learner *learner)
{
    return learner->brought.view.B > 0;
}
