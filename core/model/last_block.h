/* SPDX-License-Identifier: Apache-2.0
 * core/model/last_block.h - the pixel decoder's last block, for the tokens alone that a loss looks at.
 *
 * Of a last block's tokens the others matter only as keys and values. Queries, the projection behind the
 * attention and the MLP are computed for the R tokens of each image that are predicted: exact. Backward
 * follows forward at once, so nothing is recomputed for the sake of other blocks. */
#ifndef FSFM_CORE_MODEL_LAST_BLOCK_H
#define FSFM_CORE_MODEL_LAST_BLOCK_H

#include "core/model/view.h"
#include "core/model/vit_block.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int64_t C, H, T;
    fsfm_block block;
    /* of a group of images */
    const float *x;          /* (B, T, C): the stream before the block, borrowed */
    fsfm_act *normed;        /* (B, T, C) */
    fsfm_act *normed_picked; /* (B, R, C) */
    fsfm_act *q;             /* (B, R, C) */
    fsfm_act *kv;            /* (B, T, 2, C) */
    fsfm_act *attended;      /* (B, R, C) */
    float *log_sum;          /* (B, H, R) */
    fsfm_norm_stats stats;   /* (B, T) */
    bool is_kept;            /* normed and normed_picked hold forward's results until backward */
    fsfm_mlp_acts mlp;       /* (B, R, ...) */
    fsfm_act *dattended;     /* (B, R, C); then dnormed_picked */
    fsfm_act *dq;            /* (B, R, C) */
    fsfm_act *dkv;           /* (B, T, 2, C) */
    fsfm_act *dnormed;       /* (B, T, C) */
} fsfm_last_block;

/* Binds the block PREFIX.i for images of T tokens. */
void fsfm_last_block_bind(fsfm_last_block *last, const fsfm_weights *weights, const char *prefix, int64_t i,
                          const fsfm_block_sizes *sizes, int64_t T);
/* As fsfm_stack_layout() and _work(), for groups of at most B images with at most R tokens picked; the memory
 * of work has to be left alone between forward and backward. x (B, T, C): the block's input. */
void fsfm_last_block_layout(fsfm_last_block *last, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                            int64_t R, fsfm_keeps keeps, const float *x);
void fsfm_last_block_layout_work(fsfm_last_block *last, fsfm_arena *arena, const fsfm_device *dev, int64_t B,
                                 int64_t R, fsfm_keeps keeps);
/* From last->x to last->mlp.out (B, R, C), for the tokens view->predicted. */
FSFM_MUST_USE
fsfm_status fsfm_last_block_forward(fsfm_device *dev, const fsfm_last_block *last,
                                    const fsfm_network_view *view, fsfm_error *err);
/* dout (B, R, C): the result's gradient, overwritten; dstream (B, T, C), that of x, is set. */
FSFM_MUST_USE
fsfm_status fsfm_last_block_backward(fsfm_device *dev, const fsfm_last_block *last,
                                     const fsfm_network_view *view, fsfm_act *dout, fsfm_act *dstream,
                                     fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
