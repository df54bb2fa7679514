/* SPDX-License-Identifier: Apache-2.0
 * core/model/learner.c - opening a learner: what lies where. */
#include <stdlib.h>
#include <string.h>

#include "core/model/learner_internal.h"
#include "core/model/position.h"

static void layout_parameters(fsfm_learner *learner)
{
    fsfm_arena *arena = &learner->parameter_arena;
    const fsfm_model_options *o = &learner->options;
    learner->state[FSFM_STATE_ONLINE] = fsfm_arena_floats(arena, learner->parameters.total_floats);
    learner->encoder_position = fsfm_arena_floats(arena, learner->L * o->embed_dim);
    learner->decoder_position = fsfm_arena_floats(arena, learner->L * o->decoder_embed_dim);
    learner->all_in_order = fsfm_arena_ints(arena, learner->setup.micro_batch * learner->L);
    learner->nowhere = fsfm_arena_ints(arena, learner->L);
}

static void layout_training(fsfm_learner *learner)
{
    const int64_t total = learner->parameters.total_floats;
    if (learner->owns_target)
        learner->state[FSFM_STATE_TARGET] =
            fsfm_arena_floats(&learner->target_arena, learner->parameters.trunk_floats);
    if (!learner->trains) return;
    learner->gradients = fsfm_arena_floats(&learner->gradient_arena, total);
    if (learner->setup.gradients_only) return;
    learner->state[FSFM_STATE_MOMENT1] = fsfm_arena_floats(&learner->optimizer_arena, total);
    learner->state[FSFM_STATE_MOMENT2] = fsfm_arena_acts(&learner->optimizer_arena, learner->dev, total);
    fsfm_optimizer_layout(&learner->optimizer, &learner->optimizer_arena, &learner->parameters);
}

static fsfm_keeps keeps_of(const fsfm_learner *learner)
{
    if (!learner->trains) return FSFM_KEEPS_NOTHING;
    switch (learner->setup.recompute) {
    case FSFM_RECOMPUTE_GELU: return FSFM_KEEPS_MOST;
    case FSFM_RECOMPUTE_BLOCK: return FSFM_KEEPS_INPUTS;
    case FSFM_RECOMPUTE_NONE:
    case FSFM_RECOMPUTE_AUTO: break;
    }
    return FSFM_KEEPS_ALL;
}

/* The target network is done when the online one starts: both lie in the same memory. */
static void layout_activations(fsfm_learner *learner)
{
    const fsfm_learner_setup *s = &learner->setup;
    fsfm_arena online = learner->activation_arena, target = online;
    fsfm_online_layout(&learner->online, &online, learner->dev, s->micro_batch, s->kept, s->global_batch,
                       keeps_of(learner));
    if (learner->has_target) fsfm_target_layout(&learner->target, &target, learner->dev, s->micro_batch);
    fsfm_arena_cover(&learner->activation_arena, &online);
    fsfm_arena_cover(&learner->activation_arena, &target);
}

static void layout_step(fsfm_learner *learner)
{
    fsfm_arena *arena = &learner->batch_arena;
    const fsfm_learner_setup *s = &learner->setup;
    learner->results = fsfm_arena_bytes(arena, fsfm_learner_results_bytes(learner));
    learner->sums = learner->results ? learner->results + 1 : NULL;
    learner->scratch_sums = fsfm_arena_bytes(arena, 3 * sizeof(double));
    learner->numbers = fsfm_arena_bytes(arena, sizeof *learner->numbers);
    fsfm_learner_layout_batch(learner, arena);
    if (!learner->has_target) return;
    learner->keys = fsfm_arena_floats(arena, s->local_batch * learner->options.projection_size);
    learner->batch_keys = fsfm_arena_floats(arena, s->micro_batch * learner->options.projection_size);
    if (learner->options.id_loss == FSFM_ID_INFONCE)
        learner->all_keys = fsfm_arena_floats(arena, s->global_batch * learner->options.projection_size);
}

static void layout_all(fsfm_learner *learner)
{
    layout_parameters(learner);
    layout_training(learner);
    layout_activations(learner);
    layout_step(learner);
}

/* What needs no device memory: enough to measure. */
static fsfm_status prepare(fsfm_learner *learner, fsfm_device *dev, const fsfm_learner_setup *setup,
                           fsfm_error *err)
{
    learner->dev = dev;
    learner->options = *setup->options;
    learner->setup = *setup;
    learner->setup.options = &learner->options;
    const int64_t grid = learner->options.img_size / learner->options.patch_size;
    learner->L = grid * grid;
    FSFM_ASSERT(setup->recompute != FSFM_RECOMPUTE_AUTO);
    learner->trains = setup->global_batch > 0;
    learner->has_target = learner->trains && learner->options.id_loss != FSFM_ID_NONE;
    learner->owns_target = learner->has_target && learner->options.target_update != FSFM_TARGET_SHARED;
    learner->target_K = learner->options.target_view == FSFM_TARGET_MASKED ? setup->kept : learner->L;
    return fsfm_parameters_list(&learner->options, &learner->parameters, err);
}

/* Ties both networks to the arrays of weights; with arrays of NULL (measuring) only shapes matter. */
static fsfm_status bind_networks(fsfm_learner *learner, fsfm_error *err)
{
    const fsfm_learner_setup *s = &learner->setup;
    const fsfm_tables tables = {learner->encoder_position, learner->decoder_position, learner->all_in_order,
                                learner->nowhere};
    void *online = learner->state[FSFM_STATE_ONLINE], *target = learner->state[FSFM_STATE_TARGET];
    const fsfm_weights online_weights = {&learner->parameters, online, learner->gradients};
    const fsfm_weights target_weights = {&learner->parameters, learner->owns_target ? target : online, NULL};
    FSFM_TRY(fsfm_online_bind(&learner->online, &online_weights, &learner->options, &tables, s->kept,
                              s->plain, err));
    if (!learner->has_target) return FSFM_OK;
    return fsfm_target_bind(&learner->target, &target_weights, &learner->options, &tables, learner->target_K,
                            s->plain, err);
}

static void unbind_networks(fsfm_learner *learner)
{
    fsfm_online_free(&learner->online);
    fsfm_target_free(&learner->target);
}

fsfm_status fsfm_learner_measure(const fsfm_device *dev, const fsfm_learner_setup *setup,
                                 fsfm_learner_memory *out, fsfm_error *err)
{
    fsfm_device shapes_only = *dev; /* nothing is run on it */
    fsfm_learner *learner = calloc(1, sizeof *learner);
    if (!learner) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to measure a model");
    fsfm_status st = prepare(learner, &shapes_only, setup, err);
    if (st == FSFM_OK) st = bind_networks(learner, err);
    if (st == FSFM_OK) {
        layout_all(learner);
        *out = (fsfm_learner_memory){
            .parameters = learner->parameter_arena.used_bytes,
            .gradients = learner->gradient_arena.used_bytes,
            .optimizer = learner->optimizer_arena.used_bytes,
            .target = learner->target_arena.used_bytes,
            .activations = learner->activation_arena.used_bytes,
            .batch = learner->batch_arena.used_bytes,
        };
    }
    unbind_networks(learner);
    fsfm_parameters_free(&learner->parameters);
    free(learner);
    return st;
}

static fsfm_status allocate_arenas(fsfm_learner *learner, fsfm_error *err)
{
    fsfm_arena *arenas[] = {&learner->parameter_arena, &learner->gradient_arena,   &learner->optimizer_arena,
                            &learner->target_arena,    &learner->activation_arena, &learner->batch_arena};
    for (size_t i = 0; i < sizeof arenas / sizeof arenas[0]; i++)
        if (arenas[i]->used_bytes > 0) FSFM_TRY(fsfm_arena_allocate(arenas[i], learner->dev, err));
    return FSFM_OK;
}

static fsfm_status allocate_host(fsfm_learner *learner, fsfm_error *err)
{
    const fsfm_model_options *o = &learner->options;
    const size_t B = (size_t)learner->setup.micro_batch, rows = (size_t)(1 + learner->L);
    const size_t P = (size_t)(o->patch_size * o->patch_size * 3);
    bool is_there = (learner->pixels_host = malloc(rows * P * sizeof(float))) != NULL;
    is_there &= (learner->results_host = malloc(fsfm_learner_results_bytes(learner))) != NULL;
    for (int i = 0; i < FSFM_INDICES; i++)
        is_there &= (learner->indices[i].host = calloc(B * rows, sizeof(int32_t))) != NULL;
    if (learner->dev->act_bytes != sizeof(float))
        is_there &= (learner->bf16_host = malloc(FSFM_BF16_PIECE * sizeof(uint16_t))) != NULL;
    if (is_there) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a micro-batch of %zu images", B);
}

static fsfm_status upload_position(fsfm_learner *learner, int64_t width, float *table_dev, fsfm_error *err)
{
    const int64_t grid = learner->options.img_size / learner->options.patch_size;
    const size_t size_bytes = (size_t)(learner->L * width) * sizeof(float);
    float *table = malloc(size_bytes);
    if (!table) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a position table");
    fsfm_position_table(grid, width, table);
    const fsfm_status st = learner->dev->ops->upload(learner->dev, table_dev, table, size_bytes, err);
    free(table);
    return st;
}

static fsfm_status bind_optimizer(fsfm_learner *learner, fsfm_error *err)
{
    const bool moves_target = learner->owns_target && learner->options.target_update == FSFM_TARGET_EMA;
    const fsfm_optimizer_arrays arrays = {
        .online = learner->state[FSFM_STATE_ONLINE],
        .target = moves_target ? learner->state[FSFM_STATE_TARGET] : NULL,
        .gradients = learner->gradients,
        .moment1 = learner->state[FSFM_STATE_MOMENT1],
        .moment2 = learner->state[FSFM_STATE_MOMENT2],
    };
    if (!learner->trains || learner->setup.gradients_only) return FSFM_OK;
    return fsfm_optimizer_bind(&learner->optimizer, learner->dev, &learner->parameters, &arrays, err);
}

static fsfm_status fill_constants(fsfm_learner *learner, fsfm_error *err)
{
    fsfm_device *dev = learner->dev;
    const int64_t L = learner->L, slots = learner->setup.micro_batch * L;
    int32_t *in_order = learner->indices[FSFM_INDEX_ONLINE].host; /* free until the first micro-batch */
    int32_t *nowhere = learner->indices[FSFM_SLOT_ONLINE].host;
    for (int64_t i = 0; i < slots; i++) in_order[i] = (int32_t)(i % L);
    for (int64_t i = 0; i < L; i++) nowhere[i] = -1;
    FSFM_TRY(dev->ops->upload(dev, learner->all_in_order, in_order, (size_t)slots * sizeof(int32_t), err));
    FSFM_TRY(dev->ops->upload(dev, learner->nowhere, nowhere, (size_t)L * sizeof(int32_t), err));
    FSFM_TRY(upload_position(learner, learner->options.embed_dim, learner->encoder_position, err));
    FSFM_TRY(upload_position(learner, learner->options.decoder_embed_dim, learner->decoder_position, err));
    FSFM_TRY(bind_optimizer(learner, err));
    for (int state = 0; state < FSFM_STATES; state++) {
        const size_t size_bytes = fsfm_learner_state_bytes(learner, (fsfm_state)state);
        if (size_bytes > 0) FSFM_TRY(dev->ops->zero(dev, learner->state[state], size_bytes, err));
    }
    if (learner->has_target) {
        const size_t keys_bytes =
            (size_t)(learner->setup.local_batch * learner->options.projection_size) * sizeof(float);
        FSFM_TRY(dev->ops->zero(dev, learner->keys, keys_bytes, err));
    }
    return dev->ops->synchronize(dev, err);
}

fsfm_status fsfm_learner_open(fsfm_device *dev, const fsfm_learner_setup *setup, fsfm_learner **out,
                              fsfm_error *err)
{
    *out = NULL;
    fsfm_learner *learner = calloc(1, sizeof *learner);
    if (!learner) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a learner");
    fsfm_status st = prepare(learner, dev, setup, err);
    if (st == FSFM_OK) st = bind_networks(learner, err);
    if (st == FSFM_OK) {
        layout_all(learner);
        st = allocate_arenas(learner, err);
    }
    if (st == FSFM_OK) {
        layout_parameters(learner);
        layout_training(learner);
        unbind_networks(learner);
        st = bind_networks(learner, err);
    }
    if (st == FSFM_OK) {
        layout_activations(learner);
        layout_step(learner);
        st = allocate_host(learner, err);
    }
    if (st == FSFM_OK) st = fill_constants(learner, err);
    if (st == FSFM_OK) /* a cut behind the encoder and one behind each of its blocks */
        st = fsfm_recordings_open(dev, setup->records, 1 + learner->options.depth, &learner->recordings, err);
    if (st != FSFM_OK) fsfm_learner_close(&learner);
    *out = learner;
    return st;
}

void fsfm_learner_close(fsfm_learner **learner)
{
    fsfm_learner *gone = *learner;
    *learner = NULL;
    if (!gone) return;
    fsfm_recordings_close(&gone->recordings);
    fsfm_arena_release(&gone->parameter_arena, gone->dev);
    fsfm_arena_release(&gone->gradient_arena, gone->dev);
    fsfm_arena_release(&gone->optimizer_arena, gone->dev);
    fsfm_arena_release(&gone->target_arena, gone->dev);
    fsfm_arena_release(&gone->activation_arena, gone->dev);
    fsfm_arena_release(&gone->batch_arena, gone->dev);
    unbind_networks(gone);
    for (int i = 0; i < FSFM_INDICES; i++) free(gone->indices[i].host);
    free(gone->pixels_host);
    free(gone->results_host);
    free(gone->bf16_host);
    fsfm_parameters_free(&gone->parameters);
    free(gone);
}
