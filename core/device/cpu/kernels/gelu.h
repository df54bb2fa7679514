/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/gelu.h - x Phi(x) and its derivative, Phi(x) + x phi(x).
 *
 * With u = |x|, both follow from what is left of them at -u: Phi(u) = 1 - Phi(-u), and the derivative at u is
 * 1 less that at -u. Those are looked up piece by piece, without exp and division: GELU is applied while a
 * product's tile is at hand, which takes hardly longer. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_GELU_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_GELU_H

#include "core/device/cpu/kernels/act.h"
#include "core/device/cpu/kernels/gelu_tables.h"

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

ALWAYS_INLINE vf tail_at(const float table[DEGREE + 1][16], const tail_place *at)
{
    vf value = vf_lookup(table[0], at->piece);
    UNROLL for (int i = 1; i <= DEGREE; i++) value = value * at->place + vf_lookup(table[i], at->piece);
    return value;
}

/* max(0, x) - u Phi(-u), which is x Phi(x) on either side of 0. */
ALWAYS_INLINE vf gelu_of(vf x, const tail_place *at)
{
    return vf_max(vf_set(0.0f), x) - at->u * tail_at(NORMAL_TAIL, at);
}

ALWAYS_INLINE vf gelu_slope(vf x, const tail_place *at)
{
    const vu sign = (vu)x >> 31;
    const vf step = (vf)((sign - 1) & (vu)vf_set(1.0f)); /* 0 below 0 */
    return step - (vf)((vu)tail_at(SLOPE_TAIL, at) ^ sign << 31);
}

#endif
