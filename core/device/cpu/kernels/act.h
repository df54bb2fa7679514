/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/act.h - numbers in compute precision: floats, or in the sets made for it
 * (FSFM_BF16) bfloat16, rounded to nearest even when stored. Kernels compute with floats in either case. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_ACT_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_ACT_H

#include <stdbool.h>

#include "core/device/cpu/kernels/vector.h"

#if defined FSFM_BF16

typedef uint16_t act;

ALWAYS_INLINE vf act_load(const act *p)
{
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i_u *)p)), 16);
}

ALWAYS_INLINE void act_store(act *p, vf x)
{
    _mm256_storeu_si256((__m256i_u *)p, (__m256i)_mm512_cvtneps_pbh(x));
}

/* 2 VW numbers, of a line of the cache. */
ALWAYS_INLINE void acts_store(act *p, vf first, vf second)
{
    _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(second, first));
}

#else

typedef float act;

ALWAYS_INLINE vf act_load(const act *p)
{
    return vf_load(p);
}

ALWAYS_INLINE void act_store(act *p, vf x)
{
    vf_store(p, x);
}

#endif

/* The first count < VW, then zeros. */
ALWAYS_INLINE vf act_load_part(const act *p, int64_t count)
{
    act part[VW] = {0};
    memcpy(part, p, (size_t)count * sizeof *p);
    return act_load(part);
}

ALWAYS_INLINE void act_store_part(act *p, vf x, int64_t count)
{
    act part[VW];
    act_store(part, x);
    memcpy(p, part, (size_t)count * sizeof *p);
}

/* Vector number c / VW of a row of C: the last one may be a part. */
ALWAYS_INLINE vf act_load_at(const act *row, int64_t c, int64_t C)
{
    return c + VW <= C ? act_load(row + c) : act_load_part(row + c, C - c);
}

ALWAYS_INLINE vf vf_load_at(const float *row, int64_t c, int64_t C)
{
    return c + VW <= C ? vf_load(row + c) : vf_load_part(row + c, C - c);
}

/* From a row of floats, or of numbers in compute precision. */
ALWAYS_INLINE vf either_load_at(const void *row, bool is_float, int64_t c, int64_t C)
{
    return is_float ? vf_load_at((const float *)row, c, C) : act_load_at((const act *)row, c, C);
}

ALWAYS_INLINE void act_store_at(act *row, vf x, int64_t c, int64_t C)
{
    if (c + VW <= C)
        act_store(row + c, x);
    else
        act_store_part(row + c, x, C - c);
}

ALWAYS_INLINE void vf_store_at(float *row, vf x, int64_t c, int64_t C)
{
    if (c + VW <= C)
        vf_store(row + c, x);
    else
        vf_store_part(row + c, x, C - c);
}

/* act_exp(x): powers of a base that suits the precision, whose natural logarithm is EXP_BASE_LOG. */
#if defined FSFM_BF16

#define EXP_BASE_LOG 0.693147181f /* of 2 */

/* 2^x to 3e-6, for x <= 127; below -125 as for -125, as numbers that are no longer normal take processors a
 * hundred times as long. 2^n 2^r, |r| <= 1/2, with a polynomial for 2^r (minimax). */
ALWAYS_INLINE vf act_exp(vf x)
{
    const float round = 12582912.0f + 127.0f; /* see vf_exp */
    const vf safe = vf_max(vf_set(-125.0f), x);
    const vf shifted = safe + round;
    const vf r = safe - (shifted - round);
    vf p = vf_set(0.009570101276f);
    p = p * r + 0.05591785908f;
    p = p * r + 0.2402474433f;
    p = p * r + 0.6931217909f;
    p = p * r + 0.9999992847f;
    return p * (vf)((vi)shifted << 23);
}

#else

#define EXP_BASE_LOG 1.0f /* of e */

ALWAYS_INLINE vf act_exp(vf x)
{
    return vf_exp(x);
}

#endif
#endif
