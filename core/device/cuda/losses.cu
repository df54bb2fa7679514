/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/losses.cu - representations on the unit sphere and their losses. A warp takes a row, a
 * lane every 32nd pack of W. */
#include <math.h>

#include "core/device/cuda/loss_sums.cuh"

/* x.y, rows of C. */
template <int W, class X, class Y>
static __device__ __forceinline__ double row_dot(int64_t C, const X *x, const Y *y, int lane)
{
    double sum = 0.0;
    for (int64_t c = lane * W; c < C; c += 32 * W) {
        float a[W], b[W];
        load<W>(x + c, a);
        load<W>(y + c, b);
#pragma unroll
        for (int k = 0; k < W; k++) sum += (double)a[k] * (double)b[k];
    }
    return warp_sum(sum);
}

template <class Act, int W>
static __global__ void __launch_bounds__(ROW_THREADS) normalize_kernel(fsfm_normalize_args args)
{
    const int lane = (int)threadIdx.x % 32;
    const int64_t n = first_row();
    if (n >= args.N) return;
    const Act *x = static_cast<const Act *>(args.x) + n * args.C;
    const double length = sqrt(row_dot<W>(args.C, x, x, lane));
    const float norm = length < 1e-12 ? 1e-12f : (float)length;
    if (lane == 0) args.norm[n] = norm;
    for (int64_t c = lane * W; c < args.C; c += 32 * W) {
        float value[W];
        load<W>(x + c, value);
#pragma unroll
        for (int k = 0; k < W; k++) value[k] /= norm;
        store<W>(args.out + n * args.C + c, value);
    }
}

template <class Act, int W>
static __global__ void __launch_bounds__(ROW_THREADS)
    normalize_backward_kernel(fsfm_normalize_backward_args args)
{
    const int lane = (int)threadIdx.x % 32;
    const int64_t n = first_row();
    if (n >= args.N) return;
    const float *out = args.out + n * args.C, *dout = args.dout + n * args.C, norm = args.norm[n];
    /* At the floor the denominator is constant. */
    const float along = norm > 1e-12f ? (float)row_dot<W>(args.C, out, dout, lane) : 0.0f;
    for (int64_t c = lane * W; c < args.C; c += 32 * W) {
        float value[W], gradient[W];
        load<W>(out + c, value);
        load<W>(dout + c, gradient);
#pragma unroll
        for (int k = 0; k < W; k++) gradient[k] = fmaf(-along, value[k], gradient[k]) / norm;
        store<W>(static_cast<Act *>(args.dx) + n * args.C + c, gradient);
    }
}

/* parts (blocks). */
template <int W>
static __global__ void __launch_bounds__(ROW_THREADS) dot_loss_kernel(fsfm_dot_loss_args args, double *parts)
{
    __shared__ double shared[32];
    const int lane = (int)threadIdx.x % 32;
    double sum = 0.0;
    for (int64_t n = first_row(); n < args.N; n += row_stride()) {
        const float *q = args.q + n * args.C, *k = args.k + n * args.C;
        const double loss = args.offset + args.slope * row_dot<W>(args.C, q, k, lane);
        if (lane == 0) sum += loss;
        for (int64_t c = lane * W; c < args.C && args.dq; c += 32 * W) {
            float value[W];
            load<W>(k + c, value);
#pragma unroll
            for (int i = 0; i < W; i++) value[i] *= args.dslope;
            store<W>(args.dq + n * args.C + c, value);
        }
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

/* As block_sum. */
static __device__ __forceinline__ float block_max(float x, float *shared)
{
    x = warp_max(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = x;
    __syncthreads();
    float largest = shared[0];
    for (unsigned warp = 1; warp < blockDim.x / 32; warp++) largest = fmaxf(largest, shared[warp]);
    return largest;
}

/* A block takes row n of logits, which holds q.k: parts[n] is its loss. Where dq is wanted the row becomes
 * the keys' weights in it. */
static __global__ void __launch_bounds__(ROW_THREADS) infonce_kernel(fsfm_infonce_args args, double *parts)
{
    __shared__ float shared_max[32];
    __shared__ double shared[32];
    const int64_t n = blockIdx.x;
    float *logits = args.logits + n * args.M, largest = -INFINITY;
    for (int64_t j = threadIdx.x; j < args.M; j += ROW_THREADS) {
        logits[j] /= args.temperature;
        largest = fmaxf(largest, logits[j]);
    }
    largest = block_max(largest, shared_max);
    double total = 0.0;
    for (int64_t j = threadIdx.x; j < args.M; j += ROW_THREADS)
        total += exp((double)logits[j] - (double)largest);
    const double log_total = (double)largest + log(block_sum(total, shared));
    const double scale = (double)args.dscale / (double)args.temperature;
    const int64_t own = *args.first + n;
    for (int64_t j = threadIdx.x; j < args.M; j += ROW_THREADS) {
        const double log_share = (double)logits[j] - log_total;
        if (j == own) parts[n] = -log_share;
        if (args.dq) logits[j] = (float)((exp(log_share) - (j == own ? 1.0 : 0.0)) * scale);
    }
}

template <class Act>
static cudaError_t normalize(const fsfm_cuda_queue *queue, const fsfm_normalize_args &args)
{
    constexpr int W = PACK<Act, float>;
    const unsigned blocks = (unsigned)blocks_for(args.N, ROWS_A_BLOCK);
    const bool packed =
        is_packed<W>(args.C, static_cast<const Act *>(args.x)) && is_packed<W>(args.C, args.out);
    if (blocks == 0) return cudaSuccess;
    if (packed)
        LAUNCH((normalize_kernel<Act, W>), blocks, ROW_THREADS, 0, queue->stream, args);
    else
        LAUNCH((normalize_kernel<Act, 1>), blocks, ROW_THREADS, 0, queue->stream, args);
    return cudaGetLastError();
}

cudaError_t fsfm_cuda_normalize(const fsfm_cuda_queue *queue, const fsfm_normalize_args *args)
{
    return queue->precision == FSFM_PRECISION_BF16 ? normalize<bf16>(queue, *args)
                                                   : normalize<float>(queue, *args);
}

template <class Act>
static cudaError_t normalize_backward(const fsfm_cuda_queue *queue, const fsfm_normalize_backward_args &args)
{
    constexpr int W = PACK<Act, float>;
    const unsigned blocks = (unsigned)blocks_for(args.N, ROWS_A_BLOCK);
    const bool packed =
        is_packed<W>(args.C, static_cast<const Act *>(args.dx)) && is_packed<W>(args.C, args.out, args.dout);
    if (blocks == 0) return cudaSuccess;
    if (packed)
        LAUNCH((normalize_backward_kernel<Act, W>), blocks, ROW_THREADS, 0, queue->stream, args);
    else
        LAUNCH((normalize_backward_kernel<Act, 1>), blocks, ROW_THREADS, 0, queue->stream, args);
    return cudaGetLastError();
}

cudaError_t fsfm_cuda_normalize_backward(const fsfm_cuda_queue *queue,
                                         const fsfm_normalize_backward_args *args)
{
    return queue->precision == FSFM_PRECISION_BF16 ? normalize_backward<bf16>(queue, *args)
                                                   : normalize_backward<float>(queue, *args);
}

static void add_parts(const fsfm_cuda_queue *queue, int64_t count, double *sum)
{
    LAUNCH(loss_sums_kernel, 1, ROW_THREADS, 0, queue->stream, count,
           static_cast<const double *>(queue->scratch), sum);
}

cudaError_t fsfm_cuda_dot_loss(const fsfm_cuda_queue *queue, const fsfm_dot_loss_args *args)
{
    const unsigned blocks = loss_blocks(args->N);
    double *parts = static_cast<double *>(queue->scratch);
    if (blocks == 0) return cudaSuccess;
    if (is_packed<4>(args->C, args->q, args->k, args->dq))
        LAUNCH(dot_loss_kernel<4>, blocks, ROW_THREADS, 0, queue->stream, *args, parts);
    else
        LAUNCH(dot_loss_kernel<1>, blocks, ROW_THREADS, 0, queue->stream, *args, parts);
    add_parts(queue, blocks, args->sum);
    return cudaGetLastError();
}

/* c (M, N) of floats. */
static cudaError_t product_of_floats(const fsfm_cuda_queue *queue, fsfm_cuda_product_args args)
{
    fsfm_cuda_queue floats = *queue;
    floats.precision = FSFM_PRECISION_FP32;
    args.c_is_float = true;
    return fsfm_cuda_product(&floats, &args);
}

cudaError_t fsfm_cuda_infonce(const fsfm_cuda_queue *queue, const fsfm_infonce_args *args)
{
    fsfm_cuda_product_args logits = {}, dq = {};
    logits.M = dq.M = args->N;
    logits.N = dq.K = args->M;
    logits.K = dq.N = args->C;
    logits.a = args->q;
    logits.b = dq.b = args->keys;
    logits.b_transposed = true;
    logits.c = args->logits;
    dq.a = args->logits;
    dq.c = args->dq;
    if (args->N == 0) return cudaSuccess;
    const cudaError_t st = product_of_floats(queue, logits);
    if (st != cudaSuccess) return st;
    /* The scratch holds a double a row: there is memory for fewer logits than that. */
    LAUNCH(infonce_kernel, (unsigned)args->N, ROW_THREADS, 0, queue->stream, *args,
           static_cast<double *>(queue->scratch));
    add_parts(queue, args->N, args->sum);
    return args->dq ? product_of_floats(queue, dq) : cudaGetLastError();
}
