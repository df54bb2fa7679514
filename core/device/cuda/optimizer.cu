/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/optimizer.cu - AdamW with the moving average of the target, each number read and written
 * once. Whatever is added to a product is in fmaf(), so that packs and single numbers get the same bits. */
#include <math.h>

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

/* Param: float, or Act for a matrix. */
template <class Act, class Param> struct adamw {
    const float *grads;
    Param *params, *target;
    float *m;
    Act *v;
    int64_t count, t, first;
    float scale, eps, keep1, beta2, keep2, shrink, step, towards, root2;

    template <int W> __device__ __forceinline__ void at(int64_t i) const
    {
        float g[W], m_new[W], v_new[W], p[W];
        load<W>(grads + i, g);
        load<W>(m + i, m_new);
        load<W>(v + i, v_new);
#pragma unroll
        for (int j = 0; j < W; j++) {
            m_new[j] = fmaf(keep1, fmaf(scale, g[j], -m_new[j]), m_new[j]);
            g[j] *= scale;
            v_new[j] = rounded<Act>(fmaf(beta2, v_new[j], keep2 * g[j] * g[j]), t, first + i + j);
        }
        store<W>(m + i, m_new);
        store<W>(v + i, v_new);
        load_matrix<W>(params, count, i, p);
#pragma unroll
        for (int j = 0; j < W; j++)
            p[j] = fmaf(-step, m_new[j] / fmaf(sqrtf(v_new[j]), root2, eps), shrink * p[j]);
        store_matrix<W>(params, count, i, p);
        if (target) move_target<W>(i, p);
    }

    /* As a step towards the weights p, so that equal ones stay equal whatever the momentum rounds to. */
    template <int W> __device__ __forceinline__ void move_target(int64_t i, const float (&p)[W]) const
    {
        float moved[W];
        load_matrix<W>(target, count, i, moved);
#pragma unroll
        for (int j = 0; j < W; j++)
            moved[j] = towards == 1.0f ? p[j] : fmaf(towards, p[j] - moved[j], moved[j]);
        store_matrix<W>(target, count, i, moved);
    }
};

template <class Act, class Param>
static cudaError_t launch(const fsfm_cuda_queue *queue, const fsfm_adamw_args &args)
{
    const adamw<Act, Param> body = {.grads = args.grads,
                                    .params = static_cast<Param *>(args.params),
                                    .target = static_cast<Param *>(args.target),
                                    .m = args.m,
                                    .v = static_cast<Act *>(args.v),
                                    .count = args.count,
                                    .t = args.t,
                                    .first = args.first,
                                    .scale = (float)args.grad_scale,
                                    .eps = (float)args.eps,
                                    .keep1 = (float)(1.0 - args.beta1),
                                    .beta2 = (float)args.beta2,
                                    .keep2 = (float)(1.0 - args.beta2),
                                    .shrink = (float)(1.0 - args.lr * args.decay),
                                    .step = (float)(args.lr / args.correction1),
                                    .towards = (float)(1.0 - args.momentum),
                                    .root2 = 1.0f / (float)sqrt(args.correction2)};
    constexpr int W = PACK<float, Act>;
    const bool packed = is_packed<W>(W, body.grads, body.m) && is_packed<W>(W, body.v) &&
                        is_packed_matrix<W>(args.count, body.params) &&
                        is_packed_matrix<W>(args.count, body.target);
    return launch_each_pack<W>(queue, args.count, packed, body);
}

cudaError_t fsfm_cuda_adamw(const fsfm_cuda_queue *queue, const fsfm_adamw_args *args)
{
    if (queue->precision == FSFM_PRECISION_FP32) return launch<float, float>(queue, *args);
    return args->is_matrix ? launch<bf16, bf16>(queue, *args) : launch<bf16, float>(queue, *args);
}
