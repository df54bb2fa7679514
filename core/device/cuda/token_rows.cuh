/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/token_rows.cuh - kernels that make rows of images, (B, R, C), by a warp each. */
#ifndef FSFM_CORE_DEVICE_CUDA_TOKEN_ROWS_CUH
#define FSFM_CORE_DEVICE_CUDA_TOKEN_ROWS_CUH

#include "core/device/cuda/vectors.cuh"

enum { ROWS_A_BLOCK = 8 };

/* One block in x an image; in y as many as rows ask for and a grid may have. */
static inline dim3 token_grid(int64_t B, int64_t R)
{
    const int64_t blocks = blocks_for(R, ROWS_A_BLOCK);
    return dim3((unsigned)B, (unsigned)(blocks < 65535 ? blocks : 65535));
}

/* body.at<W>(image, row, c) for every pack. */
template <int W, class Body>
static __global__ void __launch_bounds__(32 * ROWS_A_BLOCK, 6) each_token(int64_t R, int64_t C, Body body)
{
    for (int64_t row = (int64_t)blockIdx.y * ROWS_A_BLOCK + threadIdx.y; row < R;
         row += (int64_t)gridDim.y * ROWS_A_BLOCK)
        for (int64_t c = threadIdx.x * W; c < C; c += 32 * W) body.template at<W>(blockIdx.x, row, c);
}

template <int W, class Body>
static cudaError_t launch_each_token(const fsfm_cuda_queue *queue, int64_t B, int64_t R, int64_t C,
                                     bool packed, const Body &body)
{
    if (B == 0 || R == 0 || C == 0) return cudaSuccess;
    const dim3 block(32, ROWS_A_BLOCK);
    if (packed)
        LAUNCH((each_token<W, Body>), token_grid(B, R), block, 0, queue->stream, R, C, body);
    else
        LAUNCH((each_token<1, Body>), token_grid(B, R), block, 0, queue->stream, R, C, body);
    return cudaGetLastError();
}

#endif
