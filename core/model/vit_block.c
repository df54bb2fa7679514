/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/vit_block.h"

#include <stdlib.h>

static fsfm_block bind_block(const fsfm_weights *weights, const char *prefix, int i, int64_t C, int64_t F,
                             float eps)
{
    return (fsfm_block){
        .norm1 = {fsfm_weights_pair(weights, "%s.%d.norm1", prefix, i), C, eps, false},
        .qkv = {fsfm_weights_pair(weights, "%s.%d.attn.qkv", prefix, i), C, 3 * C},
        .proj = {fsfm_weights_pair(weights, "%s.%d.attn.proj", prefix, i), C, C},
        .norm2 = {fsfm_weights_pair(weights, "%s.%d.norm2", prefix, i), C, eps, false},
        .fc1 = {fsfm_weights_pair(weights, "%s.%d.mlp.fc1", prefix, i), C, F},
        .fc2 = {fsfm_weights_pair(weights, "%s.%d.mlp.fc2", prefix, i), F, C},
    };
}

fsfm_status fsfm_stack_bind(fsfm_stack *stack, const fsfm_weights *weights, const char *prefix, int64_t depth,
                            int64_t C, int64_t H, double mlp_ratio, float eps, fsfm_error *err)
{
    *stack = (fsfm_stack){.depth = depth, .C = C, .H = H, .F = (int64_t)((double)C * mlp_ratio)};
    stack->blocks = calloc((size_t)depth, sizeof *stack->blocks);
    stack->acts = calloc((size_t)depth, sizeof *stack->acts);
    if (!stack->blocks || !stack->acts)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the blocks of '%s'", prefix);
    for (int i = 0; i < depth; i++) stack->blocks[i] = bind_block(weights, prefix, i, C, stack->F, eps);
    return FSFM_OK;
}

void fsfm_stack_free(fsfm_stack *stack)
{
    free(stack->blocks);
    free(stack->acts);
    stack->blocks = NULL;
    stack->acts = NULL;
}

static fsfm_norm_stats layout_stats(fsfm_arena *arena, int64_t N)
{
    float *mean = fsfm_arena_floats(arena, N);
    return (fsfm_norm_stats){mean, fsfm_arena_floats(arena, N)};
}

/* What a block needs beside the stream. */
static fsfm_block_acts layout_inner(const fsfm_stack *stack, fsfm_arena *arena, const fsfm_device *dev,
                                    int64_t N)
{
    const int64_t C = stack->C;
    fsfm_block_acts acts = {0};
    acts.norm1 = fsfm_arena_acts(arena, dev, N * C);
    acts.qkv = fsfm_arena_acts(arena, dev, N * 3 * C);
    acts.attended = fsfm_arena_acts(arena, dev, N * C);
    acts.norm2 = fsfm_arena_acts(arena, dev, N * C);
    acts.hidden = fsfm_arena_acts(arena, dev, N * stack->F);
    acts.active = acts.hidden;
    return acts;
}

void fsfm_stack_layout(fsfm_stack *stack, fsfm_arena *arena, const fsfm_device *dev, int64_t B, int64_t T,
                       bool keeps)
{
    const int64_t N = B * T, C = stack->C;
    fsfm_act *stream = fsfm_arena_acts(arena, dev, N * C);
    fsfm_block_acts shared = {0};
    if (!keeps) shared = layout_inner(stack, arena, dev, N);
    for (int i = 0; i < stack->depth; i++) {
        fsfm_block_acts *acts = &stack->acts[i];
        *acts = keeps ? layout_inner(stack, arena, dev, N) : shared;
        acts->x = stream;
        if (keeps) {
            acts->mid = fsfm_arena_acts(arena, dev, N * C);
            acts->out = fsfm_arena_acts(arena, dev, N * C);
            acts->active = fsfm_arena_acts(arena, dev, N * stack->F);
            acts->log_sum = fsfm_arena_floats(arena, N * stack->H);
            acts->stats1 = layout_stats(arena, N);
            acts->stats2 = layout_stats(arena, N);
        } else {
            acts->mid = acts->out = stream;
        }
        stream = acts->out;
    }
}

fsfm_act *fsfm_stack_input(const fsfm_stack *stack)
{
    return stack->acts[0].x;
}

fsfm_act *fsfm_stack_output(const fsfm_stack *stack)
{
    return stack->acts[stack->depth - 1].out;
}

static fsfm_status block_forward(fsfm_device *dev, const fsfm_stack *stack, const fsfm_block *block,
                                 const fsfm_block_acts *acts, int64_t B, int64_t T, float last_multiplicity,
                                 fsfm_error *err)
{
    const int64_t N = B * T;
    const fsfm_attention_args attention = {
        .B = B,
        .T = T,
        .H = stack->H,
        .D = stack->C / stack->H,
        .last_multiplicity = last_multiplicity,
        .qkv = acts->qkv,
        .out = acts->attended,
        .log_sum = acts->log_sum,
    };
    const fsfm_gelu_args gelu = {.count = N * stack->F, .x = acts->hidden, .out = acts->active};
    FSFM_TRY(fsfm_norm_forward(dev, &block->norm1, N, acts->x, acts->norm1, &acts->stats1, err));
    FSFM_TRY(fsfm_linear_forward(dev, &block->qkv, N, acts->norm1, NULL, acts->qkv, err));
    FSFM_TRY(dev->ops->attention(dev, &attention, err));
    FSFM_TRY(fsfm_linear_forward(dev, &block->proj, N, acts->attended, acts->x, acts->mid, err));
    FSFM_TRY(fsfm_norm_forward(dev, &block->norm2, N, acts->mid, acts->norm2, &acts->stats2, err));
    FSFM_TRY(fsfm_linear_forward(dev, &block->fc1, N, acts->norm2, NULL, acts->hidden, err));
    FSFM_TRY(dev->ops->gelu(dev, &gelu, err));
    return fsfm_linear_forward(dev, &block->fc2, N, acts->active, acts->mid, acts->out, err);
}

fsfm_status fsfm_stack_forward(fsfm_device *dev, const fsfm_stack *stack, int64_t B, int64_t T,
                               float last_multiplicity, fsfm_error *err)
{
    for (int i = 0; i < stack->depth; i++)
        FSFM_TRY(block_forward(dev, stack, &stack->blocks[i], &stack->acts[i], B, T, last_multiplicity, err));
    return FSFM_OK;
}

/* d(MLP branch), added to dstream: the residual connection hands the gradient on as it is. */
static fsfm_status mlp_backward(fsfm_device *dev, const fsfm_stack *stack, const fsfm_block *block,
                                const fsfm_block_acts *acts, int64_t N, fsfm_act *dstream,
                                const fsfm_block_scratch *scratch, fsfm_error *err)
{
    const fsfm_gelu_backward_args gelu = {
        .count = N * stack->F, .x = acts->hidden, .dout = scratch->dhidden, .dx = scratch->dhidden};
    FSFM_TRY(
        fsfm_linear_backward(dev, &block->fc2, N, acts->active, dstream, scratch->dhidden, FSFM_SETS, err));
    FSFM_TRY(dev->ops->gelu_backward(dev, &gelu, err));
    FSFM_TRY(fsfm_linear_backward(dev, &block->fc1, N, acts->norm2, scratch->dhidden, scratch->dnorm,
                                  FSFM_SETS, err));
    return fsfm_norm_backward(dev, &block->norm2, N, acts->mid, acts->norm2, &acts->stats2, scratch->dnorm,
                              dstream, FSFM_ADDS, err);
}

static fsfm_status attention_backward(fsfm_device *dev, const fsfm_stack *stack, const fsfm_block *block,
                                      const fsfm_block_acts *acts, int64_t B, int64_t T,
                                      float last_multiplicity, fsfm_act *dstream,
                                      const fsfm_block_scratch *scratch, fsfm_error *err)
{
    const int64_t N = B * T;
    const fsfm_attention_backward_args attention = {
        .B = B,
        .T = T,
        .H = stack->H,
        .D = stack->C / stack->H,
        .last_multiplicity = last_multiplicity,
        .qkv = acts->qkv,
        .out = acts->attended,
        .dout = scratch->dnorm,
        .log_sum = acts->log_sum,
        .dqkv = scratch->dqkv,
    };
    FSFM_TRY(
        fsfm_linear_backward(dev, &block->proj, N, acts->attended, dstream, scratch->dnorm, FSFM_SETS, err));
    FSFM_TRY(dev->ops->attention_backward(dev, &attention, err));
    FSFM_TRY(fsfm_linear_backward(dev, &block->qkv, N, acts->norm1, scratch->dqkv, scratch->dnorm, FSFM_SETS,
                                  err));
    return fsfm_norm_backward(dev, &block->norm1, N, acts->x, acts->norm1, &acts->stats1, scratch->dnorm,
                              dstream, FSFM_ADDS, err);
}

fsfm_status fsfm_stack_backward(fsfm_device *dev, const fsfm_stack *stack, int64_t B, int64_t T,
                                float last_multiplicity, fsfm_act *dstream, const fsfm_block_scratch *scratch,
                                fsfm_block_done_fn done, void *context, fsfm_error *err)
{
    for (int64_t i = stack->depth - 1; i >= 0; i--) {
        const fsfm_block *block = &stack->blocks[i];
        const fsfm_block_acts *acts = &stack->acts[i];
        FSFM_TRY(mlp_backward(dev, stack, block, acts, B * T, dstream, scratch, err));
        FSFM_TRY(attention_backward(dev, stack, block, acts, B, T, last_multiplicity, dstream, scratch, err));
        if (done) done(context, i);
    }
    return FSFM_OK;
}
