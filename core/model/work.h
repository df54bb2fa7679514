/* SPDX-License-Identifier: Apache-2.0
 * core/model/work.h - what a step computes, piece by piece, as the CUDA backend launches it: every matrix
 * product, every attention and the passes over rows between them. A learner's step is given to a device that
 * only counts (core/device/counter.h), so that the pieces are those of the step itself. */
#ifndef FSFM_CORE_MODEL_WORK_H
#define FSFM_CORE_MODEL_WORK_H

#include <stdbool.h>

#include "core/device/device.h"
#include "core/model/parameters.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const fsfm_model_options *options; /* resolved */
    int64_t kept;                      /* patches that the online network sees of each image (K) */
    int64_t B;                         /* images of a micro-batch */
    bool plain;                        /* without the exact savings */
    fsfm_recompute recompute;
    fsfm_precision precision;
} fsfm_work_setup;

typedef enum {
    FSFM_PART_ENCODER,
    FSFM_PART_REP_DECODER,
    FSFM_PART_PIXEL_DECODER,
    FSFM_PART_HEADS, /* projector and predictor of the online network, with the loss behind them */
    FSFM_PART_TARGET,
    FSFM_PARTS,
    FSFM_PART_OPTIMIZER = FSFM_PARTS /* what comes once a step: zeroes, norm, AdamW, EMA */
} fsfm_part;
const char *fsfm_part_name(fsfm_part part); /* "encoder", "rep_decoder", ... */

typedef enum {
    FSFM_WORK_PRODUCT,
    FSFM_WORK_ATTENTION,
    FSFM_WORK_ROWS /* norms, GELU, gradients of biases, tokens, losses: what only moves bytes */
} fsfm_work_kind;

typedef enum {
    FSFM_PASS_FORWARD,
    FSFM_PASS_DX,   /* backward: of the input; of attention and rows all of backward */
    FSFM_PASS_DW,   /* backward: of the weight */
    FSFM_PASS_AGAIN /* forward once more, in backward (recompute) */
} fsfm_pass;

/* One kernel's piece. */
typedef struct {
    fsfm_work_kind kind;
    fsfm_part part;
    fsfm_pass pass;
    const char *name;         /* a product's: "attn.qkv", in all blocks of a stack; else the operation's */
    fsfm_product_shape shape; /* PRODUCT */
    bool is_whole;            /* computed in fp32 though the precision may be bf16 */
    double flop;              /* of products; attention's backward is twice its forward */
    double computed_flop;     /* the same with what attention, which keeps no scores, computes again */
    double bytes;             /* of its arrays, each read or written once */
} fsfm_work;

/* The pieces of one micro-batch, in order, and those that come once a step. */
typedef struct {
    fsfm_work *items;
    int64_t count, B;
    fsfm_parameters names; /* of products */
} fsfm_work_list;

/* The caller ends *out with fsfm_work_list_free(), also after a failure. */
FSFM_MUST_USE
fsfm_status fsfm_work_list_make(const fsfm_work_setup *setup, fsfm_work_list *out, fsfm_error *err);
void fsfm_work_list_free(fsfm_work_list *list);

#ifdef __cplusplus
}
#endif
#endif
