/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/sums.cuh - sums over the threads of a warp and of a block. Every thread gets the same
 * bits, whatever the order in which warps run. */
#ifndef FSFM_CORE_DEVICE_CUDA_SUMS_CUH
#define FSFM_CORE_DEVICE_CUDA_SUMS_CUH

#include "core/device/cuda/port.h"

/* Called by whole warps. */
template <class T> static __device__ __forceinline__ T warp_sum(T x)
{
#pragma unroll
    for (int apart = 16; apart > 0; apart /= 2) x += __shfl_xor_sync(0xffffffffu, x, apart);
    return x;
}

static __device__ __forceinline__ float warp_max(float x)
{
#pragma unroll
    for (int apart = 16; apart > 0; apart /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, apart));
    return x;
}

/* Called by all threads of a block of (32 n) threads; shared (32) may be used again at once. */
template <class T> static __device__ __forceinline__ T block_sum(T x, T *shared)
{
    x = warp_sum(x);
    __syncthreads(); /* shared may still be read, from the last call */
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
    __syncthreads();
    T sum = shared[0];
    for (unsigned warp = 1; warp < blockDim.x / 32; warp++) sum += shared[warp];
    return sum;
}

/* As block_sum, of two numbers. */
static __device__ __forceinline__ void block_sums(float *x, float *y, float2 *shared)
{
    const float2 mine = make_float2(warp_sum(*x), warp_sum(*y));
    __syncthreads();
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = mine;
    __syncthreads();
    float2 sum = shared[0];
    for (unsigned warp = 1; warp < blockDim.x / 32; warp++) {
        const float2 other = shared[warp];
        sum.x += other.x, sum.y += other.y;
    }
    *x = sum.x, *y = sum.y;
}

#endif
