/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/vit_block.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void fsfm_block_bind(fsfm_block *block, const fsfm_weights *weights, const char *prefix, int64_t i,
                     const fsfm_block_sizes *sizes)
{
    const int64_t C = sizes->C, F = (int64_t)((double)C * sizes->mlp_ratio);
    char name[FSFM_PARAMETER_NAME_SIZE];
    snprintf(name, sizeof name, "%s.%" PRId64, prefix, i);
    fsfm_attention_bind(&block->attention, weights, name, C, sizes->H, sizes->eps);
    fsfm_mlp_bind(&block->mlp, weights, name, C, F, sizes->eps);
}

fsfm_status fsfm_stack_bind(fsfm_stack *stack, const fsfm_weights *weights, const char *prefix, int64_t first,
                            int64_t depth, const fsfm_block_sizes *sizes, fsfm_error *err)
{
    *stack = (fsfm_stack){.depth = depth, .C = sizes->C};
    if (depth == 0) return FSFM_OK;
    stack->blocks = calloc((size_t)depth, sizeof *stack->blocks);
    stack->acts = calloc((size_t)depth, sizeof *stack->acts);
    if (!stack->blocks || !stack->acts)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the blocks of '%s'", prefix);
    for (int64_t i = 0; i < depth; i++) fsfm_block_bind(&stack->blocks[i], weights, prefix, first + i, sizes);
    return FSFM_OK;
}

void fsfm_stack_free(fsfm_stack *stack)
{
    free(stack->blocks);
    free(stack->acts);
    stack->blocks = NULL;
    stack->acts = NULL;
}

/* A block's streams: before, between and behind its halves. */
static void layout_streams(const fsfm_stack *stack, fsfm_block_acts *acts, const fsfm_layout *layout,
                           int64_t N)
{
    if (layout->keeps == FSFM_KEEPS_NOTHING) {
        acts->attention.out = acts->mlp.out = acts->attention.x;
    } else {
        fsfm_layout_floats(layout, FSFM_BUFFER_INNER, N * stack->C, &acts->attention.out);
        fsfm_layout_floats(layout, FSFM_BUFFER_INPUT, N * stack->C, &acts->mlp.out);
    }
    acts->mlp.x = acts->attention.out;
}

static void layout_halves(const fsfm_stack *stack, int64_t i, const fsfm_layout *attention,
                          const fsfm_layout *mlp, int64_t B, int64_t T)
{
    fsfm_attention_layout(&stack->blocks[i].attention, &stack->acts[i].attention, attention, B, T, B * T);
    fsfm_mlp_layout(&stack->blocks[i].mlp, &stack->acts[i].mlp, mlp, B * T);
}

void fsfm_stack_layout(fsfm_stack *stack, fsfm_arena *arena, const fsfm_device *dev, int64_t B, int64_t T,
                       fsfm_keeps keeps)
{
    const fsfm_layout layout = {arena, dev, keeps, FSFM_AREA_KEPT};
    stack->keeps = keeps;
    stack->input = stack->output = fsfm_arena_floats(arena, B * T * stack->C);
    for (int64_t i = 0; i < stack->depth; i++) {
        stack->acts[i].attention.x = stack->output;
        layout_streams(stack, &stack->acts[i], &layout, B * T);
        layout_halves(stack, i, &layout, &layout, B, T);
        stack->output = stack->acts[i].mlp.out;
    }
}

void fsfm_stack_layout_work(fsfm_stack *stack, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                            int64_t T)
{
    const fsfm_arena start = *arena;
    for (int64_t i = 0; i < stack->depth; i++) {
        fsfm_arena block = start;
        const fsfm_layout layout = {&block, dev, stack->keeps, FSFM_AREA_BLOCK};
        layout_streams(stack, &stack->acts[i], &layout, B * T);
        layout_halves(stack, i, &layout, &layout, B, T);
        fsfm_arena attention = block, mlp = block;
        layout_halves(stack, i, &(fsfm_layout){&attention, dev, stack->keeps, FSFM_AREA_HALF},
                      &(fsfm_layout){&mlp, dev, stack->keeps, FSFM_AREA_HALF}, B, T);
        fsfm_arena_cover(arena, &block);
        fsfm_arena_cover(arena, &attention);
        fsfm_arena_cover(arena, &mlp);
    }
}

fsfm_status fsfm_stack_forward(fsfm_device *dev, const fsfm_stack *stack, const fsfm_tokens *tokens,
                               fsfm_error *err)
{
    for (int64_t i = 0; i < stack->depth; i++) {
        const fsfm_block *block = &stack->blocks[i];
        const fsfm_block_acts *acts = &stack->acts[i];
        FSFM_TRY(fsfm_attention_forward(dev, &block->attention, &acts->attention, tokens, err));
        FSFM_TRY(fsfm_mlp_forward(dev, &block->mlp, &acts->mlp, tokens->B * tokens->T, err));
    }
    return FSFM_OK;
}

fsfm_status fsfm_stack_backward(fsfm_device *dev, const fsfm_stack *stack, const fsfm_tokens *tokens,
                                fsfm_act *dstream, fsfm_block_done_fn done, void *context, fsfm_error *err)
{
    const int64_t N = tokens->B * tokens->T;
    for (int64_t i = stack->depth - 1; i >= 0; i--) {
        const fsfm_block *block = &stack->blocks[i];
        const fsfm_block_acts *acts = &stack->acts[i];
        if (stack->keeps == FSFM_KEEPS_INPUTS) {
            FSFM_TRY(fsfm_attention_forward(dev, &block->attention, &acts->attention, tokens, err));
            FSFM_TRY(fsfm_mlp_forward_inner(dev, &block->mlp, &acts->mlp, N, err));
        }
        FSFM_TRY(fsfm_mlp_backward(dev, &block->mlp, &acts->mlp, N, dstream, err));
        FSFM_TRY(fsfm_attention_backward(dev, &block->attention, &acts->attention, tokens, dstream, err));
        if (done) done(context, i);
    }
    return FSFM_OK;
}
