/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/attention_rows.cuh - rows of a head between global and shared memory, by pieces of 16
 * bytes.
 *
 * Rows have D numbers. In shared memory they are padded with zeros to DP and lie PITCH apart: 16 bytes more,
 * so that the same column of 8 rows lies in different banks. */
#ifndef FSFM_CORE_DEVICE_CUDA_ATTENTION_ROWS_CUH
#define FSFM_CORE_DEVICE_CUDA_ATTENTION_ROWS_CUH

#include "core/device/cuda/vectors.cuh"

enum { TILE = 16 }; /* rows that a warp works on */

template <class Act> constexpr int PIECE = 16 / (int)sizeof(Act);
template <class Act, int DP> constexpr int PITCH = DP + PIECE<Act>;
template <class Act, int DP> constexpr int TILE_NUMBERS = TILE *PITCH<Act, DP>;

/* count rows in global memory. */
template <class Act> struct head_rows {
    Act *first;
    int64_t stride;
    int count, D;
    bool is_packed; /* rows are pieces, aligned */

    __device__ __forceinline__ head_rows from(int row) const
    {
        return {first + row * stride, stride, count - row, D, is_packed};
    }
};

/* The head that a block works on. */
struct block_head {
    int64_t image, head;
    int D;
    bool is_packed;

    /* Its rows of an array of T rows an image. */
    template <class Act>
    __device__ __forceinline__ head_rows<Act> rows(Act *array, int64_t T, int64_t stride) const
    {
        return {array + image * T * stride + head * D, stride, (int)T, D, is_packed};
    }
};

static __device__ __forceinline__ block_head head_of_block(int64_t H, int64_t D, bool is_packed)
{
    return {blockIdx.x / (uint32_t)H, blockIdx.x % (uint32_t)H, (int)D, is_packed};
}

template <class Act> static __device__ __forceinline__ bool is_there(const head_rows<Act> &x, int t, int d)
{
    return t < x.count && d < x.D;
}

/* shared (rows, PITCH) = the first rows of x, number by number, by threads of which the caller is one. */
template <class Act, int DP>
static __device__ __forceinline__ void copy_numbers(Act *shared, const head_rows<const Act> &x, int rows,
                                                    int thread, int threads)
{
#pragma unroll 1
    for (int i = thread; i < rows * DP; i += threads) {
        const int t = i / DP, d = i % DP;
        shared[t * PITCH<Act, DP> + d] = is_there(x, t, d) ? x.first[t * x.stride + d] : Act{};
    }
}

/* The same by the whole block; there at the next await_rows(). */
template <class Act, int DP>
static __device__ __forceinline__ void request_rows(Act *shared, const head_rows<const Act> &x, int rows)
{
    constexpr int PIECES = DP / PIECE<Act>;
    if (!x.is_packed) return copy_numbers<Act, DP>(shared, x, rows, (int)threadIdx.x, (int)blockDim.x);
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < rows * PIECES; i += (int)blockDim.x) {
        const int t = i / PIECES, d = i % PIECES * PIECE<Act>;
        const bool there = is_there(x, t, d);
        cp_async_16(shared + t * PITCH<Act, DP> + d, there ? x.first + t * x.stride + d : x.first, there);
    }
}

/* Two arrays' rows, once no warp of the block reads what was there. */
template <class Act, int DP>
static __device__ __forceinline__ void request_two(Act *x_shared, const head_rows<const Act> &x,
                                                   Act *y_shared, const head_rows<const Act> &y, int rows)
{
    __syncthreads();
    request_rows<Act, DP>(x_shared, x, rows);
    request_rows<Act, DP>(y_shared, y, rows);
    cp_async_commit();
}

static __device__ __forceinline__ void await_rows()
{
    cp_async_wait<0>();
    __syncthreads();
}

/* Pieces of a tile that a lane moves: of one row, every other one. Eight lanes' rows are such that they have
 * whole sectors of global memory and different banks of shared memory. */
static __device__ __forceinline__ int moved_row()
{
    const int lane = (int)threadIdx.x % 32;
    return lane / 16 * 8 + lane / 2 % 4 * 2 + lane / 8 % 2;
}

template <class Act> static __device__ __forceinline__ int moved_number(int i)
{
    return ((int)threadIdx.x % 2 + 2 * i) * PIECE<Act>;
}

/* A tile of x on its way to a warp. */
template <class Act, int DP> struct tile_on_its_way {
    enum { EACH = DP / PIECE<Act> / 2 };
    head_rows<const Act> x;
    uint4 pieces[EACH];

    __device__ __forceinline__ explicit tile_on_its_way(const head_rows<const Act> &x) : x(x)
    {
        const int t = moved_row();
        const Act *row = x.first + t * x.stride;
        if (!x.is_packed) return;
#pragma unroll
        for (int i = 0; i < EACH; i++)
            pieces[i] = is_there(x, t, moved_number<Act>(i))
                            ? *reinterpret_cast<const uint4 *>(row + moved_number<Act>(i))
                            : make_uint4(0, 0, 0, 0);
    }

    /* Into a tile of the warp's own in shared memory. */
    __device__ __forceinline__ void put(Act *own) const
    {
        Act *row = own + moved_row() * PITCH<Act, DP>;
        __syncwarp();
        if (!x.is_packed) {
            copy_numbers<Act, DP>(own, x, TILE, (int)threadIdx.x % 32, 32);
        } else {
#pragma unroll
            for (int i = 0; i < EACH; i++) *reinterpret_cast<uint4 *>(row + moved_number<Act>(i)) = pieces[i];
        }
        __syncwarp();
    }
};

/* The first rows of x = a tile of the warp's own. */
template <class Act, int DP>
static __device__ __forceinline__ void store_rows(const head_rows<Act> &x, const Act *own)
{
    if (x.is_packed) {
        const int t = moved_row();
        Act *to = x.first + t * x.stride;
#pragma unroll
        for (int i = 0; i < DP / PIECE<Act> / 2; i++)
            if (const int d = moved_number<Act>(i); is_there(x, t, d))
                *reinterpret_cast<uint4 *>(to + d) =
                    *reinterpret_cast<const uint4 *>(own + t * PITCH<Act, DP> + d);
    } else {
#pragma unroll 1
        for (int i = (int)threadIdx.x % 32; i < TILE * DP; i += 32)
            if (const int t = i / DP, d = i % DP; is_there(x, t, d))
                x.first[t * x.stride + d] = own[t * PITCH<Act, DP> + d];
    }
}

#endif
