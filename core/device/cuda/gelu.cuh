/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/gelu.cuh - x Phi(x) and its derivative, Phi(x) + x phi(x).
 *
 * With u = |x|, both follow from what is left of them at -u: Phi(u) = 1 - Phi(-u), and the derivative at u is
 * 1 less that at -u. Phi(-u) = 2^p(u) with a polynomial p: no division, and both its error and that of u
 * Phi(-u) stay under 4e-8, or 2e-7 with exp2_fast's. */
#ifndef FSFM_CORE_DEVICE_CUDA_GELU_CUH
#define FSFM_CORE_DEVICE_CUDA_GELU_CUH

#include "core/device/cuda/port.h"

/* |x|, or 6 where next to nothing (1e-9) is left of Phi(-|x|). NaN stays NaN. */
static __device__ __forceinline__ float tail_place(float x)
{
    const float u = fabsf(x);
    return u > 6.0f ? 6.0f : u;
}

/* Phi(-u) for u of 0 to 6. The polynomial was fitted here to log2(erfc), by Remez's exchange, so that the
 * error of max(1, u) Phi(-u) is even. */
static __device__ __forceinline__ float normal_tail(float u)
{
    float p = 4.4742105842487945e-07f;
    p = p * u - 8.65953552420251e-06f;
    p = p * u + 6.996330193942413e-05f;
    p = p * u - 0.00026981369592249393f;
    p = p * u - 8.660081221023574e-06f;
    p = p * u + 0.006952732801437378f;
    p = p * u - 0.052445247769355774f;
    p = p * u - 0.4592190980911255f;
    p = p * u - 1.15110445022583f;
    return exp2_fast(p * u - 1.0f);
}

static __device__ __forceinline__ float gelu(float x)
{
    const float u = tail_place(x);
    return (x < 0.0f ? 0.0f : x) - u * normal_tail(u);
}

static __device__ __forceinline__ float gelu_slope(float x)
{
    const float u = tail_place(x);
    const float density = 0.3989422804f * exp2_fast(-0.7213475204f * u * u); /* exp(-u^2 / 2) / sqrt(2 pi) */
    const float tail = normal_tail(u) - u * density;
    return x < 0.0f ? tail : 1.0f - tail;
}

#endif
