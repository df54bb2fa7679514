/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/wide_rows.cuh - layer norm of rows that do not fit a block's registers: a block a row,
 * which is read again for every sum. */
#ifndef FSFM_CORE_DEVICE_CUDA_WIDE_ROWS_CUH
#define FSFM_CORE_DEVICE_CUDA_WIDE_ROWS_CUH

#include "core/device/cuda/kernels.h"
#include "core/device/cuda/sums.cuh"

enum { WIDE_THREADS = 512 };

template <class X> static __device__ __forceinline__ float wide_mean(const X *x, int64_t C, float *shared)
{
    float sum = 0.0f;
    for (int64_t c = threadIdx.x; c < C; c += WIDE_THREADS) sum += to_float(x[c]);
    return block_sum(sum, shared) / (float)C;
}

template <class X>
static __device__ __forceinline__ float wide_variance(const X *x, float mean, int64_t C, float *shared)
{
    float sum = 0.0f;
    for (int64_t c = threadIdx.x; c < C; c += WIDE_THREADS) {
        const float off = to_float(x[c]) - mean;
        sum += off * off;
    }
    return block_sum(sum, shared) / (float)C;
}

template <class X, class Act>
static __global__ void __launch_bounds__(WIDE_THREADS) layernorm_wide(fsfm_layernorm_args a)
{
    __shared__ float shared[32];
    const int64_t n = blockIdx.x;
    const X *x = static_cast<const X *>(a.x) + n * a.C;
    const float mean = a.is_known ? a.mean[n] : wide_mean(x, a.C, shared);
    const float rstd = a.is_known ? a.rstd[n] : rsqrtf(wide_variance(x, mean, a.C, shared) + a.eps);
    for (int64_t c = threadIdx.x; c < a.C; c += WIDE_THREADS) {
        const float y = (to_float(x[c]) - mean) * rstd * a.weight[c] + a.bias[c];
        static_cast<Act *>(a.out)[n * a.C + c] = to_act<Act>(a.relu && y < 0.0f ? 0.0f : y);
    }
    if (threadIdx.x > 0 || a.is_known || !a.mean) return;
    a.mean[n] = mean;
    a.rstd[n] = rstd;
}

/* Of an element of backward's rows. */
struct wide_element {
    float dout, xhat; /* dout behind the relu's gate */
};

template <class X, class Act>
static __device__ __forceinline__ wide_element wide_at(const fsfm_layernorm_backward_args &a, int64_t n,
                                                       int64_t c)
{
    const int64_t i = n * a.C + c;
    const bool shut = a.relu && !(to_float(static_cast<const Act *>(a.out)[i]) > 0.0f);
    return wide_element{shut ? 0.0f : to_float(static_cast<const Act *>(a.dout)[i]),
                        (to_float(static_cast<const X *>(a.x)[i]) - a.mean[n]) * a.rstd[n]};
}

/* part (gridDim.x, 2, C): dweight and dbias of the block's rows. */
template <class X, class Act>
static __global__ void __launch_bounds__(WIDE_THREADS)
    layernorm_backward_wide(fsfm_layernorm_backward_args a, float *part)
{
    __shared__ float2 shared[32];
    float *dweight = part + 2 * a.C * blockIdx.x, *dbias = dweight + a.C;
    for (int64_t n = blockIdx.x; n < a.N; n += gridDim.x) {
        const bool is_first = n == blockIdx.x;
        float mean_g = 0.0f, mean_gx = 0.0f;
        for (int64_t c = threadIdx.x; c < a.C; c += WIDE_THREADS) {
            const wide_element e = wide_at<X, Act>(a, n, c);
            dweight[c] = (is_first ? 0.0f : dweight[c]) + e.dout * e.xhat;
            dbias[c] = (is_first ? 0.0f : dbias[c]) + e.dout;
            mean_g += e.dout * a.weight[c];
            mean_gx += e.dout * a.weight[c] * e.xhat;
        }
        block_sums(&mean_g, &mean_gx, shared);
        mean_g /= (float)a.C, mean_gx /= (float)a.C;
        for (int64_t c = threadIdx.x; c < a.C; c += WIDE_THREADS) {
            const wide_element e = wide_at<X, Act>(a, n, c);
            Act *dx = static_cast<Act *>(a.dx) + n * a.C + c;
            const float value = a.rstd[n] * (e.dout * a.weight[c] - mean_g - e.xhat * mean_gx);
            *dx = to_act<Act>(a.dx_adds ? to_float(*dx) + value : value);
        }
    }
}

#endif
