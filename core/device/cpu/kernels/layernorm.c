/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/layernorm.c - rows of (N, C). Mean first, then the variance about it: E[x^2] -
 * E[x]^2 cancels when |mean| >> std. */
#include "core/device/cpu/kernels/table.h"

static float row_mean(const float *x, int64_t C)
{
    vf sum[2] = {{0}};
    int64_t c = 0;
    for (; c + 2 * VW <= C; c += 2 * VW) {
        sum[0] += vf_load(x + c);
        sum[1] += vf_load(x + c + VW);
    }
    float total = vf_total(sum[0] + sum[1]);
    for (; c < C; c++) total += x[c];
    return total / (float)C;
}

static float row_variance(const float *x, float mean, int64_t C)
{
    vf sum[2] = {{0}};
    int64_t c = 0;
    for (; c + 2 * VW <= C; c += 2 * VW) {
        const vf a = vf_load(x + c) - mean, b = vf_load(x + c + VW) - mean;
        sum[0] += a * a;
        sum[1] += b * b;
    }
    float total = vf_total(sum[0] + sum[1]);
    for (; c < C; c++) total += (x[c] - mean) * (x[c] - mean);
    return total / (float)C;
}

void KERNEL(layernorm)(const fsfm_layernorm_args *args, int64_t first, int64_t rows)
{
    const int64_t C = args->C;
    for (int64_t n = first; n < first + rows; n++) {
        const float *x = (const float *)args->x + n * C;
        float *out = (float *)args->out + n * C;
        const float mean = row_mean(x, C), rstd = 1.0f / sqrtf(row_variance(x, mean, C) + args->eps);
        const vf least = vf_set(args->relu ? 0.0f : -INFINITY);
        int64_t c = 0;
        for (; c + VW <= C; c += VW) {
            const vf y = (vf_load(x + c) - mean) * rstd * vf_load(args->weight + c) + vf_load(args->bias + c);
            vf_store(out + c, vf_max(least, y));
        }
        for (; c < C; c++) {
            const float y = (x[c] - mean) * rstd * args->weight[c] + args->bias[c];
            out[c] = args->relu && y < 0.0f ? 0.0f : y;
        }
        if (args->mean) args->mean[n] = mean;
        if (args->rstd) args->rstd[n] = rstd;
    }
}

typedef struct {
    const float *x, *dout, *out, *weight; /* out NULL: no relu */
    float mean, rstd;
} row;

/* dout behind the relu's gate. */
ALWAYS_INLINE vf gated(const row *r, int64_t c)
{
    const vf dout = vf_load(r->dout + c);
    return r->out ? (vf)((vi)dout & (vi)(vf_load(r->out + c) > 0.0f)) : dout;
}

ALWAYS_INLINE float gated_one(const row *r, int64_t c)
{
    return !r->out || r->out[c] > 0.0f ? r->dout[c] : 0.0f;
}

/* Adds the row's shares of dweight and dbias; g = dout weight: sums of g and of g xhat. */
ALWAYS_INLINE void row_sums(const row *r, int64_t C, float *dweight, float *dbias, float *sum_g,
                            float *sum_gx)
{
    vf g_sum = {0}, gx_sum = {0};
    int64_t c = 0;
    for (; c + VW <= C; c += VW) {
        const vf dout = gated(r, c), xhat = (vf_load(r->x + c) - r->mean) * r->rstd,
                 g = dout * vf_load(r->weight + c);
        vf_store(dweight + c, vf_load(dweight + c) + dout * xhat);
        vf_store(dbias + c, vf_load(dbias + c) + dout);
        g_sum += g;
        gx_sum += g * xhat;
    }
    *sum_g = vf_total(g_sum);
    *sum_gx = vf_total(gx_sum);
    for (; c < C; c++) {
        const float dout = gated_one(r, c), xhat = (r->x[c] - r->mean) * r->rstd;
        dweight[c] += dout * xhat;
        dbias[c] += dout;
        *sum_g += dout * r->weight[c];
        *sum_gx += dout * r->weight[c] * xhat;
    }
}

ALWAYS_INLINE void row_dx(const row *r, int64_t C, float mean_g, float mean_gx, float *dx, bool adds)
{
    int64_t c = 0;
    for (; c + VW <= C; c += VW) {
        const vf xhat = (vf_load(r->x + c) - r->mean) * r->rstd, g = gated(r, c) * vf_load(r->weight + c);
        const vf value = r->rstd * (g - mean_g - xhat * mean_gx);
        vf_store(dx + c, adds ? vf_load(dx + c) + value : value);
    }
    for (; c < C; c++) {
        const float xhat = (r->x[c] - r->mean) * r->rstd, g = gated_one(r, c) * r->weight[c];
        const float value = r->rstd * (g - mean_g - xhat * mean_gx);
        dx[c] = adds ? dx[c] + value : value;
    }
}

void KERNEL(layernorm_backward)(const fsfm_layernorm_backward_args *args, int64_t first, int64_t rows,
                                float *dweight, float *dbias)
{
    const int64_t C = args->C;
    memset(dweight, 0, (size_t)C * sizeof *dweight);
    memset(dbias, 0, (size_t)C * sizeof *dbias);
    for (int64_t n = first; n < first + rows; n++) {
        const row r = {.x = (const float *)args->x + n * C,
                       .dout = (const float *)args->dout + n * C,
                       .out = args->relu ? (const float *)args->out + n * C : NULL,
                       .weight = args->weight,
                       .mean = args->mean[n],
                       .rstd = args->rstd[n]};
        float sum_g, sum_gx;
        row_sums(&r, C, dweight, dbias, &sum_g, &sum_gx);
        row_dx(&r, C, sum_g / (float)C, sum_gx / (float)C, (float *)args->dx + n * C, args->dx_adds);
    }
}
