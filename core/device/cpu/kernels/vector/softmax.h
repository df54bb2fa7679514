/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/vector/softmax.h - softmax of a row of scores, and rows in and out of it. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_VECTOR_SOFTMAX_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_VECTOR_SOFTMAX_H

#include "core/device/cpu/kernels/words.h"

ALWAYS_INLINE int64_t padded(int64_t count)
{
    return (count + VW - 1) / VW * VW;
}

/* Keys of a softmax: Tp of them with the padding; a bias row holds 0, log(last_multiplicity) at the last key
 * and -inf in the padding; it and the scale are such that scores are logarithms to the base of act_exp(). */
typedef struct {
    int64_t Tp;
    float scale;
    float *bias; /* (Tp) */
} softmax_keys;

static inline void set_bias(const softmax_keys *keys, int64_t T, float last_multiplicity)
{
    for (int64_t t = 0; t < keys->Tp; t++) keys->bias[t] = t < T ? 0.0f : -INFINITY;
    keys->bias[T - 1] = logf(last_multiplicity) / EXP_BASE_LOG;
}

/* Scores of a row at t. */
ALWAYS_INLINE vf scores_at(const softmax_keys *keys, const float *p, int64_t t)
{
    return vf_load(p + t) * keys->scale + vf_load(keys->bias + t);
}

/* Rows whose softmax is taken at once: what each waits for, the others fill. */
enum { SOFTMAX_ROWS = 2 };

/* p_rows (rows, Pw) = act_exp(scores - largest) of p (rows, Tp), with the largest score and the total of each
 * row. */
ALWAYS_INLINE void softmax_rows(const int rows, const softmax_keys *keys, const float *p, word *p_rows,
                                int64_t Pw, float *largest, float *total)
{
    vf most[SOFTMAX_ROWS], sum[SOFTMAX_ROWS];
    UNROLL for (int i = 0; i < rows; i++) most[i] = vf_set(-INFINITY);
    for (int64_t t = 0; t < keys->Tp; t += VW)
        UNROLL for (int i = 0; i < rows; i++) most[i] = vf_max(most[i], scores_at(keys, p + i * keys->Tp, t));
    UNROLL for (int i = 0; i < rows; i++)
    {
        largest[i] = vf_largest(most[i]);
        sum[i] = (vf){0};
    }
    for (int64_t t = 0; t < keys->Tp; t += VW) UNROLL for (int i = 0; i < rows; i++)
        {
            const vf e = act_exp(scores_at(keys, p + i * keys->Tp, t) - largest[i]);
            words_along(p_rows + i * Pw, t, e);
            sum[i] += e;
        }
    UNROLL for (int i = 0; i < rows; i++) total[i] = vf_total(sum[i]);
}

static inline float dot_row(const act *x, const act *y, int64_t D)
{
    vf sum = {0};
    for (int64_t d = 0; d < D; d += VW) sum += act_load_at(x, d, D) * act_load_at(y, d, D);
    return vf_total(sum);
}

/* out (T, D), rows of stride, = scale x, rows of x_row. */
static inline void unpack_rows(int64_t T, int64_t D, const float *x, int64_t x_row, float scale, act *out,
                               int64_t stride)
{
    for (int64_t t = 0; t < T; t++)
        for (int64_t d = 0; d < D; d += VW)
            act_store_at(out + t * stride, vf_load(x + t * x_row + d) * scale, d, D);
}

#endif
