/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/padding.cu - matrices with zeros around them, and without. A warp takes a row. */
#include "core/device/cuda/vectors.cuh"

enum { ROWS = 8, PACK_SIZE = 4 };

template <class T, int W> static __global__ void __launch_bounds__(32 * ROWS) pad_kernel(fsfm_cuda_pad_args a)
{
    const int64_t row = (int64_t)blockIdx.x * ROWS + threadIdx.y;
    if (row >= a.padded_rows) return;
    const T *from = static_cast<const T *>(a.from) + row * a.columns;
    T *to = static_cast<T *>(a.to) + row * a.padded_columns;
    for (int64_t c = threadIdx.x * W; c < a.padded_columns; c += 32 * W) {
        float value[W] = {};
        if (row < a.rows && c < a.columns) load<W>(from + c, value);
        store<W>(to + c, value);
    }
}

template <class From, class To, int W>
static __global__ void __launch_bounds__(32 * ROWS) unpad_kernel(fsfm_cuda_unpad_args a)
{
    const int64_t row = (int64_t)blockIdx.x * ROWS + threadIdx.y;
    if (row >= a.rows) return;
    const From *from = static_cast<const From *>(a.from) + row * a.padded_columns;
    const To *added = a.added ? static_cast<const To *>(a.added) + row * a.columns : NULL;
    To *to = static_cast<To *>(a.to) + row * a.columns;
    for (int64_t c = threadIdx.x * W; c < a.columns; c += 32 * W) {
        float value[W], more[W] = {};
        load<W>(from + c, value);
        if (added) load<W>(added + c, more);
#pragma unroll
        for (int k = 0; k < W; k++) value[k] += more[k];
        store<W>(to + c, value);
    }
}

template <class T> static void pad(cudaStream_t stream, const fsfm_cuda_pad_args &args)
{
    const unsigned blocks = (unsigned)blocks_for(args.padded_rows, ROWS);
    if (is_packed<PACK_SIZE>(args.columns, static_cast<const T *>(args.from)))
        LAUNCH((pad_kernel<T, PACK_SIZE>), blocks, dim3(32, ROWS), 0, stream, args);
    else
        LAUNCH((pad_kernel<T, 1>), blocks, dim3(32, ROWS), 0, stream, args);
}

cudaError_t fsfm_cuda_pad(const fsfm_cuda_queue *queue, const fsfm_cuda_pad_args *args)
{
    if (args->is_float || queue->precision == FSFM_PRECISION_FP32)
        pad<float>(queue->stream, *args);
    else
        pad<bf16>(queue->stream, *args);
    return cudaGetLastError();
}

template <class From, class To> static void unpad(cudaStream_t stream, const fsfm_cuda_unpad_args &args)
{
    const unsigned blocks = (unsigned)blocks_for(args.rows, ROWS);
    if (is_packed<PACK_SIZE>(args.columns, static_cast<const To *>(args.added),
                             static_cast<const To *>(args.to)))
        LAUNCH((unpad_kernel<From, To, PACK_SIZE>), blocks, dim3(32, ROWS), 0, stream, args);
    else
        LAUNCH((unpad_kernel<From, To, 1>), blocks, dim3(32, ROWS), 0, stream, args);
}

cudaError_t fsfm_cuda_unpad(const fsfm_cuda_queue *queue, const fsfm_cuda_unpad_args *args)
{
    if (args->is_float || queue->precision == FSFM_PRECISION_FP32)
        unpad<float, float>(queue->stream, *args);
    else if (args->from_is_float)
        unpad<float, bf16>(queue->stream, *args);
    else
        unpad<bf16, bf16>(queue->stream, *args);
    return cudaGetLastError();
}
