/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/gelu_lookup.h - what is left of Phi and of GELU's derivative at -u, looked up piece
 * by piece, without exp and division: where one instruction looks up all of a vector. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_GELU_LOOKUP_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_GELU_LOOKUP_H

#include "core/device/cpu/kernels/gelu_tables.h"
#include "core/device/cpu/kernels/vector.h"

#if VW == 16

/* |x|, or where next to nothing (4e-9) is left of Phi(-|x|) the end of the tables; its piece, and its place
 * in that. */
typedef struct {
    vf u;
    vi piece;
    vf place;
} tail_place;

ALWAYS_INLINE tail_place find_place(vf x)
{
    const float last = 15.4f * STEP, round = 12582912.0f; /* see vf_exp */
    const vf u = vf_min(vf_set(last), vf_abs(x));
    const vf shifted = u * (1.0f / STEP) + round;
    return (tail_place){u, (vi)shifted, u - (shifted - round) * STEP};
}

ALWAYS_INLINE vf lookup(const float table[16], vi piece)
{
    return _mm512_permutexvar_ps((__m512i)piece, vf_load(table));
}

ALWAYS_INLINE vf tail_at(const float table[DEGREE + 1][16], const tail_place *at)
{
    vf value = lookup(table[0], at->piece);
    UNROLL for (int i = 1; i <= DEGREE; i++) value = value * at->place + lookup(table[i], at->piece);
    return value;
}

ALWAYS_INLINE vf normal_tail(const tail_place *at)
{
    return tail_at(NORMAL_TAIL, at);
}

ALWAYS_INLINE vf slope_tail(const tail_place *at)
{
    return tail_at(SLOPE_TAIL, at);
}

#endif
#endif
