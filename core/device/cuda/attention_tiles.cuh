/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/attention_tiles.cuh - a warp's products of tiles of 16 rows.
 *
 * Sums of 16 rows and 8 N columns lie as mma_16x8x16 leaves them: of column pair n, 8 n + own_column() and
 * the next, a lane has own_row() in sums[n][0 .. 1] and own_row() + 8 in sums[n][2 .. 3]. Numbers in bf16 are
 * multiplied by tensor cores; floats by plain fused multiply-adds, with sums in the same places. */
#ifndef FSFM_CORE_DEVICE_CUDA_ATTENTION_TILES_CUH
#define FSFM_CORE_DEVICE_CUDA_ATTENTION_TILES_CUH

#include "core/device/cuda/attention_rows.cuh"

static __device__ __forceinline__ int own_row()
{
    return (int)(threadIdx.x % 32 / 4);
}

static __device__ __forceinline__ int own_column()
{
    return (int)(threadIdx.x % 4 * 2);
}

/* Of the four lanes that share rows. */
static __device__ __forceinline__ float row_sum(float x)
{
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

static __device__ __forceinline__ float row_max(float x)
{
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

template <int N> static __device__ __forceinline__ void set_zero(float (&sums)[N][4])
{
#pragma unroll
    for (int n = 0; n < N; n++) sums[n][0] = sums[n][1] = sums[n][2] = sums[n][3] = 0.0f;
}

/* A tile (16, DP) as left factor. */
template <class Act, int DP> struct left_tile;

template <int DP> struct left_tile<bf16, DP> {
    uint32_t fragments[DP / 16][4];

    /* own: a tile of the warp's own, free again on return. */
    __device__ __forceinline__ void take(const tile_on_its_way<bf16, DP> &x, bf16 *own)
    {
        const unsigned lane = threadIdx.x % 32;
        x.put(own);
#pragma unroll
        for (int k = 0; k < DP / 16; k++)
            ldmatrix_x4(fragments[k], own + lane % 16 * PITCH<bf16, DP> + k * 16 + lane / 16 * 8);
    }

    /* sums of the products with other's rows: all of the row in every lane. */
    __device__ __forceinline__ void dot_rows(const left_tile &other, float (&sums)[2]) const
    {
        sums[0] = sums[1] = 0.0f;
#pragma unroll
        for (int k = 0; k < DP / 16; k++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float x[2], y[2];
                unpack(fragments[k][i], x);
                unpack(other.fragments[k][i], y);
                sums[i % 2] += x[0] * y[0] + x[1] * y[1];
            }
        sums[0] = row_sum(sums[0]), sums[1] = row_sum(sums[1]);
    }
};

template <int DP> struct left_tile<float, DP> {
    const float *rows;

    /* own: holds the tile from now on. */
    __device__ __forceinline__ void take(const tile_on_its_way<float, DP> &x, float *own)
    {
        x.put(own);
        rows = own;
    }

    __device__ __forceinline__ void dot_rows(const left_tile &other, float (&sums)[2]) const
    {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int row = (own_row() + 8 * i) * PITCH<float, DP>;
            sums[i] = 0.0f;
            for (int d = own_column() / 2; d < DP; d += 4)
                sums[i] = fmaf(rows[row + d], other.rows[row + d], sums[i]);
            sums[i] = row_sum(sums[i]);
        }
    }
};

/* sums (16, 8 N) += a (16, DP) x^T, x (8 N, PITCH). */
template <int DP, int N>
static __device__ __forceinline__ void multiply_transposed(float (&sums)[N][4], const left_tile<bf16, DP> &a,
                                                           const bf16 *x)
{
    const unsigned lane = threadIdx.x % 32;
    const bf16 *at = x + (lane / 16 * 8 + lane % 8) * PITCH<bf16, DP> + lane / 8 % 2 * 8;
#pragma unroll
    for (int k = 0; k < DP / 16; k++)
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            uint32_t b[4];
            ldmatrix_x4(b, at + n * 8 * PITCH<bf16, DP> + k * 16);
            mma_16x8x16(sums[n], a.fragments[k], b, sums[n]);
            mma_16x8x16(sums[n + 1], a.fragments[k], b + 2, sums[n + 1]);
        }
}

static __device__ __forceinline__ float add_dot(float4 x, float4 y, float sum)
{
    return fmaf(x.w, y.w, fmaf(x.z, y.z, fmaf(x.y, y.y, fmaf(x.x, y.x, sum))));
}

template <int DP, int N>
static __device__ __forceinline__ void multiply_transposed(float (&sums)[N][4], const left_tile<float, DP> &a,
                                                           const float *x)
{
    const float *left = a.rows + own_row() * PITCH<float, DP>, *right = x + own_column() * PITCH<float, DP>;
#pragma unroll 2
    for (int d = 0; d < DP; d += 4) {
        const float4 first = *reinterpret_cast<const float4 *>(left + d),
                     second = *reinterpret_cast<const float4 *>(left + 8 * PITCH<float, DP> + d);
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const float4 y =
                    *reinterpret_cast<const float4 *>(right + (n * 8 + i) * PITCH<float, DP> + d);
                sums[n][i] = add_dot(first, y, sums[n][i]);
                sums[n][2 + i] = add_dot(second, y, sums[n][2 + i]);
            }
    }
}

/* sums (16, DP) += p (16, 8 N) x, x (8 N, PITCH). p is rounded to bf16 here if x is. */
template <int DP, int N>
static __device__ __forceinline__ void multiply(float (&sums)[DP / 8][4], const float (&p)[N][4],
                                                const bf16 *x)
{
    const unsigned lane = threadIdx.x % 32;
    const bf16 *at = x + lane % 16 * PITCH<bf16, DP> + lane / 16 * 8;
#pragma unroll
    for (int n = 0; n < N; n += 2) {
        const uint32_t a[4] = {pack(p[n]), pack(p[n] + 2), pack(p[n + 1]), pack(p[n + 1] + 2)};
#pragma unroll
        for (int d = 0; d < DP / 8; d += 2) {
            uint32_t b[4];
            ldmatrix_x4_transposed(b, at + n * 8 * PITCH<bf16, DP> + d * 8);
            mma_16x8x16(sums[d], a, b, sums[d]);
            mma_16x8x16(sums[d + 1], a, b + 2, sums[d + 1]);
        }
    }
}

template <int DP, int N>
static __device__ __forceinline__ void multiply(float (&sums)[DP / 8][4], const float (&p)[N][4],
                                                const float *x)
{
    const float *at = x + own_column();
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 8; i++) { /* column i of the 8 is in lane i / 2 of the row's four */
            const float first = __shfl_sync(0xffffffffu, p[n][i % 2], i / 2, 4),
                        second = __shfl_sync(0xffffffffu, p[n][2 + i % 2], i / 2, 4);
#pragma unroll
            for (int d = 0; d < DP / 8; d++) {
                const float2 y =
                    *reinterpret_cast<const float2 *>(at + (n * 8 + i) * PITCH<float, DP> + d * 8);
                sums[d][0] = fmaf(first, y.x, sums[d][0]), sums[d][1] = fmaf(first, y.y, sums[d][1]);
                sums[d][2] = fmaf(second, y.x, sums[d][2]), sums[d][3] = fmaf(second, y.y, sums[d][3]);
            }
        }
}

static __device__ __forceinline__ void store_pair(float *at, float x, float y)
{
    *reinterpret_cast<float2 *>(at) = make_float2(x, y);
}

static __device__ __forceinline__ void store_pair(bf16 *at, float x, float y)
{
    const float pair[2] = {x, y};
    *reinterpret_cast<uint32_t *>(at) = pack(pair);
}

/* The rows of x = sums (16, DP) times factors, of own_row() and own_row() + 8, by way of the warp's own tile.
 */
template <class Act, int DP>
static __device__ __forceinline__ void store_tile(const head_rows<Act> &x, const float (&sums)[DP / 8][4],
                                                  float first, float second, Act *own)
{
    Act *at = own + own_row() * PITCH<Act, DP> + own_column();
    __syncwarp();
#pragma unroll
    for (int d = 0; d < DP / 8; d++) {
        store_pair(at + d * 8, sums[d][0] * first, sums[d][1] * first);
        store_pair(at + 8 * PITCH<Act, DP> + d * 8, sums[d][2] * second, sums[d][3] * second);
    }
    __syncwarp();
    store_rows<Act, DP>(x, own);
}

/* What makes logarithms, to base 2, of scores q . k. */
struct score_scale {
    float to_log2;
    float last; /* the last key's addition, in units of q . k */
};

/* s (16, 8 N) are scores with keys of which left are there, the last one the last of all. */
template <int N>
static __device__ __forceinline__ void end_of_keys(float (&s)[N][4], int left, const score_scale &scale)
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int key = n * 8 + own_column() + i % 2;
            if (key == left - 1) s[n][i] += scale.last;
            if (key >= left) s[n][i] = -INFINITY;
        }
}

/* s (16, 8 N) are scores of keys, in rows; row `last` is the last key. */
template <int N>
static __device__ __forceinline__ void last_row(float (&s)[N][4], int last, const score_scale &scale)
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (own_row() + i / 2 * 8 == last) s[n][i] += scale.last;
}

#endif
