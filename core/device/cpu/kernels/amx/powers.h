/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/amx/powers.h - powers of 2 and logarithms by instructions that vector.h's do
 * without. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_AMX_POWERS_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_AMX_POWERS_H

#include "core/device/cpu/kernels/vector.h"

#define LOG_2 0.693147181f

/* 2^(x - 1/2) to 3e-6 (minimax), best where x is 1/2: there the largest weights of a softmax lie. NaN for
 * NaN, 0 for -inf. Subnormal results are slow, see small_numbers_vanish(). */
ALWAYS_INLINE vf power_of_2(vf x)
{
    const vf r = (vf)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    vf p = vf_set(0.00957010128f);
    p = p * r + 0.0367776565f;
    p = p * r + 0.170725808f;
    p = p * r + 0.490027696f;
    p = p * r + 0.707108676f;
    return (vf)_mm512_scalef_ps((__m512)p, (__m512)x);
}

/* The natural logarithm to 2e-7, for x > 0 and NaN. x = 2^e m, 1 <= m < 2, and log(m / sqrt 2) = 2 artanh(f).
 */
ALWAYS_INLINE vf log_of(vf x)
{
    const float root_2 = 1.41421356f;
    const vf e = (vf)_mm512_getexp_ps((__m512)x);
    const vf m = (vf)_mm512_getmant_ps((__m512)x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
    const vf f = (m - root_2) / (m + root_2), square = f * f;
    vf series = vf_set(2.0f / 9.0f);
    series = series * square + 2.0f / 7.0f;
    series = series * square + 2.0f / 5.0f;
    series = series * square + 2.0f / 3.0f;
    series = series * square + 2.0f;
    return (e + 0.5f) * LOG_2 + f * series;
}

#endif
