/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/optimizer.c - AdamW, the moving average of the target, and weights in and out.
 * Pieces begin at multiples of VW, so that only the last vector of a tensor is a part. */
#include "core/device/cpu/kernels/matrix.h"
#include "core/device/cpu/kernels/table.h"

ALWAYS_INLINE vf param_load(const void *params, bool is_matrix, int64_t i, int64_t count)
{
    return is_matrix ? matrix_load_at(params, i, count) : vf_load_at(params, i, count);
}

ALWAYS_INLINE void param_store(void *params, bool is_matrix, vf x, int64_t i, int64_t count)
{
    if (is_matrix)
        matrix_store_at(params, x, i, count);
    else
        vf_store_at(params, x, i, count);
}

void KERNEL(set_matrix)(int64_t count, int64_t first, int64_t last, void *matrix, const float *values)
{
    for (int64_t i = first; i < last; i += VW)
        matrix_store_at(matrix, vf_load_at(values, i, count), i, count);
}

void KERNEL(get_matrix)(int64_t count, int64_t first, int64_t last, const void *matrix, float *values)
{
    for (int64_t i = first; i < last; i += VW)
        vf_store_at(values, matrix_load_at(matrix, i, count), i, count);
}

void KERNEL(matrix_rest)(int64_t count, int64_t first, int64_t last, const void *matrix, fsfm_act *out)
{
    for (int64_t i = first; i < last; i += VW) act_store_at(out, matrix_rest_at(matrix, i, count), i, count);
}

#if defined FSFM_BF16

/* Random bits for each of parameters place, place + 1, ... at update t. */
ALWAYS_INLINE vu dither(int64_t t, int64_t place)
{
    vu x = {0};
    UNROLL for (int lane = 0; lane < VW; lane++) x[lane] = (uint32_t)lane;
    x = (x + (uint32_t)place) * 0x9E3779B1u ^ (uint32_t)t * 0x85EBCA77u;
    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    return x ^ x >> 16;
}

/* x to bfloat16: up with the probability of what is cut off, by 16 random bits. */
ALWAYS_INLINE vf round_by(vf x, vu random)
{
    return (vf)(((vu)x + random) & 0xFFFF0000u);
}

#endif

/* The second moment as it will be stored, which is also what the update uses. */
ALWAYS_INLINE vf rounded(vf v, int64_t t, int64_t place)
{
#if defined FSFM_BF16
    return round_by(v, dither(t, place) >> 16);
#else
    (void)t, (void)place;
    return v;
#endif
}

/* As a step towards the weights, so that equal ones stay equal whatever the momentum rounds to. */
ALWAYS_INLINE void move_target(void *target, bool is_matrix, float towards, vf p, int64_t i, int64_t count)
{
    const vf t = param_load(target, is_matrix, i, count);
    param_store(target, is_matrix, towards == 1.0f ? p : t + towards * (p - t), i, count);
}

ALWAYS_INLINE void adamw_of(const fsfm_adamw_args *args, const fsfm_adamw_piece *piece, bool is_matrix)
{
    const fsfm_adamw_numbers n = *args->numbers;
    const float shrink = piece->is_decayed ? n.shrink : 1.0f;
    const int64_t tensor = piece->tensor, count = piece->count,
                  last = count - piece->first < FSFM_ADAMW_PIECE ? count : piece->first + FSFM_ADAMW_PIECE;
    const float *grads = args->grads + tensor;
    float *params = (float *)args->params + tensor, *m_at = args->m + tensor;
    float *target = piece->has_target ? (float *)args->target + tensor : NULL;
    act *v_at = (act *)args->v + tensor;
    for (int64_t i = piece->first; i < last; i += VW) {
        const vf g = n.scale * vf_load_at(grads, i, count);
        vf m = vf_load_at(m_at, i, count);
        m += n.keep1 * (g - m);
        const vf v = rounded(n.beta2 * act_load_at(v_at, i, count) + n.keep2 * g * g, n.t, tensor + i);
        vf_store_at(m_at, m, i, count);
        act_store_at(v_at, v, i, count);
        const vf old = param_load(params, is_matrix, i, count),
                 p = shrink * old - n.step * (m / (vf_sqrt(v) * n.root2 + n.eps));
        param_store(params, is_matrix, p, i, count);
        if (target) move_target(target, is_matrix, n.towards, p, i, count);
    }
}

void KERNEL(adamw)(const fsfm_adamw_args *args, int64_t piece)
{
    const fsfm_adamw_piece *at = &args->pieces[piece];
    if (at->is_matrix)
        adamw_of(args, at, true);
    else
        adamw_of(args, at, false);
}
