/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/matrix.h - elements of a matrix of weights, in the form that core/device/device.h
 * describes: floats, or (FSFM_BF16) their halves apart, count rounded ones and then count remainders. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_MATRIX_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_MATRIX_H

#include "core/device/cpu/kernels/act.h"

#if defined FSFM_BF16

/* Elements [i, i + VW) of count as floats: the rounded half in the upper bits plus a signed remainder. */
ALWAYS_INLINE vf matrix_load(const void *matrix, int64_t i, int64_t count)
{
    const uint16_t *rounded = matrix, *rest = rounded + count;
    const __m512i upper =
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i_u *)(rounded + i))), 16);
    const __m512i lower = _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i_u *)(rest + i)));
    return (vf)_mm512_add_epi32(upper, lower);
}

/* Halves are rounded up, so that the remainder of a tie fits 16 signed bits. */
ALWAYS_INLINE void matrix_store(void *matrix, vf x, int64_t i, int64_t count)
{
    uint16_t *rounded = matrix, *rest = rounded + count;
    const __m512i bits = (__m512i)x,
                  upper = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x8000)), 16);
    _mm256_storeu_si256((__m256i_u *)(rounded + i), _mm512_cvtepi32_epi16(upper));
    _mm256_storeu_si256((__m256i_u *)(rest + i), _mm512_cvtepi32_epi16(bits));
}

/* The first left < VW. */
ALWAYS_INLINE vf matrix_load_part(const void *matrix, int64_t i, int64_t count, int64_t left)
{
    uint16_t part[2 * VW] = {0};
    memcpy(part, (const uint16_t *)matrix + i, (size_t)left * sizeof *part);
    memcpy(part + VW, (const uint16_t *)matrix + count + i, (size_t)left * sizeof *part);
    return matrix_load(part, 0, VW);
}

ALWAYS_INLINE void matrix_store_part(void *matrix, vf x, int64_t i, int64_t count, int64_t left)
{
    uint16_t part[2 * VW];
    matrix_store(part, x, 0, VW);
    memcpy((uint16_t *)matrix + i, part, (size_t)left * sizeof *part);
    memcpy((uint16_t *)matrix + count + i, part + VW, (size_t)left * sizeof *part);
}

ALWAYS_INLINE vf matrix_load_at(const void *matrix, int64_t i, int64_t count)
{
    return i + VW <= count ? matrix_load(matrix, i, count) : matrix_load_part(matrix, i, count, count - i);
}

ALWAYS_INLINE void matrix_store_at(void *matrix, vf x, int64_t i, int64_t count)
{
    if (i + VW <= count)
        matrix_store(matrix, x, i, count);
    else
        matrix_store_part(matrix, x, i, count, count - i);
}

/* What rounding took from them. */
ALWAYS_INLINE vf matrix_rest_at(const void *matrix, int64_t i, int64_t count)
{
    const vf x = matrix_load_at(matrix, i, count);
    return x - (vf)(((vu)x + 0x8000u) & 0xFFFF0000u);
}

#else

ALWAYS_INLINE vf matrix_rest_at(const void *matrix, int64_t i, int64_t count)
{
    (void)matrix, (void)i, (void)count;
    return (vf){0};
}

ALWAYS_INLINE vf matrix_load_at(const void *matrix, int64_t i, int64_t count)
{
    return vf_load_at((const float *)matrix, i, count);
}

ALWAYS_INLINE void matrix_store_at(void *matrix, vf x, int64_t i, int64_t count)
{
    vf_store_at((float *)matrix, x, i, count);
}

#endif
#endif
