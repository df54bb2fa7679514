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

/* What becomes of a vector of sums: of c, and of active where that is wanted. */
typedef struct {
    vf c, active;
} outcome_vectors;

ALWAYS_INLINE vf added_load(const outcome *o, const outcome_form form, int64_t at, int64_t c, int64_t columns)
{
    return form.is_float ? vf_load_at((const float *)o->added + at, c, columns)
                         : act_load_at((const act *)o->added + at, c, columns);
}

/* x: of VW columns from c on, of a row whose first number is at. */
ALWAYS_INLINE outcome_vectors outcome_of(const outcome *o, const outcome_form form, int64_t at, int64_t c,
                                         vf x)
{
    const fsfm_cpu_product *p = o->product;
    const int64_t columns = form.is_whole ? SIDE : o->columns;
    if (form.adds) x += added_load(o, form, at, c, columns);
    if (form.is_gelu_backward) {
        const vf hidden = act_load_at((const act *)p->hidden + at, c, columns);
        const tail_place place = find_place(hidden);
        return (outcome_vectors){x * gelu_slope(hidden, &place), gelu_of(hidden, &place)};
    }
    if (!form.is_gelu) return (outcome_vectors){.c = x};
    const tail_place place = find_place(x);
    return (outcome_vectors){x, gelu_of(x, &place)};
}

/* A whole row is a line of the cache, and written as one: half lines take twice the stores. */
ALWAYS_INLINE void outcome_store(const outcome *o, const outcome_form form, int64_t at,
                                 const outcome_vectors row[SIDE / VW])
{
    const fsfm_cpu_product *p = o->product;
    const bool has_active = form.is_gelu || (form.is_gelu_backward && p->active);
    act *c = (act *)p->c + at, *active = has_active ? (act *)p->active + at : NULL;
    if (form.is_whole) {
        acts_store(c, row[0].c, row[1].c);
        if (active) acts_store(active, row[0].active, row[1].active);
        return;
    }
    UNROLL for (int64_t j = 0; j < SIDE / VW; j++) if (j * VW < o->columns)
    {
        act_store_at(c, row[j].c, j * VW, o->columns);
        if (active) act_store_at(active, row[j].active, j * VW, o->columns);
    }
}

ALWAYS_INLINE void outcome_store_floats(const outcome *o, const outcome_form form, int64_t at,
                                        const outcome_vectors row[SIDE / VW])
{
    const int64_t columns = form.is_whole ? SIDE : o->columns;
    float *c = (float *)o->product->c + at;
    UNROLL for (int64_t j = 0; j < SIDE / VW; j++) if (j * VW < columns)
        vf_store_at(c, row[j].c, j * VW, columns);
}

ALWAYS_INLINE void outcome_rows_of(outcome *o, const outcome_form form, int64_t count)
{
    const int64_t columns = form.is_whole ? SIDE : o->columns, last = o->done + count;
    const vf none = {0};
    vf bias[SIDE / VW];
    UNROLL for (int64_t j = 0; j < SIDE / VW; j++) bias[j] =
        o->bias && j * VW < columns ? vf_load_at(o->bias + o->column, j * VW, columns) : none;
    int64_t at = (o->row + o->done) * o->product->N + o->column;
    for (; o->done < last; o->done++, at += o->product->N) {
        outcome_vectors row[SIDE / VW] = {0};
        UNROLL for (int64_t j = 0; j < SIDE / VW; j++) if (j * VW < columns) row[j] =
            outcome_of(o, form, at, j * VW, vf_load(o->sums + o->done * SIDE + j * VW) + bias[j]);
        if (form.is_float)
            outcome_store_floats(o, form, at, row);
        else
            outcome_store(o, form, at, row);
    }
}

/* DO(form), where form is that of o, as a constant. */
#define OUTCOME_AS(whole, ...) ((outcome_form){.is_whole = (whole), __VA_ARGS__})
#define OUTCOME_FORMS(o, whole, DO)                            \
    const fsfm_cpu_product *p = (o)->product;                  \
    if (p->c_is_float && (o)->added)                           \
        DO(OUTCOME_AS(whole, .is_float = true, .adds = true)); \
    else if (p->c_is_float)                                    \
        DO(OUTCOME_AS(whole, .is_float = true));               \
    else if (p->hidden)                                        \
        DO(OUTCOME_AS(whole, .is_gelu_backward = true));       \
    else if (p->active)                                        \
        DO(OUTCOME_AS(whole, .is_gelu = true));                \
    else if ((o)->added)                                       \
        DO(OUTCOME_AS(whole, .adds = true));                   \
    else                                                       \
        DO(OUTCOME_AS(whole, .adds = false));

/* The next rows, at most so many. */
ALWAYS_INLINE void outcome_rows_as(outcome *o, const outcome_form form, int64_t most)
{
    const int64_t count = o->rows - o->done < most ? o->rows - o->done : most;
    if (count > 0) outcome_rows_of(o, form, count);
}

static void outcome_part(outcome *o, int64_t most)
{
#define ROWS(form) outcome_rows_as(o, form, most)
    OUTCOME_FORMS(o, false, ROWS)
#undef ROWS
}

static void outcome_rest(outcome *o)
{
#define ROWS(form) outcome_rows_as(o, form, SIDE)
    if (o->columns < SIDE) {
        outcome_part(o, SIDE);
    } else {
        OUTCOME_FORMS(o, true, ROWS)
    }
#undef ROWS
}

/* Whether what follows from sums reads more than them. */
ALWAYS_INLINE bool outcome_reads(const outcome *o)
{
    return o->added || o->product->hidden;
}

/* Asks for what the outcome of row i will read. What is only written is better left alone: whole lines are,
 * and to ask for them delays the tiles' loads. */
ALWAYS_INLINE void outcome_prefetch(const outcome *o, int64_t i)
{
    const fsfm_cpu_product *p = o->product;
    const int64_t at = (o->row + i) * p->N + o->column;
    const int64_t number_bytes = p->c_is_float ? sizeof(float) : sizeof(act);
    if (o->added) prefetch_row((const char *)o->added + at * number_bytes, o->columns * number_bytes);
    if (p->hidden) prefetch_row((const act *)p->hidden + at, o->columns * number_bytes);
}

#endif
