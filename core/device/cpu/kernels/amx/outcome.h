/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/amx/outcome.h - from the sums of a block to what a product is to give: bias, what
 * is added, rounding, GELU. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_AMX_OUTCOME_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_AMX_OUTCOME_H

#include "core/device/cpu/kernels.h"
#include "core/device/cpu/kernels/amx/tiles.h"
#include "core/device/cpu/kernels/gelu.h"
#include "core/device/cpu/kernels/pack.h"

/* A block of c, of which rows [done, rows) still wait in sums (SIDE, SIDE). */
typedef struct {
    const fsfm_cpu_product *product;
    const float *bias; /* of all columns, or NULL */
    const void *added; /* of all of c */
    int64_t row, rows, column, columns, done;
    const float *sums;
} outcome;

/* What is done with a sum; constants wherever they count. */
typedef struct {
    bool is_whole; /* all SIDE columns */
    bool is_float, adds, is_gelu, is_gelu_backward;
} outcome_form;

/* Vector of VW columns from c on, of a row whose first number is at. */
ALWAYS_INLINE void outcome_vector(const outcome *o, const outcome_form form, int64_t at, int64_t c, vf x)
{
    const fsfm_cpu_product *p = o->product;
    const int64_t columns = form.is_whole ? SIDE : o->columns;
    if (form.is_float) {
        if (form.adds) x += vf_load_at((const float *)o->added + at, c, columns);
        vf_store_at((float *)p->c + at, x, c, columns);
        return;
    }
    if (form.adds) x += act_load_at((const act *)o->added + at, c, columns);
    if (form.is_gelu_backward) {
        const vf hidden = act_load_at((const act *)p->hidden + at, c, columns);
        const tail_place place = find_place(hidden);
        if (p->active) act_store_at((act *)p->active + at, gelu_of(hidden, &place), c, columns);
        x *= gelu_slope(hidden, &place);
    }
    act_store_at((act *)p->c + at, x, c, columns);
    if (form.is_gelu) {
        const vf rounded = act_rounded(x);
        const tail_place place = find_place(rounded);
        act_store_at((act *)p->active + at, gelu_of(rounded, &place), c, columns);
    }
}

ALWAYS_INLINE void outcome_rows_of(outcome *o, const outcome_form form, int64_t count)
{
    const int64_t columns = form.is_whole ? SIDE : o->columns, last = o->done + count;
    const vf none = {0};
    vf bias[SIDE / VW];
    UNROLL for (int64_t j = 0; j < SIDE / VW; j++) bias[j] =
        o->bias && j * VW < columns ? vf_load_at(o->bias + o->column, j * VW, columns) : none;
    int64_t at = (o->row + o->done) * o->product->N + o->column;
    for (; o->done < last; o->done++, at += o->product->N)
        UNROLL for (int64_t j = 0; j < SIDE / VW; j++) if (j * VW < columns)
            outcome_vector(o, form, at, j * VW, vf_load(o->sums + o->done * SIDE + j * VW) + bias[j]);
}

/* The next count rows, of a block of any form. */
#define OUTCOME(whole)                                                                                \
    const fsfm_cpu_product *p = o->product;                                                           \
    if (p->c_is_float && o->added)                                                                    \
        outcome_rows_of(o, (outcome_form){.is_whole = whole, .is_float = true, .adds = true}, count); \
    else if (p->c_is_float)                                                                           \
        outcome_rows_of(o, (outcome_form){.is_whole = whole, .is_float = true}, count);               \
    else if (p->hidden)                                                                               \
        outcome_rows_of(o, (outcome_form){.is_whole = whole, .is_gelu_backward = true}, count);       \
    else if (p->active)                                                                               \
        outcome_rows_of(o, (outcome_form){.is_whole = whole, .is_gelu = true}, count);                \
    else if (o->added)                                                                                \
        outcome_rows_of(o, (outcome_form){.is_whole = whole, .adds = true}, count);                   \
    else                                                                                              \
        outcome_rows_of(o, (outcome_form){.is_whole = whole}, count);

static void outcome_whole(outcome *o, int64_t count)
{
    OUTCOME(true)
}

static void outcome_part(outcome *o, int64_t count)
{
    OUTCOME(false)
}

static void outcome_rows(outcome *o, int64_t most)
{
    const int64_t count = o->rows - o->done < most ? o->rows - o->done : most;
    if (count <= 0) return;
    if (o->columns == SIDE)
        outcome_whole(o, count);
    else
        outcome_part(o, count);
}

/* Asks for what the outcome of row i will read and write. */
ALWAYS_INLINE void outcome_prefetch(const outcome *o, int64_t i)
{
    const fsfm_cpu_product *p = o->product;
    const int64_t at = (o->row + i) * p->N + o->column;
    const int64_t number_bytes = p->c_is_float ? sizeof(float) : sizeof(act);
    prefetch_row((char *)p->c + at * number_bytes, o->columns * number_bytes);
    if (o->added) prefetch_row((const char *)o->added + at * number_bytes, o->columns * number_bytes);
    if (p->hidden) prefetch_row((const act *)p->hidden + at, o->columns * number_bytes);
    if (p->active) prefetch_row((act *)p->active + at, o->columns * number_bytes);
}

#endif
