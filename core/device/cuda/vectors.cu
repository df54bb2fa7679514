/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/vectors.cu - element by element: GELU, conversions, sums, matrices of weights. */
#include "core/device/cuda/gelu.cuh"
#include "core/device/cuda/matrix.cuh"
#include "core/device/cuda/sums.cuh"
#include "core/device/cuda/vectors.cuh"

template <class Act> struct gelu_body {
    const Act *x;
    Act *out;

    template <int W> __device__ __forceinline__ void at(int64_t i) const
    {
        float value[W];
        load<W>(x + i, value);
#pragma unroll
        for (int k = 0; k < W; k++) value[k] = gelu(value[k]);
        store<W>(out + i, value);
    }
};

template <class Act> struct gelu_backward_body {
    const Act *x;
    Act *dx, *active;

    template <int W> __device__ __forceinline__ void at(int64_t i) const
    {
        float value[W], gradient[W];
        load<W>(x + i, value);
        load<W>(dx + i, gradient);
#pragma unroll
        for (int k = 0; k < W; k++) {
            gradient[k] *= gelu_slope(value[k]);
            value[k] = gelu(value[k]);
        }
        store<W>(dx + i, gradient);
        if (active) store<W>(active + i, value);
    }
};

/* to = from; to += from. */
template <class From, class To> struct convert_body {
    const From *from;
    To *to;

    template <int W> __device__ __forceinline__ void at(int64_t i) const
    {
        float value[W];
        load<W>(from + i, value);
        store<W>(to + i, value);
    }
};

template <class From> struct add_body {
    const From *from;
    float *to;

    template <int W> __device__ __forceinline__ void at(int64_t i) const
    {
        float value[W], sum[W];
        load<W>(from + i, value);
        load<W>(to + i, sum);
#pragma unroll
        for (int k = 0; k < W; k++) sum[k] += value[k];
        store<W>(to + i, sum);
    }
};

template <class Act>
static cudaError_t gelu_of(const fsfm_cuda_queue *queue, int64_t count, const Act *x, Act *out)
{
    constexpr int W = PACK<Act>;
    return launch_each_pack<W>(queue, count, is_packed<W>(W, x, out), gelu_body<Act>{x, out});
}

cudaError_t fsfm_cuda_gelu(const fsfm_cuda_queue *queue, int64_t count, const fsfm_act *x, fsfm_act *out)
{
    return queue->precision == FSFM_PRECISION_BF16
               ? gelu_of(queue, count, static_cast<const bf16 *>(x), static_cast<bf16 *>(out))
               : gelu_of(queue, count, static_cast<const float *>(x), static_cast<float *>(out));
}

template <class Act>
static cudaError_t gelu_backward_of(const fsfm_cuda_queue *queue, int64_t count, const void *x, void *dx,
                                    void *active)
{
    constexpr int W = PACK<Act>;
    const gelu_backward_body<Act> body = {static_cast<const Act *>(x), static_cast<Act *>(dx),
                                          static_cast<Act *>(active)};
    return launch_each_pack<W>(queue, count, is_packed<W>(W, body.x, body.dx, body.active), body);
}

cudaError_t fsfm_cuda_gelu_backward(const fsfm_cuda_queue *queue, int64_t count, const fsfm_act *x,
                                    fsfm_act *dx, fsfm_act *active)
{
    return queue->precision == FSFM_PRECISION_BF16 ? gelu_backward_of<bf16>(queue, count, x, dx, active)
                                                   : gelu_backward_of<float>(queue, count, x, dx, active);
}

template <class From, class To>
static cudaError_t convert(const fsfm_cuda_queue *queue, int64_t count, const From *from, To *to)
{
    constexpr int W = PACK<From, To>;
    return launch_each_pack<W>(queue, count, is_packed<W>(W, from, to), convert_body<From, To>{from, to});
}

cudaError_t fsfm_cuda_to_act(const fsfm_cuda_queue *queue, int64_t count, const float *x, fsfm_act *out)
{
    return queue->precision == FSFM_PRECISION_BF16 ? convert(queue, count, x, static_cast<bf16 *>(out))
                                                   : convert(queue, count, x, static_cast<float *>(out));
}

template <class From>
static cudaError_t add_to(const fsfm_cuda_queue *queue, int64_t count, const From *from, float *to)
{
    constexpr int W = PACK<From, float>;
    return launch_each_pack<W>(queue, count, is_packed<W>(W, from, to), add_body<From>{from, to});
}

cudaError_t fsfm_cuda_add_act(const fsfm_cuda_queue *queue, int64_t count, const fsfm_act *x, float *y)
{
    return queue->precision == FSFM_PRECISION_BF16 ? add_to(queue, count, static_cast<const bf16 *>(x), y)
                                                   : add_to(queue, count, static_cast<const float *>(x), y);
}

cudaError_t fsfm_cuda_add(const fsfm_cuda_queue *queue, int64_t count, const float *x, float *y)
{
    return add_to(queue, count, x, y);
}

enum { NORM_THREADS = 256, NORM_PARTS = 1024 };

/* parts (gridDim.x). Four numbers at a time whether or not they lie on 16 bytes: the order must not change.
 */
static __global__ void __launch_bounds__(NORM_THREADS)
    square_parts(int64_t count, const float *x, bool packed, double *parts)
{
    __shared__ double shared[32];
    const int64_t thread = (int64_t)blockIdx.x * NORM_THREADS + threadIdx.x;
    double sum = 0.0;
    for (int64_t i = 4 * thread; i < count; i += (int64_t)4 * NORM_THREADS * gridDim.x) {
        float value[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (packed && i + 4 <= count) {
            load<4>(x + i, value);
        } else {
#pragma unroll
            for (int k = 0; k < 4; k++)
                if (i + k < count) value[k] = x[i + k];
        }
#pragma unroll
        for (int k = 0; k < 4; k++) sum += (double)value[k] * value[k];
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

static __global__ void __launch_bounds__(NORM_THREADS)
    sum_of_parts(int64_t count, const double *parts, double *sum)
{
    __shared__ double shared[32];
    double mine = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += NORM_THREADS) mine += parts[i];
    mine = block_sum(mine, shared);
    if (threadIdx.x == 0) *sum = mine;
}

cudaError_t fsfm_cuda_norm_squared(const fsfm_cuda_queue *queue, int64_t count, const float *x, double *sum)
{
    int64_t parts = blocks_for(count, 4 * NORM_THREADS);
    if (parts > NORM_PARTS) parts = NORM_PARTS;
    double *part = static_cast<double *>(queue->scratch);
    if (parts > 0)
        LAUNCH(square_parts, (unsigned)parts, NORM_THREADS, 0, queue->stream, count, x, is_packed<4>(4, x),
               part);
    LAUNCH(sum_of_parts, 1, NORM_THREADS, 0, queue->stream, parts, part, sum);
    return cudaGetLastError();
}

/* matrix: from the part's first element on; count, of the whole matrix. */
template <class Act> struct split_body {
    int64_t count;
    const float *values;
    Act *matrix;

    template <int W> __device__ __forceinline__ void at(int64_t i) const
    {
        float value[W];
        load<W>(values + i, value);
        store_matrix<W>(matrix, count, i, value);
    }
};

template <class Act> struct join_body {
    int64_t count;
    const Act *matrix;
    float *values;

    template <int W> __device__ __forceinline__ void at(int64_t i) const
    {
        float value[W];
        load_matrix<W>(matrix, count, i, value);
        store<W>(values + i, value);
    }
};

template <class Act> static bool is_part_packed(int64_t count, const Act *matrix, const float *values)
{
    return is_packed<4>(4, matrix, sizeof(Act) == 2 ? matrix + count : NULL) && is_packed<4>(4, values);
}

template <class Act>
static cudaError_t split(const fsfm_cuda_queue *queue, int64_t count, int64_t part, const float *values,
                         Act *matrix)
{
    return launch_each_pack<4>(queue, part, is_part_packed(count, matrix, values),
                               split_body<Act>{count, values, matrix});
}

cudaError_t fsfm_cuda_split_matrix(const fsfm_cuda_queue *queue, int64_t count, int64_t first, int64_t part,
                                   const float *values, void *matrix)
{
    return queue->precision == FSFM_PRECISION_BF16
               ? split(queue, count, part, values, static_cast<bf16 *>(matrix) + first)
               : split(queue, count, part, values, static_cast<float *>(matrix) + first);
}

template <class Act>
static cudaError_t join(const fsfm_cuda_queue *queue, int64_t count, int64_t part, const Act *matrix,
                        float *values)
{
    return launch_each_pack<4>(queue, part, is_part_packed(count, matrix, values),
                               join_body<Act>{count, matrix, values});
}

cudaError_t fsfm_cuda_join_matrix(const fsfm_cuda_queue *queue, int64_t count, int64_t first, int64_t part,
                                  const void *matrix, float *values)
{
    return queue->precision == FSFM_PRECISION_BF16
               ? join(queue, count, part, static_cast<const bf16 *>(matrix) + first, values)
               : join(queue, count, part, static_cast<const float *>(matrix) + first, values);
}

/* Of floats nothing was taken. */
template <class Act> struct rest_body {
    int64_t count;
    const Act *matrix;
    Act *out;

    template <int W> __device__ __forceinline__ void at(int64_t i) const
    {
        float value[W], rounded[W];
        load_matrix<W>(matrix, count, i, value);
        load<W>(matrix + i, rounded);
#pragma unroll
        for (int k = 0; k < W; k++) value[k] -= rounded[k];
        store<W>(out + i, value);
    }
};

template <class Act>
static cudaError_t rest_of(const fsfm_cuda_queue *queue, int64_t count, const Act *matrix, Act *out)
{
    return launch_each_pack<4>(queue, count, is_packed_matrix<4>(count, matrix) && is_packed<4>(4, out),
                               rest_body<Act>{count, matrix, out});
}

cudaError_t fsfm_cuda_matrix_rest(const fsfm_cuda_queue *queue, int64_t count, const void *matrix,
                                  fsfm_act *out)
{
    return queue->precision == FSFM_PRECISION_BF16
               ? rest_of(queue, count, static_cast<const bf16 *>(matrix), static_cast<bf16 *>(out))
               : rest_of(queue, count, static_cast<const float *>(matrix), static_cast<float *>(out));
}
