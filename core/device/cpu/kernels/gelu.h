/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/gelu.h - x Phi(x) and its derivative, Phi(x) + x phi(x).
 *
 * With u = |x|, both follow from what is left of them at -u: Phi(u) = 1 - Phi(-u), and the derivative at u is
 * 1 less that at -u. GELU is applied while a product's tile is at hand, which takes hardly longer. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_GELU_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_GELU_H

/* Each has find_place(x), u = |x| in it; normal_tail(): Phi(-u), and slope_tail(): Phi(-u) - u phi(u). */
#include "core/device/cpu/kernels/act.h"
#if VW == 16
#include "core/device/cpu/kernels/gelu_lookup.h"
#else
#include "core/device/cpu/kernels/gelu_formula.h"
#endif

/* max(0, x) - u Phi(-u), which is x Phi(x) on either side of 0. */
ALWAYS_INLINE vf gelu_of(vf x, const tail_place *at)
{
    return vf_max(vf_set(0.0f), x) - at->u * normal_tail(at);
}

ALWAYS_INLINE vf gelu_slope(vf x, const tail_place *at)
{
    const vu sign = (vu)x >> 31;
    const vf step = (vf)((sign - 1) & (vu)vf_set(1.0f)); /* 0 below 0 */
    return step - (vf)((vu)slope_tail(at) ^ sign << 31);
}

#endif
