/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/tokens.cu - rows of tokens embedded, picked, averaged. */
#include "core/device/cuda/columns.cuh"
#include "core/device/cuda/token_rows.cuh"

template <class Act> struct embed_body {
    fsfm_embed_args a;

    template <int W> __device__ __forceinline__ void at(int64_t image, int64_t row, int64_t c) const
    {
        float value[W];
        if (row == 0) {
            load<W>(a.class_token + c, value);
        } else {
            const int64_t k = image * a.K + row - 1, l = a.index ? a.index[k] : row - 1;
            float position[W];
            load<W>(static_cast<const Act *>(a.patches) + k * a.C + c, value);
            load<W>(a.position + l * a.C + c, position);
#pragma unroll
            for (int i = 0; i < W; i++) value[i] += position[i];
        }
        store<W>(a.out + (image * (1 + a.K) + row) * a.C + c, value);
    }
};

template <class Act> static cudaError_t embed_of(const fsfm_cuda_queue *queue, const fsfm_embed_args *a)
{
    constexpr int W = PACK<Act, float>;
    const bool packed =
        is_packed<W>(a->C, static_cast<const Act *>(a->patches), a->class_token, a->position, a->out);
    return launch_each_token<W>(queue, a->B, 1 + a->K, a->C, packed, embed_body<Act>{*a});
}

cudaError_t fsfm_cuda_embed(const fsfm_cuda_queue *queue, const fsfm_embed_args *args)
{
    return queue->precision == FSFM_PRECISION_BF16 ? embed_of<bf16>(queue, args)
                                                   : embed_of<float>(queue, args);
}

/* to (B, R, C): rows of from (B, T, C), those of index (B, R), or the R that follow the first. */
template <class X> struct copy_body {
    int64_t R, T, C;
    const X *from;
    const int32_t *index;
    X *to;

    template <int W> __device__ __forceinline__ void at(int64_t image, int64_t row, int64_t c) const
    {
        const int64_t r = image * R + row, t = image * T + (index ? index[r] : row + 1);
        float value[W];
        load<W>(from + t * C + c, value);
        store<W>(to + r * C + c, value);
    }
};

template <class Act>
static cudaError_t embed_backward_of(const fsfm_cuda_queue *queue, const fsfm_embed_backward_args *a)
{
    constexpr int W = PACK<Act>;
    const copy_body<Act> body = {
        a->K, 1 + a->K, a->C, static_cast<const Act *>(a->dout), NULL, static_cast<Act *>(a->dpatches)};
    const cudaError_t st =
        launch_each_token<W>(queue, a->B, a->K, a->C, is_packed<W>(a->C, body.from, body.to), body);
    if (st != cudaSuccess) return st;
    return launch_column_sums<W>(queue, a->B, a->C, is_packed<W>(a->C, body.from),
                                 dense_rows<Act>{body.from, (1 + a->K) * a->C}, a->dclass);
}

cudaError_t fsfm_cuda_embed_backward(const fsfm_cuda_queue *queue, const fsfm_embed_backward_args *args)
{
    return queue->precision == FSFM_PRECISION_BF16 ? embed_backward_of<bf16>(queue, args)
                                                   : embed_backward_of<float>(queue, args);
}

template <class X> static cudaError_t pick_of(const fsfm_cuda_queue *queue, const fsfm_pick_args *a)
{
    constexpr int W = PACK<X>;
    const copy_body<X> body = {
        a->R, a->T, a->C, static_cast<const X *>(a->x), a->index, static_cast<X *>(a->out)};
    return launch_each_token<W>(queue, a->B, a->R, a->C, is_packed<W>(a->C, body.from, body.to), body);
}

cudaError_t fsfm_cuda_pick(const fsfm_cuda_queue *queue, const fsfm_pick_args *args)
{
    return queue->precision == FSFM_PRECISION_BF16 && !args->is_float ? pick_of<bf16>(queue, args)
                                                                      : pick_of<float>(queue, args);
}

template <class Act> struct pick_backward_body {
    fsfm_pick_backward_args a;

    template <int W> __device__ __forceinline__ void at(int64_t image, int64_t row, int64_t c) const
    {
        const int64_t r = image * a.R + row;
        Act *to = static_cast<Act *>(a.y) + (image * a.T + a.index[r]) * a.C + c;
        float value[W], sum[W];
        load<W>(static_cast<const Act *>(a.x) + r * a.C + c, value);
        load<W>(to, sum);
#pragma unroll
        for (int i = 0; i < W; i++) sum[i] += value[i];
        store<W>(to, sum);
    }
};

template <class Act>
static cudaError_t pick_backward_of(const fsfm_cuda_queue *queue, const fsfm_pick_backward_args *a)
{
    constexpr int W = PACK<Act>;
    const bool packed = is_packed<W>(a->C, static_cast<const Act *>(a->x), static_cast<const Act *>(a->y));
    return launch_each_token<W>(queue, a->B, a->R, a->C, packed, pick_backward_body<Act>{*a});
}

cudaError_t fsfm_cuda_pick_backward(const fsfm_cuda_queue *queue, const fsfm_pick_backward_args *args)
{
    return queue->precision == FSFM_PRECISION_BF16 ? pick_backward_of<bf16>(queue, args)
                                                   : pick_backward_of<float>(queue, args);
}

/* A block has 32 W columns of an image. */
template <class Act, int W>
static __global__ void __launch_bounds__(32 * COLUMN_ROWS) mean_of_tokens(fsfm_mean_args a)
{
    __shared__ __align__(16) float shared[COLUMN_ROWS][32 * W];
    const int64_t image = blockIdx.x, first = (int64_t)blockIdx.y * 32 * W, c = first + threadIdx.x * W;
    const Act *x = static_cast<const Act *>(a.x) + image * a.T * a.C + c;
    float sum[W] = {};
    for (int64_t t = threadIdx.y; t < a.T && c < a.C; t += COLUMN_ROWS) {
        float value[W];
        load<W>(x + t * a.C, value);
        const float times = t == a.T - 1 ? a.last_multiplicity : 1.0f;
#pragma unroll
        for (int i = 0; i < W; i++) sum[i] += times * value[i];
    }
    const float total = block_column_sum<W>(sum, shared), count = (float)(a.T - 1) + a.last_multiplicity;
    const int64_t column = first + block_column();
    if (block_column() < 32 * W && column < a.C)
        static_cast<Act *>(a.out)[image * a.C + column] = to_act<Act>(total / count);
}

template <class Act, int W>
static cudaError_t launch_mean(const fsfm_cuda_queue *queue, const fsfm_mean_args *a)
{
    const dim3 grid((unsigned)a->B, (unsigned)blocks_for(a->C, 32 * W));
    LAUNCH((mean_of_tokens<Act, W>), grid, dim3(32, COLUMN_ROWS), 0, queue->stream, *a);
    return cudaGetLastError();
}

template <class Act> static cudaError_t mean_of(const fsfm_cuda_queue *queue, const fsfm_mean_args *a)
{
    constexpr int W = PACK<Act>;
    if (a->B == 0 || a->C == 0) return cudaSuccess;
    return is_packed<W>(a->C, static_cast<const Act *>(a->x)) ? launch_mean<Act, W>(queue, a)
                                                              : launch_mean<Act, 1>(queue, a);
}

cudaError_t fsfm_cuda_mean(const fsfm_cuda_queue *queue, const fsfm_mean_args *args)
{
    return queue->precision == FSFM_PRECISION_BF16 ? mean_of<bf16>(queue, args) : mean_of<float>(queue, args);
}

template <class Act> struct mean_backward_body {
    fsfm_mean_backward_args a;

    template <int W> __device__ __forceinline__ void at(int64_t image, int64_t t, int64_t c) const
    {
        const float count = (float)(a.T - 1) + a.last_multiplicity,
                    share = (t == a.T - 1 ? a.last_multiplicity : 1.0f) / count;
        Act *dx = static_cast<Act *>(a.dx) + (image * a.T + t) * a.C + c;
        float dout[W], sum[W] = {};
        load<W>(static_cast<const Act *>(a.dout) + image * a.C + c, dout);
        if (a.dx_adds) load<W>(dx, sum);
#pragma unroll
        for (int i = 0; i < W; i++) sum[i] += share * dout[i];
        store<W>(dx, sum);
    }
};

template <class Act>
static cudaError_t mean_backward_of(const fsfm_cuda_queue *queue, const fsfm_mean_backward_args *a)
{
    constexpr int W = PACK<Act>;
    const bool packed =
        is_packed<W>(a->C, static_cast<const Act *>(a->dout), static_cast<const Act *>(a->dx));
    return launch_each_token<W>(queue, a->B, a->T, a->C, packed, mean_backward_body<Act>{*a});
}

cudaError_t fsfm_cuda_mean_backward(const fsfm_cuda_queue *queue, const fsfm_mean_backward_args *args)
{
    return queue->precision == FSFM_PRECISION_BF16 ? mean_backward_of<bf16>(queue, args)
                                                   : mean_backward_of<float>(queue, args);
}
