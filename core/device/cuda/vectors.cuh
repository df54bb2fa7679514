/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/vectors.cuh - W numbers at a time between memory and float registers, and kernels that
 * take a pack of W a thread. W is 1, which works everywhere, or makes accesses of up to 16 bytes: see
 * is_packed().
 */
#ifndef FSFM_CORE_DEVICE_CUDA_VECTORS_CUH
#define FSFM_CORE_DEVICE_CUDA_VECTORS_CUH

#include <stddef.h>
#include <stdint.h>

#include "core/device/cuda/kernels.h"
#include "core/device/cuda/port.h"

/* Numbers in a pack where arrays of A and of B are gone through together: 16 bytes of the wider type, so that
 * a warp's access to either covers whole sectors. */
template <class A, class B = A>
constexpr int PACK = 16 / (int)(sizeof(A) > sizeof(B) ? sizeof(A) : sizeof(B));

/* Whether rows of C numbers at these places (NULL: none) can be taken by packs of W. C = W: one row, of any
 * length, whose end is taken one by one. */
template <int W, class... T> static inline bool is_packed(int64_t C, const T *...at)
{
    return C % W == 0 && (... && ((uintptr_t)at % (W * sizeof(T) < 16 ? W * sizeof(T) : 16) == 0));
}

template <int W> static __device__ __forceinline__ void load(const float *at, float (&to)[W])
{
    static_assert(W == 1 || W % 4 == 0, "whole 16 bytes");
    if constexpr (W == 1) {
        to[0] = *at;
    } else {
#pragma unroll
        for (int i = 0; i < W; i += 4) {
            const float4 four = *reinterpret_cast<const float4 *>(at + i);
            to[i] = four.x, to[i + 1] = four.y, to[i + 2] = four.z, to[i + 3] = four.w;
        }
    }
}

/* The two numbers of a word; the first is the lower half. */
static __device__ __forceinline__ void unpack(uint32_t word, float *to)
{
    to[0] = __uint_as_float(word << 16);
    to[1] = __uint_as_float(word & 0xffff0000u);
}

static __device__ __forceinline__ uint32_t pack(const float *from)
{
    return (uint32_t)bf16_bits(from[0]) | (uint32_t)bf16_bits(from[1]) << 16;
}

template <int W> static __device__ __forceinline__ void load(const bf16 *at, float (&to)[W])
{
    static_assert(W == 1 || W == 4 || W == 8, "8 or 16 bytes");
    if constexpr (W == 1) {
        to[0] = to_float(*at);
    } else if constexpr (W == 4) {
        const uint2 two = *reinterpret_cast<const uint2 *>(at);
        unpack(two.x, to), unpack(two.y, to + 2);
    } else {
        const uint4 four = *reinterpret_cast<const uint4 *>(at);
        unpack(four.x, to), unpack(four.y, to + 2), unpack(four.z, to + 4), unpack(four.w, to + 6);
    }
}

template <int W> static __device__ __forceinline__ void store(float *at, const float (&from)[W])
{
    static_assert(W == 1 || W % 4 == 0, "whole 16 bytes");
    if constexpr (W == 1) {
        *at = from[0];
    } else {
#pragma unroll
        for (int i = 0; i < W; i += 4)
            *reinterpret_cast<float4 *>(at + i) = make_float4(from[i], from[i + 1], from[i + 2], from[i + 3]);
    }
}

template <int W> static __device__ __forceinline__ void store(bf16 *at, const float (&from)[W])
{
    static_assert(W == 1 || W == 4 || W == 8, "8 or 16 bytes");
    if constexpr (W == 1)
        *at = to_act<bf16>(from[0]);
    else if constexpr (W == 4)
        *reinterpret_cast<uint2 *>(at) = make_uint2(pack(from), pack(from + 2));
    else
        *reinterpret_cast<uint4 *>(at) =
            make_uint4(pack(from), pack(from + 2), pack(from + 4), pack(from + 6));
}

static inline int64_t blocks_for(int64_t count, int64_t a_block)
{
    return (count + a_block - 1) / a_block;
}

/* body.at<W>(i) for every pack of count numbers, and body.at<1>(i) for those behind the last. */
template <int W, class Body> static __global__ void __launch_bounds__(256) each_pack(int64_t count, Body body)
{
    int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * W;
    if (i + W <= count)
        body.template at<W>(i);
    else
        for (; i < count; i++) body.template at<1>(i);
}

template <int W, class Body>
static cudaError_t launch_each_pack(const fsfm_cuda_queue *queue, int64_t count, bool packed,
                                    const Body &body)
{
    if (count == 0) return cudaSuccess;
    if (packed)
        LAUNCH((each_pack<W, Body>), (unsigned)blocks_for(count, 256 * W), 256, 0, queue->stream, count,
               body);
    else
        LAUNCH((each_pack<1, Body>), (unsigned)blocks_for(count, 256), 256, 0, queue->stream, count, body);
    return cudaGetLastError();
}

#endif
