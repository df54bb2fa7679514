/* SPDX-License-Identifier: Apache-2.0
 * core/model/work.h - what a step computes, piece by piece: every matrix product, every attention and the
 * passes over rows between them, as the exact savings leave them. From the options alone: nothing is bound or
 * run. */
#ifndef FSFM_CORE_MODEL_WORK_H
#define FSFM_CORE_MODEL_WORK_H

#include <stdbool.h>

#include "core/device/device.h"
#include "core/model/model_options.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const fsfm_model_options *options; /* resolved */
    int64_t kept;                      /* patches that the online network sees of each image (K) */
    int64_t B;                         /* images of a micro-batch */
    bool plain;                        /* without the exact savings */
    bool recomputes_blocks;            /* train.recompute block: backward runs each block forward again */
    fsfm_precision precision;
} fsfm_work_setup;

typedef enum {
    FSFM_PART_ENCODER,
    FSFM_PART_REP_DECODER,
    FSFM_PART_PIXEL_DECODER,
    FSFM_PART_HEADS, /* projector and predictor of the online network */
    FSFM_PART_TARGET,
    FSFM_PARTS
} fsfm_part;
const char *fsfm_part_name(fsfm_part part); /* "encoder", "rep_decoder", ... */

typedef enum {
    FSFM_WORK_PRODUCT,   /* shape */
    FSFM_WORK_ATTENTION, /* queries of keys tokens, C wide, in B images */
    FSFM_WORK_ROWS       /* norms, residuals, GELU: so many passes over (rows, C), a read or a write each */
} fsfm_work_kind;

typedef enum {
    FSFM_PASS_FORWARD,
    FSFM_PASS_DX,   /* backward: of the input; of attention and rows all of backward */
    FSFM_PASS_DW,   /* backward: of the weight */
    FSFM_PASS_AGAIN /* forward once more, in backward (recomputes_blocks) */
} fsfm_pass;

/* One piece of one micro-batch. */
typedef struct {
    fsfm_work_kind kind;
    fsfm_part part;
    fsfm_pass pass;
    const char *name;         /* "qkv", "fc1", ...; a stack's blocks have the same ones */
    fsfm_product_shape shape; /* PRODUCT */
    bool is_whole;            /* PRODUCT: computed in fp32 though the precision is bf16 */
    int64_t queries, keys, C; /* ATTENTION; C also ROWS */
    int64_t rows, passes;     /* ROWS */
} fsfm_work;

typedef void (*fsfm_work_fn)(void *context, const fsfm_work *work);
/* Visits the pieces of one micro-batch, network by network. */
void fsfm_work_walk(const fsfm_work_setup *setup, fsfm_work_fn visit, void *context);

#ifdef __cplusplus
}
#endif
#endif
