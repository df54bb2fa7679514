/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/layernorm.c - rows of (N, C). Mean first, then the variance about it: E[x^2] -
 * E[x]^2 cancels when |mean| >> std. Two sums a row, of even and of odd vectors, hide the adder's latency. */
#include "core/device/cpu/kernels/act.h"
#include "core/device/cpu/kernels/table.h"

/* Lanes behind the end of the row count as 0. */
ALWAYS_INLINE vf within(vf x, int64_t c, int64_t C)
{
    if (c + VW <= C) return x;
    float lane[VW];
    vf_store(lane, x);
    for (int64_t i = C - c; i < VW; i++) lane[i] = 0.0f;
    return vf_load(lane);
}

ALWAYS_INLINE float row_mean(const void *x, bool is_float, int64_t C)
{
    vf sum[2] = {{0}};
    int64_t c = 0;
    for (; c + 2 * VW <= C; c += 2 * VW)
        UNROLL for (int k = 0; k < 2; k++) sum[k] += either_load_at(x, is_float, c + k * VW, C);
    for (; c < C; c += VW) sum[0] += either_load_at(x, is_float, c, C);
    return vf_total(sum[0] + sum[1]) / (float)C;
}

ALWAYS_INLINE float row_variance(const void *x, bool is_float, float mean, int64_t C)
{
    vf sum[2] = {{0}};
    int64_t c = 0;
    for (; c + 2 * VW <= C; c += 2 * VW) UNROLL for (int k = 0; k < 2; k++)
        {
            const vf a = either_load_at(x, is_float, c + k * VW, C) - mean;
            sum[k] += a * a;
        }
    for (; c < C; c += VW) {
        const vf a = within(either_load_at(x, is_float, c, C) - mean, c, C);
        sum[0] += a * a;
    }
    return vf_total(sum[0] + sum[1]) / (float)C;
}

/* Row n of (N, C) in either form. */
ALWAYS_INLINE const void *row_at(const void *x, bool is_float, int64_t n, int64_t C)
{
    return (const char *)x + (size_t)(n * C) * (is_float ? sizeof(float) : sizeof(act));
}

ALWAYS_INLINE void layernorm_of(const fsfm_layernorm_args *args, bool is_float, int64_t first, int64_t rows)
{
    const int64_t C = args->C;
    const vf least = vf_set(args->relu ? 0.0f : -INFINITY);
    for (int64_t n = first; n < first + rows; n++) {
        const void *x = row_at(args->x, is_float, n, C);
        act *out = (act *)args->out + n * C;
        const float mean = args->is_known ? args->mean[n] : row_mean(x, is_float, C);
        const float rstd =
            args->is_known ? args->rstd[n] : 1.0f / sqrtf(row_variance(x, is_float, mean, C) + args->eps);
        for (int64_t c = 0; c < C; c += VW) {
            const vf y = (either_load_at(x, is_float, c, C) - mean) * rstd * vf_load_at(args->weight, c, C) +
                         vf_load_at(args->bias, c, C);
            act_store_at(out, vf_max(least, y), c, C);
        }
        if (args->is_known) continue;
        if (args->mean) args->mean[n] = mean;
        if (args->rstd) args->rstd[n] = rstd;
    }
}

void KERNEL(layernorm)(const fsfm_layernorm_args *args, int64_t first, int64_t rows)
{
    if (args->x_is_float)
        layernorm_of(args, true, first, rows);
    else
        layernorm_of(args, false, first, rows);
}

typedef struct {
    const void *x;
    const act *dout, *out; /* out NULL: no relu */
    const float *weight;
    float mean, rstd;
} row;

/* dout behind the relu's gate. */
ALWAYS_INLINE vf gated(const row *r, int64_t c, int64_t C)
{
    const vf dout = act_load_at(r->dout, c, C);
    return r->out ? (vf)((vi)dout & (vi)(act_load_at(r->out, c, C) > 0.0f)) : dout;
}

ALWAYS_INLINE vf normed(const row *r, bool is_float, int64_t c, int64_t C)
{
    return (either_load_at(r->x, is_float, c, C) - r->mean) * r->rstd;
}

/* Adds the row's shares of dweight and dbias; g = dout weight: sums of g and of g xhat. */
ALWAYS_INLINE void row_sums(const row *r, bool is_float, int64_t C, float *dweight, float *dbias,
                            float *sum_g, float *sum_gx)
{
    vf g_sum = {0}, gx_sum = {0};
    for (int64_t c = 0; c < C; c += VW) {
        const vf dout = gated(r, c, C), xhat = normed(r, is_float, c, C),
                 g = dout * vf_load_at(r->weight, c, C);
        vf_store_at(dweight, vf_load_at(dweight, c, C) + dout * xhat, c, C);
        vf_store_at(dbias, vf_load_at(dbias, c, C) + dout, c, C);
        g_sum += g;
        gx_sum += g * xhat;
    }
    *sum_g = vf_total(g_sum);
    *sum_gx = vf_total(gx_sum);
}

ALWAYS_INLINE void row_dx(const row *r, bool is_float, int64_t C, float mean_g, float mean_gx, act *dx,
                          bool adds)
{
    for (int64_t c = 0; c < C; c += VW) {
        const vf xhat = normed(r, is_float, c, C), g = gated(r, c, C) * vf_load_at(r->weight, c, C);
        const vf value = r->rstd * (g - mean_g - xhat * mean_gx);
        act_store_at(dx, adds ? act_load_at(dx, c, C) + value : value, c, C);
    }
}

ALWAYS_INLINE void backward_of(const fsfm_layernorm_backward_args *args, bool is_float, int64_t first,
                               int64_t rows, float *dweight, float *dbias)
{
    const int64_t C = args->C;
    for (int64_t n = first; n < first + rows; n++) {
        const row r = {.x = row_at(args->x, is_float, n, C),
                       .dout = (const act *)args->dout + n * C,
                       .out = args->relu ? (const act *)args->out + n * C : NULL,
                       .weight = args->weight,
                       .mean = args->mean[n],
                       .rstd = args->rstd[n]};
        float sum_g, sum_gx;
        row_sums(&r, is_float, C, dweight, dbias, &sum_g, &sum_gx);
        row_dx(&r, is_float, C, sum_g / (float)C, sum_gx / (float)C, (act *)args->dx + n * C, args->dx_adds);
    }
}

void KERNEL(layernorm_backward)(const fsfm_layernorm_backward_args *args, int64_t first, int64_t rows,
                                float *dweight, float *dbias)
{
    memset(dweight, 0, (size_t)args->C * sizeof *dweight);
    memset(dbias, 0, (size_t)args->C * sizeof *dbias);
    if (args->x_is_float)
        backward_of(args, true, first, rows, dweight, dbias);
    else
        backward_of(args, false, first, rows, dweight, dbias);
}
