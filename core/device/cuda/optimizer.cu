/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/optimizer.cu - AdamW with the moving average of the target, each number read and written
 * once. Whatever is added to a product is in fmaf(), so that packs and single numbers get the same bits. */
#include "core/device/cuda/matrix.cuh"

/* Random bits for the parameter at place in update t. */
static __device__ __forceinline__ uint32_t dither(int64_t t, int64_t place)
{
    uint32_t x = (uint32_t)place * 0x9E3779B1u ^ (uint32_t)t * 0x85EBCA77u;
    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    return x ^ x >> 16;
}

/* The second moment as it will be stored, which is also what the update uses: to bfloat16 up with the
 * probability of what is cut off. NaN stays: its bits are all ones here, and would become 0. */
template <class Act> static __device__ __forceinline__ float rounded(float v, int64_t t, int64_t place);

template <> __device__ __forceinline__ float rounded<float>(float v, int64_t, int64_t)
{
    return v;
}

template <> __device__ __forceinline__ float rounded<bf16>(float v, int64_t t, int64_t place)
{
    return isnan(v) ? v : __uint_as_float((__float_as_uint(v) + (dither(t, place) >> 16)) & 0xffff0000u);
}

/* One tensor; places are those of numbers in the arrays. Param: float, or Act for a matrix. */
template <class Act, class Param> struct adamw {
    const fsfm_adamw_args &args;
    const fsfm_adamw_piece &piece;
    const fsfm_adamw_numbers &n;

    /* A parameter has 4 bytes in either form. */
    __device__ __forceinline__ Param *first_of(void *array) const
    {
        return reinterpret_cast<Param *>(static_cast<float *>(array) + piece.tensor);
    }

    template <int W> __device__ __forceinline__ void at(int64_t place) const
    {
        float g[W], m[W], v[W], p[W];
        load<W>(args.grads + place, g);
        load<W>(args.m + place, m);
        load<W>(static_cast<Act *>(args.v) + place, v);
#pragma unroll
        for (int j = 0; j < W; j++) {
            m[j] = fmaf(n.keep1, fmaf(n.scale, g[j], -m[j]), m[j]);
            g[j] *= n.scale;
            v[j] = rounded<Act>(fmaf(n.beta2, v[j], n.keep2 * g[j] * g[j]), n.t, place + j);
        }
        store<W>(args.m + place, m);
        store<W>(static_cast<Act *>(args.v) + place, v);
        Param *params = first_of(args.params);
        const int64_t i = place - piece.tensor;
        const float shrink = piece.is_decayed ? n.shrink : 1.0f;
        load_matrix<W>(params, piece.count, i, p);
#pragma unroll
        for (int j = 0; j < W; j++)
            p[j] = fmaf(-n.step, m[j] / fmaf(sqrtf(v[j]), n.root2, n.eps), shrink * p[j]);
        store_matrix<W>(params, piece.count, i, p);
        if (piece.has_target) move_target<W>(i, p);
    }

    /* As a step towards the weights p, so that equal ones stay equal whatever the momentum rounds to. */
    template <int W> __device__ __forceinline__ void move_target(int64_t i, const float (&p)[W]) const
    {
        Param *target = first_of(args.target);
        float moved[W];
        load_matrix<W>(target, piece.count, i, moved);
#pragma unroll
        for (int j = 0; j < W; j++)
            moved[j] = n.towards == 1.0f ? p[j] : fmaf(n.towards, p[j] - moved[j], moved[j]);
        store_matrix<W>(target, piece.count, i, moved);
    }
};

enum {
    THREADS = 256,
    PACK_SIZE = 4,
    SHARE = 4 * PACK_SIZE * THREADS, /* that a block takes of a piece */
    SHARES = FSFM_ADAMW_PIECE / SHARE
};
static_assert(SHARES * SHARE == FSFM_ADAMW_PIECE, "whole shares");

/* The places [first, last), by packs up to alone, then one by one. */
template <class Body>
static __device__ __forceinline__ void each(const Body &body, int64_t first, int64_t alone, int64_t last)
{
#pragma unroll 1
    for (int64_t i = first + threadIdx.x * PACK_SIZE; i < alone; i += THREADS * PACK_SIZE)
        body.template at<PACK_SIZE>(i);
#pragma unroll 1
    for (int64_t i = alone + threadIdx.x; i < last; i += THREADS) body.template at<1>(i);
}

/* are_packed: arrays begin where packs may. */
template <class Act>
static __global__ void __launch_bounds__(THREADS) adamw_kernel(fsfm_adamw_args args, bool are_packed)
{
    __shared__ fsfm_adamw_piece piece; /* and not registers, which are short */
    __shared__ fsfm_adamw_numbers n;
    if (threadIdx.x == 0) {
        piece = args.pieces[blockIdx.x / SHARES];
        n = *args.numbers;
    }
    __syncthreads();
    const int64_t first = piece.first + (int64_t)(blockIdx.x % SHARES) * SHARE;
    if (first >= piece.count) return;
    const int64_t last = piece.count - first < SHARE ? piece.count : first + SHARE;
    const bool is_split = sizeof(Act) < sizeof(float) && piece.is_matrix; /* halves, count numbers apart */
    const bool by_packs =
        are_packed && piece.tensor % PACK_SIZE == 0 && (!is_split || piece.count % PACK_SIZE == 0);
    const int64_t alone = by_packs ? last / PACK_SIZE * PACK_SIZE : first, tensor = piece.tensor;
    if (is_split)
        each(adamw<Act, Act>{args, piece, n}, tensor + first, tensor + alone, tensor + last);
    else
        each(adamw<Act, float>{args, piece, n}, tensor + first, tensor + alone, tensor + last);
}

template <class Act> static cudaError_t launch(const fsfm_cuda_queue *queue, const fsfm_adamw_args &args)
{
    if (args.count == 0) return cudaSuccess;
    const bool are_packed =
        is_packed<PACK_SIZE>(PACK_SIZE, args.grads, args.m, static_cast<const float *>(args.params),
                             static_cast<const float *>(args.target)) &&
        is_packed<PACK_SIZE>(PACK_SIZE, static_cast<const Act *>(args.v));
    LAUNCH(adamw_kernel<Act>, (unsigned)(args.count * SHARES), THREADS, 0, queue->stream, args, are_packed);
    return cudaGetLastError();
}

cudaError_t fsfm_cuda_adamw(const fsfm_cuda_queue *queue, const fsfm_adamw_args *args)
{
    return queue->precision == FSFM_PRECISION_BF16 ? launch<bf16>(queue, *args) : launch<float>(queue, *args);
}
