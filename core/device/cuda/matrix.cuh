/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/matrix.cuh - W elements at i of a matrix of weights of count, in the form that
 * core/device/device.h describes: floats, or their halves apart, count rounded ones and then count signed
 * remainders. */
#ifndef FSFM_CORE_DEVICE_CUDA_MATRIX_CUH
#define FSFM_CORE_DEVICE_CUDA_MATRIX_CUH

#include "core/device/cuda/vectors.cuh"

template <int W>
static __device__ __forceinline__ void load_matrix(const float *matrix, int64_t, int64_t i, float (&to)[W])
{
    load<W>(matrix + i, to);
}

template <int W>
static __device__ __forceinline__ void load_matrix(const bf16 *matrix, int64_t count, int64_t i,
                                                   float (&to)[W])
{
    float rounded[W], rest[W]; /* each in the upper half */
    load<W>(matrix + i, rounded);
    load<W>(matrix + count + i, rest);
#pragma unroll
    for (int j = 0; j < W; j++) {
        const int32_t lower = (int32_t)__float_as_uint(rest[j]) >> 16;
        to[j] = __uint_as_float(__float_as_uint(rounded[j]) + (uint32_t)lower);
    }
}

/* Whether a matrix (NULL: none) can be taken by packs of W. */
template <int W> static inline bool is_packed_matrix(int64_t, const float *matrix)
{
    return is_packed<W>(W, matrix);
}

template <int W> static inline bool is_packed_matrix(int64_t count, const bf16 *matrix)
{
    return is_packed<W>(W, matrix, matrix ? matrix + count : NULL);
}

/* The lower halves of W words. Not store(), which has one form for all NaN. */
template <int W> static __device__ __forceinline__ void store_halves(bf16 *at, const uint32_t (&words)[W])
{
    static_assert(W == 1 || W == 4, "8 bytes");
    if constexpr (W == 1)
        at->bits = (uint16_t)words[0];
    else
        *reinterpret_cast<uint2 *>(at) =
            make_uint2((words[0] & 0xffffu) | words[1] << 16, (words[2] & 0xffffu) | words[3] << 16);
}

template <int W>
static __device__ __forceinline__ void store_matrix(float *matrix, int64_t, int64_t i, const float (&from)[W])
{
    store<W>(matrix + i, from);
}

/* Halves are rounded up, so that the remainder of a tie fits 16 signed bits. */
template <int W>
static __device__ __forceinline__ void store_matrix(bf16 *matrix, int64_t count, int64_t i,
                                                    const float (&from)[W])
{
    uint32_t rounded[W], rest[W];
#pragma unroll
    for (int j = 0; j < W; j++) {
        rest[j] = __float_as_uint(from[j]);
        rounded[j] = (rest[j] + 0x8000u) >> 16;
    }
    store_halves<W>(matrix + i, rounded);
    store_halves<W>(matrix + count + i, rest);
}

#endif
