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

/* x, as if it had become known only here: addresses that follow from it are computed again at every use, not
 * once before all loops and then kept in registers, which sums need. */
static __device__ __forceinline__ unsigned known_here(unsigned x)
{
    asm volatile("" : "+r"(x));
    return x;
}

/* count rows in global memory. */
template <class Act> struct head_rows {
    Act *first;
    int64_t stride;
    int count, D;
    bool is_packed; /* rows are pieces, aligned */
};

/* The head that a block works on. */
struct block_head {
    unsigned image, head;
    int D;
    bool is_packed;

    /* Its rows, from row t on, of an array of T rows an image. */
    template <class Act>
    __device__ __forceinline__ head_rows<Act> rows(Act *array, int64_t T, int64_t stride, int t) const
    {
        return {array + (known_here(image) * T + t) * stride + known_here(head) * D, stride, (int)T - t, D,
                is_packed};
    }
};

static __device__ __forceinline__ block_head head_of_block(int64_t H, int64_t D, bool is_packed)
{
    return {blockIdx.x / (unsigned)H, blockIdx.x % (unsigned)H, (int)D, is_packed};
}

/* shared (rows, PITCH) = the first rows of x, by the whole block; there at the next await_rows(). */
template <class Act, int DP>
static __device__ __forceinline__ void request_rows(Act *shared, const head_rows<const Act> &x, int rows)
{
    constexpr int PIECES = DP / PIECE<Act>;
#pragma unroll 1
    for (int i = (int)known_here(threadIdx.x); i < rows * PIECES; i += (int)blockDim.x) {
        const int t = i / PIECES, d = i % PIECES * PIECE<Act>, count = t < x.count ? x.D - d : 0;
        Act *to = shared + t * PITCH<Act, DP> + d;
        const Act *from = count > 0 ? x.first + t * x.stride + d : x.first;
        if (x.is_packed)
            cp_async_16(to, from, count > 0);
        else
#pragma unroll 1
            for (int k = 0; k < PIECE<Act>; k++) to[k] = k < count ? from[k] : Act{};
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

/* Pieces of a tile that a lane moves: of one row, every other one from number first on. Eight lanes' rows are
 * such that they have whole sectors of global memory and different banks of shared memory. */
template <class Act> struct moved_pieces {
    int row, first;

    __device__ __forceinline__ moved_pieces()
    {
        const unsigned lane = known_here(threadIdx.x % 32);
        row = (int)(lane / 16 * 8 + lane / 2 % 4 * 2 + lane / 8 % 2);
        first = (int)(lane % 2) * PIECE<Act>;
    }

    __device__ __forceinline__ int number(int i) const
    {
        return first + i * 2 * PIECE<Act>;
    }
};

/* A tile of x on its way to a warp. */
template <class Act, int DP> struct tile_on_its_way {
    enum { EACH = DP / PIECE<Act> / 2 };
    head_rows<const Act> x;
    uint4 pieces[EACH]; /* if rows are packed */

    __device__ __forceinline__ explicit tile_on_its_way(const head_rows<const Act> &x) : x(x)
    {
        const moved_pieces<Act> moved;
        const Act *row = x.first + moved.row * x.stride;
        const int end = x.is_packed && moved.row < x.count ? x.D : 0;
#pragma unroll
        for (int i = 0; i < EACH; i++)
            pieces[i] = moved.number(i) < end ? *reinterpret_cast<const uint4 *>(row + moved.number(i))
                                              : make_uint4(0, 0, 0, 0);
    }

    /* Into a tile of the warp's own in shared memory. */
    __device__ __forceinline__ void put(Act *own) const
    {
        const moved_pieces<Act> moved;
        Act *to = own + moved.row * PITCH<Act, DP>;
        __syncwarp();
        if (x.is_packed) {
#pragma unroll
            for (int i = 0; i < EACH; i++) *reinterpret_cast<uint4 *>(to + moved.number(i)) = pieces[i];
        } else {
            const Act *row = x.first + moved.row * x.stride;
            const int end = moved.row < x.count ? x.D : 0;
#pragma unroll 1
            for (int d = moved.first / PIECE<Act>; d < DP; d += 2) to[d] = d < end ? row[d] : Act{};
        }
        __syncwarp();
    }
};

/* The first rows of x = a tile of the warp's own. */
template <class Act, int DP>
static __device__ __forceinline__ void store_rows(const head_rows<Act> &x, const Act *own)
{
    const moved_pieces<Act> moved;
    Act *to = x.first + moved.row * x.stride;
    const Act *from = own + moved.row * PITCH<Act, DP>;
    const int end = moved.row < x.count ? x.D : 0;
    if (x.is_packed) {
#pragma unroll
        for (int i = 0; i < DP / PIECE<Act> / 2; i++)
            if (const int d = moved.number(i); d < end)
                *reinterpret_cast<uint4 *>(to + d) = *reinterpret_cast<const uint4 *>(from + d);
    } else {
#pragma unroll 1
        for (int d = moved.first / PIECE<Act>; d < end; d += 2) to[d] = from[d];
    }
}

#endif
