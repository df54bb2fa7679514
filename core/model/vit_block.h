/* SPDX-License-Identifier: Apache-2.0
 * core/model/vit_block.h - a stack of pre-norm transformer blocks: x + attention(norm1 x), then x + MLP(norm2
 * x). */
#ifndef FSFM_CORE_MODEL_VIT_BLOCK_H
#define FSFM_CORE_MODEL_VIT_BLOCK_H

#include "core/model/layers.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    fsfm_norm norm1, norm2;
    fsfm_linear qkv, proj, fc1, fc2;
} fsfm_block;

/* Activations of one block. Without gradients x, mid and out are one buffer (the residual stream) and all
 * blocks share the rest. */
typedef struct {
    fsfm_act *x;        /* (B, T, C), the stream before the block */
    fsfm_act *mid;      /* (B, T, C), after attention */
    fsfm_act *out;      /* (B, T, C), the next block's x */
    fsfm_act *norm1;    /* (B, T, C) */
    fsfm_act *qkv;      /* (B, T, 3, H, D) */
    fsfm_act *attended; /* (B, T, C) */
    fsfm_act *norm2;    /* (B, T, C) */
    fsfm_act *hidden;   /* (B, T, F), before GELU */
    fsfm_act *active;   /* (B, T, F), after GELU; hidden itself without gradients */
    float *log_sum;     /* (B, H, T) */
    fsfm_norm_stats stats1, stats2;
} fsfm_block_acts;

typedef struct {
    int64_t depth, C, H, F; /* F: hidden width of the MLP */
    fsfm_block *blocks;     /* owned, (depth) */
    fsfm_block_acts *acts;  /* owned, (depth) */
} fsfm_stack;

/* Scratch of backward, shared by all stacks of a network: each as large as the largest needs. */
typedef struct {
    fsfm_act *dnorm;   /* (B, T, C) */
    fsfm_act *dqkv;    /* (B, T, 3 C) */
    fsfm_act *dhidden; /* (B, T, F) */
} fsfm_block_scratch;

/* Binds the blocks PREFIX.0, PREFIX.1, ... The caller ends the stack with fsfm_stack_free(), also after a
 * failure. */
FSFM_MUST_USE
fsfm_status fsfm_stack_bind(fsfm_stack *stack, const fsfm_weights *weights, const char *prefix, int64_t depth,
                            int64_t C, int64_t H, double mlp_ratio, float eps, fsfm_error *err);
void fsfm_stack_free(fsfm_stack *stack);
/* Takes the activations of B images of T tokens from arena. */
void fsfm_stack_layout(fsfm_stack *stack, fsfm_arena *arena, const fsfm_device *dev, int64_t B, int64_t T,
                       bool keeps);
fsfm_act *fsfm_stack_input(const fsfm_stack *stack);  /* (B, T, C): to be filled before forward */
fsfm_act *fsfm_stack_output(const fsfm_stack *stack); /* (B, T, C) */
/* last_multiplicity: how many equal tokens the last one stands for. */
FSFM_MUST_USE
fsfm_status fsfm_stack_forward(fsfm_device *dev, const fsfm_stack *stack, int64_t B, int64_t T,
                               float last_multiplicity, fsfm_error *err);
/* Called after the gradients of block number block are complete. */
typedef void (*fsfm_block_done_fn)(void *context, int64_t block);
/* dstream (B, T, C): gradient of the output on entry, of the input on return. done may be NULL. */
FSFM_MUST_USE
fsfm_status fsfm_stack_backward(fsfm_device *dev, const fsfm_stack *stack, int64_t B, int64_t T,
                                float last_multiplicity, fsfm_act *dstream, const fsfm_block_scratch *scratch,
                                fsfm_block_done_fn done, void *context, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
