/* SPDX-License-Identifier: Apache-2.0
 * core/model/flops.h - the matrix products of a step that the exact savings leave: how many FLOP they are,
 * and which shapes take the most. From the options alone: nothing is bound or run.
 *
 * A multiply-add is 2 FLOP. Backward counts twice its forward (the gradients of both factors), for the patch
 * embedding once (images get no gradient). Attention is its two products, 4 Tq T C. Vectors, softmax, losses
 * and what is computed a second time (recomputation) are not counted. */
#ifndef FSFM_CORE_MODEL_FLOPS_H
#define FSFM_CORE_MODEL_FLOPS_H

#include "core/model/work.h"

#ifdef __cplusplus
extern "C" {
#endif

/* FLOP an image. */
typedef struct {
    double online_forward, online_backward;
    double target;           /* forward; 0 where there is no target network */
    double step;             /* the three together */
    double part[FSFM_PARTS]; /* the same by part: forward and backward */
} fsfm_flops;

fsfm_flops fsfm_flops_count(const fsfm_work_list *list);
/* The shapes of one micro-batch's products in its precision whose sum over the step is largest, the largest
 * first; returns how many: max, or all there are. Attention's products are not among them. */
int fsfm_flops_largest(const fsfm_work_list *list, fsfm_product_shape *out, int max);

#ifdef __cplusplus
}
#endif
#endif
