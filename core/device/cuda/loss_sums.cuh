/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/loss_sums.cuh - sums of losses, in double. Rows are shared out to warps by their number
 * alone; each block leaves the sums of its rows, which a second kernel adds in order. */
#ifndef FSFM_CORE_DEVICE_CUDA_LOSS_SUMS_CUH
#define FSFM_CORE_DEVICE_CUDA_LOSS_SUMS_CUH

#include "core/device/cuda/sums.cuh"
#include "core/device/cuda/vectors.cuh"

enum { ROW_THREADS = 256, ROWS_A_BLOCK = ROW_THREADS / 32, LOSS_BLOCKS = 1024 };

/* The row of a block's warp. */
static __device__ __forceinline__ int64_t first_row()
{
    return blockIdx.x * (int64_t)ROWS_A_BLOCK + threadIdx.x / 32;
}

/* From a warp's row to its next one. */
static __device__ __forceinline__ int64_t row_stride()
{
    return gridDim.x * (int64_t)ROWS_A_BLOCK;
}

static inline unsigned loss_blocks(int64_t rows)
{
    const int64_t blocks = blocks_for(rows, ROWS_A_BLOCK);
    return (unsigned)(blocks < LOSS_BLOCKS ? blocks : (int64_t)LOSS_BLOCKS);
}

/* sums[s] += the sum of parts (sums, count) at s, for block s. */
static __global__ void __launch_bounds__(ROW_THREADS)
    loss_sums_kernel(int64_t count, const double *parts, double *sums)
{
    __shared__ double shared[32];
    const double *mine = parts + blockIdx.x * count;
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += ROW_THREADS) sum += mine[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) sums[blockIdx.x] += sum;
}

#endif
