/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/unshuffle.cu - tokens back in image order, and its gradients. */
#include "core/device/cuda/columns.cuh"
#include "core/device/cuda/token_rows.cuh"

template <class T> struct unshuffle_body {
    fsfm_unshuffle_args a;

    /* Where row `row` of an image's output comes from. */
    __device__ __forceinline__ const T *source(int64_t image, int64_t row) const
    {
        const T *x = static_cast<const T *>(a.x) + image * (1 + a.K) * a.C;
        if (row == 0) return x;
        const int64_t l = row - 1, slot = a.slot ? a.slot[image * a.L + l] : l < a.K ? l : -1;
        if (slot >= 0) return x + (1 + slot) * a.C;
        return static_cast<const T *>(a.fill) + (a.fill_by_place ? l * a.C : 0);
    }

    template <int W> __device__ __forceinline__ void at(int64_t image, int64_t row, int64_t c) const
    {
        float value[W];
        load<W>(source(image, row) + c, value);
        if (a.position && row > 0) {
            float position[W];
            load<W>(a.position + (row - 1) * a.C + c, position);
#pragma unroll
            for (int i = 0; i < W; i++) value[i] += position[i];
        }
        store<W>(static_cast<T *>(a.out) + (image * (1 + a.L) + row) * a.C + c, value);
    }
};

template <class T> static cudaError_t unshuffle_of(const fsfm_cuda_queue *queue, const fsfm_unshuffle_args *a)
{
    constexpr int W = PACK<T>;
    const bool packed = is_packed<W>(a->C, static_cast<const T *>(a->x), static_cast<const T *>(a->fill)) &&
                        is_packed<W>(a->C, a->position) && is_packed<W>(a->C, static_cast<const T *>(a->out));
    return launch_each_token<W>(queue, a->B, 1 + a->L, a->C, packed, unshuffle_body<T>{*a});
}

cudaError_t fsfm_cuda_unshuffle(const fsfm_cuda_queue *queue, const fsfm_unshuffle_args *args)
{
    return args->is_float || queue->precision == FSFM_PRECISION_FP32 ? unshuffle_of<float>(queue, args)
                                                                     : unshuffle_of<bf16>(queue, args);
}

template <int W, class T> static __device__ __forceinline__ void add_loaded(const T *at, float (&sum)[W])
{
    float value[W];
    load<W>(at, value);
#pragma unroll
    for (int i = 0; i < W; i++) sum[i] += value[i];
}

/* Row by row of dx, a warp each: it looks for its row's places in slot. A row may have none. */
template <class Act, int W>
static __global__ void __launch_bounds__(32 * ROWS_A_BLOCK)
    unshuffle_backward_rows(fsfm_unshuffle_backward_args a)
{
    const int64_t image = blockIdx.x;
    const Act *dout = static_cast<const Act *>(a.dout) + image * (1 + a.L) * a.C;
    for (int64_t row = (int64_t)blockIdx.y * ROWS_A_BLOCK + threadIdx.y; row <= a.K;
         row += (int64_t)gridDim.y * ROWS_A_BLOCK)
        for (int64_t first = 0; first < a.C; first += 32 * W) { /* the warp stays together */
            const int64_t c = first + threadIdx.x * W;
            Act *dx = static_cast<Act *>(a.dx) + (image * (1 + a.K) + row) * a.C + c;
            float sum[W] = {};
            if (a.dx_adds && c < a.C) load<W>(dx, sum);
            if ((row == 0 || !a.slot) && c < a.C) add_loaded<W>(dout + row * a.C + c, sum);
            for (int64_t l = 0; row > 0 && a.slot && l < a.L; l += 32) {
                const int64_t mine = l + threadIdx.x;
                unsigned found =
                    __ballot_sync(0xffffffffu, mine < a.L && a.slot[image * a.L + mine] == row - 1);
                for (; found != 0 && c < a.C; found &= found - 1)
                    add_loaded<W>(dout + (l + __ffs((int)found)) * a.C + c, sum);
            }
            if (c < a.C) store<W>(dx, sum);
        }
}

template <class Act, int W>
static cudaError_t launch_dx(const fsfm_cuda_queue *queue, const fsfm_unshuffle_backward_args *a)
{
    LAUNCH((unshuffle_backward_rows<Act, W>), token_grid(a->B, 1 + a->K), dim3(32, ROWS_A_BLOCK), 0,
           queue->stream, *a);
    return cudaGetLastError();
}

/* n / by; most numbers fit 32 bits, in which division is several times faster. */
static __device__ __forceinline__ int64_t quotient(int64_t n, int64_t by)
{
    return ((n | by) >> 32) == 0 ? (int64_t)((uint32_t)n / (uint32_t)by) : n / by;
}

/* The filled ones of all B L rows of dout. */
template <class Act> struct filled_rows {
    int64_t L, C;
    const Act *dout;
    const int32_t *slot;

    __device__ __forceinline__ const Act *at(int64_t n, int64_t c) const
    {
        return slot[n] < 0 ? dout + (n + quotient(n, L) + 1) * C + c : NULL;
    }
};

/* An image as one row of L C columns; the filled ones. */
template <class Act> struct filled_places {
    int64_t L, C;
    const Act *dout;
    const int32_t *slot;

    __device__ __forceinline__ const Act *at(int64_t image, int64_t c) const
    {
        return slot[image * L + quotient(c, C)] < 0 ? dout + (image * (1 + L) + 1) * C + c : NULL;
    }
};

template <class Act>
static cudaError_t add_dfill(const fsfm_cuda_queue *queue, const fsfm_unshuffle_backward_args *a, bool packed)
{
    constexpr int W = PACK<Act>;
    const Act *dout = static_cast<const Act *>(a->dout);
    if (!a->slot) /* the last row of every image */
        return launch_column_sums<W>(queue, a->B, a->C, packed,
                                     dense_rows<Act>{dout + a->L * a->C, (1 + a->L) * a->C},
                                     a->dfill + (a->fill_by_place ? a->K * a->C : 0));
    if (a->fill_by_place)
        return launch_column_sums<W>(queue, a->B, a->L * a->C, packed,
                                     filled_places<Act>{a->L, a->C, dout, a->slot}, a->dfill);
    return launch_column_sums<W>(queue, a->B * a->L, a->C, packed,
                                 filled_rows<Act>{a->L, a->C, dout, a->slot}, a->dfill);
}

template <class Act>
static cudaError_t unshuffle_backward_of(const fsfm_cuda_queue *queue, const fsfm_unshuffle_backward_args *a)
{
    constexpr int W = PACK<Act>;
    if (a->B == 0 || a->C == 0) return cudaSuccess;
    const Act *dout = static_cast<const Act *>(a->dout), *dx = static_cast<const Act *>(a->dx);
    const cudaError_t st =
        is_packed<W>(a->C, dout, dx) ? launch_dx<Act, W>(queue, a) : launch_dx<Act, 1>(queue, a);
    return st == cudaSuccess && a->dfill ? add_dfill<Act>(queue, a, is_packed<W>(a->C, dout)) : st;
}

cudaError_t fsfm_cuda_unshuffle_backward(const fsfm_cuda_queue *queue,
                                         const fsfm_unshuffle_backward_args *args)
{
    return queue->precision == FSFM_PRECISION_BF16 ? unshuffle_backward_of<bf16>(queue, args)
                                                   : unshuffle_backward_of<float>(queue, args);
}
