/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/columns.cuh - sums down the columns of many rows: blocks sum some of the rows each, and a
 * second kernel adds these parts up. Their number, and so the order, follows from the shape. */
#ifndef FSFM_CORE_DEVICE_CUDA_COLUMNS_CUH
#define FSFM_CORE_DEVICE_CUDA_COLUMNS_CUH

#include "core/device/cuda/vectors.cuh"

/* One of several ways to say where the columns of row n are; NULL: the row has no share. */
template <class Act> struct dense_rows {
    const Act *x;
    int64_t stride;

    __device__ __forceinline__ const Act *at(int64_t n, int64_t c) const
    {
        return x + n * stride + c;
    }
};

enum {
    COLUMN_ROWS = 8,     /* that a block, (32, COLUMN_ROWS) threads, takes at a time */
    COLUMN_BLOCKS = 1056 /* eight on each of an H100's multiprocessors */
};

/* Of a block of (32, COLUMN_ROWS) threads with W columns each: the sum over its rows of threads of column
 * block_column(), where that is less than 32 W. */
static __device__ __forceinline__ int block_column()
{
    return (int)(threadIdx.y * 32 + threadIdx.x);
}

template <int W>
static __device__ __forceinline__ float block_column_sum(const float (&sum)[W],
                                                         float (&shared)[COLUMN_ROWS][32 * W])
{
    store<W>(&shared[threadIdx.y][threadIdx.x * W], sum);
    __syncthreads();
    if (block_column() >= 32 * W) return 0.0f;
    float total = shared[0][block_column()];
#pragma unroll
    for (int row = 1; row < COLUMN_ROWS; row++) total += shared[row][block_column()];
    return total;
}

/* part (gridDim.y, C), or, where there is but one, straight to sums (C). Columns by packs of W in x. */
template <int W, class Rows>
static __global__ void __launch_bounds__(32 * COLUMN_ROWS)
    column_parts(int64_t N, int64_t C, Rows rows, float *part, float *sums)
{
    __shared__ __align__(16) float shared[COLUMN_ROWS][32 * W];
    const int64_t first = (int64_t)blockIdx.x * 32 * W, c = first + threadIdx.x * W;
    float sum[W] = {};
    for (int64_t n = (int64_t)blockIdx.y * COLUMN_ROWS + threadIdx.y; n < N && c < C;
         n += (int64_t)gridDim.y * COLUMN_ROWS) {
        const auto *at = rows.at(n, c);
        if (!at) continue;
        float value[W];
        load<W>(at, value);
#pragma unroll
        for (int k = 0; k < W; k++) sum[k] += value[k];
    }
    const float total = block_column_sum<W>(sum, shared);
    const int64_t column = first + block_column();
    if (block_column() >= 32 * W || column >= C) return;
    if (gridDim.y == 1)
        sums[column] += total;
    else
        part[blockIdx.y * C + column] = total;
}

/* sums (C) += the rows of part (parts, sets, C), set by set; (32, 32) threads. */
static __global__ void __launch_bounds__(1024)
    add_parts(int64_t parts, int64_t C, const float *part, float *sums, float *second_sums)
{
    __shared__ float shared[32][32];
    const int64_t c = (int64_t)blockIdx.x * 32 + threadIdx.x;
    float sum = 0.0f;
    for (int64_t p = threadIdx.y; p < parts && c < C; p += 32)
        sum += part[(p * gridDim.y + blockIdx.y) * C + c];
    shared[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || c >= C) return;
    float total = shared[0][threadIdx.x];
#pragma unroll
    for (int row = 1; row < 32; row++) total += shared[row][threadIdx.x];
    (blockIdx.y == 0 ? sums : second_sums)[c] += total;
}

/* second_sums NULL: one set. */
static inline cudaError_t launch_add_parts(const fsfm_cuda_queue *queue, int64_t parts, int64_t C,
                                           const float *part, float *sums, float *second_sums)
{
    const dim3 grid((unsigned)blocks_for(C, 32), second_sums ? 2 : 1);
    LAUNCH(add_parts, grid, dim3(32, 32), 0, queue->stream, parts, C, part, sums, second_sums);
    return cudaGetLastError();
}

template <int W, class Rows>
static cudaError_t launch_column_sums_of(const fsfm_cuda_queue *queue, int64_t N, int64_t C, const Rows &rows,
                                         float *sums)
{
    const int64_t across = blocks_for(C, 32 * W), rooms = FSFM_CUDA_SCRATCH_BYTES / sizeof(float) / C;
    int64_t parts = blocks_for(N, 4 * COLUMN_ROWS);
    if (parts > COLUMN_BLOCKS / across) parts = COLUMN_BLOCKS / across;
    if (parts > rooms) parts = rooms;
    if (parts < 1) parts = 1;
    float *part = static_cast<float *>(queue->scratch);
    LAUNCH((column_parts<W, Rows>), dim3((unsigned)across, (unsigned)parts), dim3(32, COLUMN_ROWS), 0,
           queue->stream, N, C, rows, part, sums);
    return parts == 1 ? cudaGetLastError() : launch_add_parts(queue, parts, C, part, sums, NULL);
}

/* sums (C) += the N rows. packed: columns may be taken by packs of W. */
template <int W, class Rows>
static cudaError_t launch_column_sums(const fsfm_cuda_queue *queue, int64_t N, int64_t C, bool packed,
                                      const Rows &rows, float *sums)
{
    if (N == 0 || C == 0) return cudaSuccess;
    return packed ? launch_column_sums_of<W>(queue, N, C, rows, sums)
                  : launch_column_sums_of<1>(queue, N, C, rows, sums);
}

#endif
