/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/emulated_math.h - CUDA's functions of numbers that C++ does not have, for emulated.h. */
#ifndef FSFM_TESTS_EMULATED_MATH_H
#define FSFM_TESTS_EMULATED_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

inline float __uint_as_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

inline uint32_t __float_as_uint(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline float __int_as_float(int32_t bits)
{
    return __uint_as_float((uint32_t)bits);
}

inline int32_t __float_as_int(float x)
{
    return (int32_t)__float_as_uint(x);
}

/* Rounded to nearest, ties to even; every NaN becomes the one that NVIDIA's conversion gives. */
inline uint16_t bf16_bits(float x)
{
    const uint32_t bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

/* Subnormal numbers are 0 before and after, as with .ftz. */
inline float exp2_fast(float x)
{
    const float y = exp2f(fabsf(x) < 0x1p-126f ? 0.0f : x);
    return y < 0x1p-126f ? 0.0f : y;
}

inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}

inline double rsqrt(double x)
{
    return 1.0 / sqrt(x);
}

inline float __expf(float x)
{
    return expf(x);
}

inline float __logf(float x)
{
    return logf(x);
}

inline float __fdividef(float a, float b)
{
    return a / b;
}

inline float __frcp_rn(float x)
{
    return 1.0f / x;
}

inline float __fsqrt_rn(float x)
{
    return sqrtf(x);
}

inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}

inline int __popc(uint32_t x)
{
    return __builtin_popcount(x);
}

inline int __ffs(int x)
{
    return __builtin_ffs(x);
}

inline int __clz(int x)
{
    return x == 0 ? 32 : __builtin_clz((unsigned)x);
}

/* Loads and stores with a hint for the caches. */
template <class T> inline T __ldg(const T *p)
{
    return *p;
}

template <class T> inline T __ldcs(const T *p)
{
    return *p;
}

template <class T> inline void __stcs(T *p, T value)
{
    *p = value;
}

#define EMULATED_MIN_MAX(type)      \
    inline type min(type a, type b) \
    {                               \
        return b < a ? b : a;       \
    }                               \
    inline type max(type a, type b) \
    {                               \
        return a < b ? b : a;       \
    }
EMULATED_MIN_MAX(int)
EMULATED_MIN_MAX(unsigned)
EMULATED_MIN_MAX(long)
EMULATED_MIN_MAX(unsigned long)
EMULATED_MIN_MAX(long long)
EMULATED_MIN_MAX(unsigned long long)
#undef EMULATED_MIN_MAX

inline float min(float a, float b)
{
    return fminf(a, b);
}

inline float max(float a, float b)
{
    return fmaxf(a, b);
}

inline double min(double a, double b)
{
    return fmin(a, b);
}

inline double max(double a, double b)
{
    return fmax(a, b);
}

#endif
