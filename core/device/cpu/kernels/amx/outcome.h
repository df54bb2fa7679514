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
    const float *bias; /* of all columns; NULL in all chunks of the depth but the first */
    const void *added; /* of all of c */
    int64_t row, rows, column, columns, done;
    const float *sums;
} outcome;

/* Vector of VW columns from c on, of a row whose first number is at. */
ALWAYS_INLINE void outcome_vector(const outcome *o, int64_t at, int64_t c, vf x)
{
    const fsfm_cpu_product *p = o->product;
    const int64_t columns = o->columns;
    if (o->bias) x += vf_load_at(o->bias + o->column, c, columns);
    if (p->c_is_float) {
        if (o->added) x += vf_load_at((const float *)o->added + at, c, columns);
        vf_store_at((float *)p->c + at, x, c, columns);
        return;
    }
    if (o->added) x += act_load_at((const act *)o->added + at, c, columns);
    if (p->hidden) {
        const vf hidden = act_load_at((const act *)p->hidden + at, c, columns);
        const tail_place place = find_place(hidden);
        if (p->active) act_store_at((act *)p->active + at, gelu_of(hidden, &place), c, columns);
        x *= gelu_slope(hidden, &place);
    }
    act_store_at((act *)p->c + at, x, c, columns);
    if (p->active && !p->hidden) {
        const vf rounded = act_rounded(x);
        const tail_place place = find_place(rounded);
        act_store_at((act *)p->active + at, gelu_of(rounded, &place), c, columns);
    }
}

ALWAYS_INLINE void outcome_rows(outcome *o, int64_t count)
{
    for (; count > 0 && o->done < o->rows; count--, o->done++) {
        const float *sums = o->sums + o->done * SIDE;
        const int64_t at = (o->row + o->done) * o->product->N + o->column;
        for (int64_t c = 0; c < o->columns; c += VW) outcome_vector(o, at, c, vf_load(sums + c));
    }
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
