/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/gelu_formula.h - what is left of Phi and of GELU's derivative at -u, computed: on
 * vectors of eight and less that takes half as long as tables do. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_GELU_FORMULA_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_GELU_FORMULA_H

#include "core/device/cpu/kernels/vector.h"

/* |x|, or where nothing is left of Phi(-|x|) a bound; exp(-u^2 / 2), and Phi(-u). */
typedef struct {
    vf u, power, normal;
} tail_place;

/* Phi(-u) = exp(-u^2 / 2) erfcx(u / sqrt 2) / 2, whose slow part is a polynomial in 3 / (u + 3) - 1 / 2: of
 * degree 8, interpolated at Chebyshev's nodes for u <= 5.8, in double. Of Phi(-u) it is off by 9e-9, of
 * u Phi(-u) by 5e-9. */
ALWAYS_INLINE tail_place find_place(vf x)
{
    const vf u = vf_min(vf_set(13.0f), vf_abs(x)), power = vf_exp(u * u * -0.5f),
             t = 3.0f / (u + 3.0f) - 0.5f;
    vf p = vf_set(-0.012188145f);
    p = p * t + 0.0648991242f;
    p = p * t - 0.0661019832f;
    p = p * t - 0.0936015919f;
    p = p * t + 0.0983016565f;
    p = p * t + 0.369708955f;
    p = p * t + 0.492897719f;
    p = p * t + 0.412805259f;
    p = p * t + 0.121513955f;
    return (tail_place){u, power, power * p};
}

ALWAYS_INLINE vf normal_tail(const tail_place *at)
{
    return at->normal;
}

ALWAYS_INLINE vf slope_tail(const tail_place *at)
{
    const float density = 0.398942280f; /* phi(0) */
    return at->normal - density * at->u * at->power;
}

#endif
