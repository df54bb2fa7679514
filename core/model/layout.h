/* SPDX-License-Identifier: Apache-2.0
 * core/model/layout.h - how long the buffers of a step live, and what shares memory for it.
 *
 * The buffers of a block stand in one list. It is gone through once for each area of memory:
 *   KEPT   from the network's forward to its backward;
 *   BLOCK  while one block is at work: all blocks of a network share it;
 *   HALF   while one half of a block, attention or MLP, is at work: all halves share it.
 * Which buffer lies in which area follows from what it is for and from how much of forward is kept. */
#ifndef FSFM_CORE_MODEL_LAYOUT_H
#define FSFM_CORE_MODEL_LAYOUT_H

#include "core/device/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    FSFM_KEEPS_NOTHING, /* there is no backward */
    FSFM_KEEPS_ALL,     /* train.recompute none */
    FSFM_KEEPS_MOST,    /* gelu: norms' outputs and GELU's are computed again */
    FSFM_KEEPS_INPUTS,  /* block: all but what a block begins with is computed again */
} fsfm_keeps;

typedef enum {
    FSFM_BUFFER_INPUT,      /* a block's input or output */
    FSFM_BUFFER_INNER,      /* forward's results that backward reads */
    FSFM_BUFFER_CHEAP,      /* the same, but cheap to compute again from others */
    FSFM_BUFFER_STATISTICS, /* as inner, but only there if there is a backward */
    FSFM_BUFFER_GRADIENT,   /* backward's, within a half */
    FSFM_BUFFER_PASSING,    /* forward's or backward's, within a half */
} fsfm_buffer;

typedef enum { FSFM_AREA_KEPT, FSFM_AREA_BLOCK, FSFM_AREA_HALF } fsfm_area;

/* One pass: takes the buffers of one area from arena. */
typedef struct {
    fsfm_arena *arena;
    const fsfm_device *dev;
    fsfm_keeps keeps;
    fsfm_area area;
} fsfm_layout;

/* *place = count elements if this kind of buffer lies in the pass's area; NULL if it is not wanted at all;
 * else untouched: another pass sets it. */
void fsfm_layout_acts(const fsfm_layout *layout, fsfm_buffer kind, int64_t count, fsfm_act **place);
void fsfm_layout_floats(const fsfm_layout *layout, fsfm_buffer kind, int64_t count, float **place);

/* arena now reaches as far as alternative, which began where arena stood: the two share memory. */
void fsfm_arena_cover(fsfm_arena *arena, const fsfm_arena *alternative);

#ifdef __cplusplus
}
#endif
#endif
