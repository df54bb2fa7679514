/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/vector.h - vectors as wide as the instruction set's registers, and exp on them. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_VECTOR_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_VECTOR_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined __SSE2__
#include <immintrin.h>
#endif

/* VW floats a vector. */
#if defined __AVX512F__
#define VW 16
#elif defined __AVX2__
#define VW 8
#else
#define VW 4
#endif

/* Names that differ for each instruction set, as all sets are linked into one program. */
#define KERNEL_PASTE_(name, isa) fsfm_cpu_##name##_##isa
#define KERNEL_PASTE(name, isa) KERNEL_PASTE_(name, isa)
#define KERNEL(name) KERNEL_PASTE(name, FSFM_ISA)

#if defined __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * VW)));
typedef float vf_unaligned __attribute__((vector_size(4 * VW), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * VW)));
typedef uint32_t vu __attribute__((vector_size(4 * VW)));
typedef float v4 __attribute__((vector_size(16)));
typedef float v4_unaligned __attribute__((vector_size(16), aligned(4), may_alias));
typedef float vhalf __attribute__((vector_size(2 * VW), aligned(4), may_alias));
typedef double vd __attribute__((vector_size(4 * VW))); /* VW / 2 doubles */

ALWAYS_INLINE vf vf_load(const float *p)
{
    return *(const vf_unaligned *)p;
}

ALWAYS_INLINE void vf_store(float *p, vf x)
{
    *(vf_unaligned *)p = x;
}

ALWAYS_INLINE vf vf_set(float x)
{
    return x - (vf){0};
}

/* The first count < VW floats, then zeros. */
ALWAYS_INLINE vf vf_load_part(const float *p, int64_t count)
{
    float part[VW] = {0};
    memcpy(part, p, (size_t)count * sizeof *p);
    return vf_load(part);
}

ALWAYS_INLINE void vf_store_part(float *p, vf x, int64_t count)
{
    float part[VW];
    vf_store(part, x);
    memcpy(p, part, (size_t)count * sizeof *p);
}

ALWAYS_INLINE vf vf_select(vi mask, vf yes, vf no)
{
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

/* b where either is NaN: keep the value that may be NaN in b. */
ALWAYS_INLINE vf vf_max(vf a, vf b)
{
#if defined __AVX512F__
    return _mm512_max_ps(a, b);
#elif defined __AVX2__
    return _mm256_max_ps(a, b);
#elif defined __SSE2__
    return _mm_max_ps(a, b);
#else
    return vf_select((vi)(a > b), a, b);
#endif
}

/* Likewise. */
ALWAYS_INLINE vf vf_min(vf a, vf b)
{
#if defined __AVX512F__
    return _mm512_min_ps(a, b);
#elif defined __AVX2__
    return _mm256_min_ps(a, b);
#elif defined __SSE2__
    return _mm_min_ps(a, b);
#else
    return vf_select((vi)(a < b), a, b);
#endif
}

ALWAYS_INLINE vf vf_abs(vf x)
{
    return (vf)((vi)x & INT32_MAX);
}

ALWAYS_INLINE vf vf_sqrt(vf x)
{
#if defined __AVX512F__
    return _mm512_sqrt_ps(x);
#elif defined __AVX2__
    return _mm256_sqrt_ps(x);
#elif defined __SSE2__
    return _mm_sqrt_ps(x);
#else
    for (int i = 0; i < VW; i++) x[i] = sqrtf(x[i]);
    return x;
#endif
}

/* Halves are added until one lane is left. */
ALWAYS_INLINE float vf_total(vf x)
{
    float lane[VW];
    vf_store(lane, x);
    UNROLL for (int width = VW / 2; width > 0; width /= 2) for (int i = 0; i < width; i++) lane[i] +=
        lane[i + width];
    return lane[0];
}

ALWAYS_INLINE float vf_largest(vf x)
{
    float lane[VW];
    vf_store(lane, x);
    UNROLL for (int width = VW / 2; width > 0; width /= 2) for (int i = 0; i < width; i++) lane[i] =
        lane[i] > lane[i + width] ? lane[i] : lane[i + width];
    return lane[0];
}

ALWAYS_INLINE double vd_total(vd x)
{
    double lane[VW / 2];
    memcpy(lane, &x, sizeof x);
    for (int width = VW / 4; width > 0; width /= 2)
        for (int i = 0; i < width; i++) lane[i] += lane[i + width];
    return lane[0];
}

#define LOG2E 1.44269504f

/* exp(x) for x <= 88, 0 below -87.3 (where results stop being normal numbers), NaN for NaN. x = n ln 2 + r,
 * |r| <= ln 2 / 2; exp(r) by a polynomial (minimax, 3e-9), 2^n by its bits. */
ALWAYS_INLINE vf vf_exp(vf x)
{
    const float lowest = -87.3f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    const float round =
        12582912.0f + 127.0f; /* 1.5 * 2^23: adding it rounds to whole numbers, in the low bits */
    const vf safe = vf_max(vf_set(lowest), x);
    const vf shifted = safe * LOG2E + round;
    const vf n = shifted - round;
    const vf r = safe - n * ln2_high - n * ln2_low;
    vf p = vf_set(0.00138145984f);
    p = p * r + 0.0083687169f;
    p = p * r + 0.0416683881f;
    p = p * r + 0.166665206f;
    p = p * r + 0.499999934f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const vf power = (vf)((vi)shifted << 23);
    return (vf)((vi)(p * power) & ~(vi)(x < lowest));
}

/* log(x) to 2e-7 for normal x > 0, NaN for NaN and infinity. x = 2^n m, m from 1 / sqrt 2 to sqrt 2, and with
 * s = (m - 1) / (m + 1): log(m) = 2 (s + s^3 / 3 + s^5 / 5 + ...). */
ALWAYS_INLINE vf vf_log(vf x)
{
    const float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    const int32_t half_root = 0x3F3504F3; /* 1 / sqrt 2 */
    const vi power = ((vi)x - half_root) >> 23;
    const vf n = __builtin_convertvector(power, vf), m = (vf)((vi)x - (power << 23));
    const vf s = (m - 1.0f) / (m + 1.0f), z = s * s;
    vf p = vf_set(2.0f / 9.0f);
    p = p * z + 2.0f / 7.0f;
    p = p * z + 2.0f / 5.0f;
    p = p * z + 2.0f / 3.0f;
    return n * ln2_high + (2.0f * s + (s * z * p + n * ln2_low)) + (x - x);
}

#endif
