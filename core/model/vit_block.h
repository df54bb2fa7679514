/* SPDX-License-Identifier: Apache-2.0
 * core/model/vit_block.h - a stack of pre-norm transformer blocks: x + attention(norm1 x), then x + MLP(norm2
 * x). */
#ifndef FSFM_CORE_MODEL_VIT_BLOCK_H
#define FSFM_CORE_MODEL_VIT_BLOCK_H

#include "core/model/attention.h"
#include "core/model/mlp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    fsfm_attention attention;
    fsfm_mlp mlp;
} fsfm_block;

/* Sizes of the blocks of a network. */
typedef struct {
    int64_t C, H; /* width, heads */
    double mlp_ratio;
    float eps;
} fsfm_block_sizes;

typedef struct {
    fsfm_attention_acts attention;
    fsfm_mlp_acts mlp;
} fsfm_block_acts;

typedef struct {
    int64_t depth, C;      /* depth may be 0: then output is input */
    fsfm_block *blocks;    /* owned, (depth) */
    fsfm_block_acts *acts; /* owned, (depth) */
    fsfm_keeps keeps;
    float *input, *output; /* (B, T, C), the residual stream */
} fsfm_stack;

/* The block PREFIX.i. */
void fsfm_block_bind(fsfm_block *block, const fsfm_weights *weights, const char *prefix, int64_t i,
                     const fsfm_block_sizes *sizes);

/* Binds the blocks PREFIX.first, ..., depth of them. The caller ends the stack with fsfm_stack_free(), also
 * after a failure. */
FSFM_MUST_USE
fsfm_status fsfm_stack_bind(fsfm_stack *stack, const fsfm_weights *weights, const char *prefix, int64_t first,
                            int64_t depth, const fsfm_block_sizes *sizes, fsfm_error *err);
void fsfm_stack_free(fsfm_stack *stack);
/* Takes what forward leaves for backward, for B images of T tokens; without gradients the stream alone. */
void fsfm_stack_layout(fsfm_stack *stack, fsfm_arena *arena, const fsfm_device *dev, int64_t B, int64_t T,
                       fsfm_keeps keeps);
/* Then what it needs while it is at work: others may use the memory before, between forward and backward, and
 * after. */
void fsfm_stack_layout_work(fsfm_stack *stack, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                            int64_t T);
/* From stack->input to stack->output. */
FSFM_MUST_USE
fsfm_status fsfm_stack_forward(fsfm_device *dev, const fsfm_stack *stack, const fsfm_tokens *tokens,
                               fsfm_error *err);
/* Called after the gradients of block number block are complete. */
typedef void (*fsfm_block_done_fn)(void *context, int64_t block);
/* dstream (B, T, C): gradient of the output on entry, of the input on return. done may be NULL. */
FSFM_MUST_USE
fsfm_status fsfm_stack_backward(fsfm_device *dev, const fsfm_stack *stack, const fsfm_tokens *tokens,
                                fsfm_act *dstream, fsfm_block_done_fn done, void *context, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
