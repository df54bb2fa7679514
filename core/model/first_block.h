/* SPDX-License-Identifier: Apache-2.0
 * core/model/first_block.h - the pixel decoder's first block, without computing alike things again.
 *
 * At its input the mask tokens of all images are one table, a row for each place of an image: the embedded
 * mask token plus the place's position. Norm and projection to queries, keys and values treat rows alone, so
 * they are done once for the table and, image by image, for the tokens seen: exact. Behind them tokens meet,
 * and the block goes on as any other. Images come in groups, the table is made once before and its gradient
 * finished once behind them. */
#ifndef FSFM_CORE_MODEL_FIRST_BLOCK_H
#define FSFM_CORE_MODEL_FIRST_BLOCK_H

#include "core/model/view.h"
#include "core/model/vit_block.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The mask tokens of a micro-batch: (L, ...), rows by place. */
typedef struct {
    float *stream;    /* (1 + L, C): row 0 means nothing */
    fsfm_act *normed; /* (L, C) */
    fsfm_act *qkv;    /* (L, 3 C) */
    fsfm_norm_stats stats;
    float *dqkv, *dstream; /* (L, 3 C), (L, C): sums over the images */
    fsfm_act *dqkv_act;    /* (L, 3 C) */
    fsfm_act *dnormed;     /* (L, C) */
    fsfm_act *dtokens;     /* (1 + L, C) */
} fsfm_mask_table;

typedef struct {
    int64_t C, K, L;
    const float *position;  /* (L, C) on the device, borrowed */
    const int32_t *nowhere; /* (L) on the device, all -1: slots of tokens that are not there; borrowed */
    fsfm_block block;
    fsfm_keeps keeps;
    fsfm_mask_table table;
    /* of a group of images */
    float *input; /* (B, 1 + K, C): embedded tokens without their positions; then its gradient: fsfm_act */
    float *seen;  /* (B, 1 + K, C): the same with them */
    fsfm_act *qkv_seen; /* (B, 1 + K, 3 C); in backward its gradient */
    fsfm_block_acts acts;
} fsfm_first_block;

/* Binds the block PREFIX.0. */
void fsfm_first_block_bind(fsfm_first_block *first, const fsfm_weights *weights, const char *prefix,
                           const fsfm_block_sizes *sizes, int64_t K, int64_t L);
/* As fsfm_stack_layout() and _work(), for groups of at most B images; out (B, 1 + L, C): where the block's
 * result goes. */
void fsfm_first_block_layout(fsfm_first_block *first, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                             fsfm_keeps keeps, float *out);
void fsfm_first_block_layout_work(fsfm_first_block *first, fsfm_arena *arena, const fsfm_device *dev,
                                  int64_t B);

/* Before the groups: makes the table from the embedded mask token (1, C). */
FSFM_MUST_USE
fsfm_status fsfm_first_block_begin(fsfm_device *dev, const fsfm_first_block *first,
                                   const float *mask_embedded, fsfm_error *err);
/* A group, from first->input to the result. */
FSFM_MUST_USE
fsfm_status fsfm_first_block_forward(fsfm_device *dev, const fsfm_first_block *first,
                                     const fsfm_network_view *view, const float *mask_embedded,
                                     fsfm_error *err);
/* From dstream (B, 1 + L, C), the result's gradient, which is overwritten, to that of the input, in
 * first->input. */
FSFM_MUST_USE
fsfm_status fsfm_first_block_backward(fsfm_device *dev, const fsfm_first_block *first,
                                      const fsfm_network_view *view, const float *mask_embedded,
                                      fsfm_act *dstream, fsfm_error *err);
/* Behind the groups: dmask_embedded (C) is added to. */
FSFM_MUST_USE
fsfm_status fsfm_first_block_end(fsfm_device *dev, const fsfm_first_block *first, float *dmask_embedded,
                                 fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
