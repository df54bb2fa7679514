/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/layernorm.c - rows of (N, C). Mean first, then the variance about it: E[x^2] -
 * E[x]^2 cancels when |mean| >> std. Several rows go at once, so that some have work while
 * the sums of others come together. */
#include "core/device/cpu/kernels/act.h"
#include "core/device/cpu/kernels/table.h"

enum { ROWS = 4 };

/* How rows lie: as floats or in compute precision, in whole vectors or not. Constants, wherever it is used.
 */
typedef struct {
    bool is_float, is_whole;
} row_kind;

ALWAYS_INLINE vf x_at(const void *x, row_kind kind, int64_t c, int64_t C)
{
    if (!kind.is_whole) return either_load_at(x, kind.is_float, c, C);
    return kind.is_float ? vf_load((const float *)x + c) : act_load((const act *)x + c);
}

ALWAYS_INLINE vf floats_at(const float *x, row_kind kind, int64_t c, int64_t C)
{
    return kind.is_whole ? vf_load(x + c) : vf_load_at(x, c, C);
}

ALWAYS_INLINE vf acts_at(const act *x, row_kind kind, int64_t c, int64_t C)
{
    return kind.is_whole ? act_load(x + c) : act_load_at(x, c, C);
}

ALWAYS_INLINE void put_acts(act *x, row_kind kind, vf value, int64_t c, int64_t C)
{
    if (kind.is_whole)
        act_store(x + c, value);
    else
        act_store_at(x, value, c, C);
}

ALWAYS_INLINE void put_floats(float *x, row_kind kind, vf value, int64_t c, int64_t C)
{
    if (kind.is_whole)
        vf_store(x + c, value);
    else
        vf_store_at(x, value, c, C);
}

/* Lanes behind the end of the row count as 0. */
ALWAYS_INLINE vf within(vf x, row_kind kind, int64_t c, int64_t C)
{
    if (kind.is_whole || c + VW <= C) return x;
    float lane[VW];
    vf_store(lane, x);
    for (int64_t i = C - c; i < VW; i++) lane[i] = 0.0f;
    return vf_load(lane);
}

/* Row n of (N, C) in either form. */
ALWAYS_INLINE const void *row_at(const void *x, bool is_float, int64_t n, int64_t C)
{
    return (const char *)x + (size_t)(n * C) * (is_float ? sizeof(float) : sizeof(act));
}

ALWAYS_INLINE void row_means(const int rows, const void *const *x, row_kind kind, int64_t C, float *mean)
{
    vf sum[ROWS];
    UNROLL for (int i = 0; i < rows; i++) sum[i] = (vf){0};
    for (int64_t c = 0; c < C; c += VW)
        UNROLL for (int i = 0; i < rows; i++) sum[i] += x_at(x[i], kind, c, C);
    UNROLL for (int i = 0; i < rows; i++) mean[i] = vf_total(sum[i]) / (float)C;
}

ALWAYS_INLINE void row_variances(const int rows, const void *const *x, row_kind kind, int64_t C,
                                 const float *mean, float *variance)
{
    vf sum[ROWS];
    UNROLL for (int i = 0; i < rows; i++) sum[i] = (vf){0};
    for (int64_t c = 0; c < C; c += VW) UNROLL for (int i = 0; i < rows; i++)
        {
            const vf a = within(x_at(x[i], kind, c, C) - mean[i], kind, c, C);
            sum[i] += a * a;
        }
    UNROLL for (int i = 0; i < rows; i++) variance[i] = vf_total(sum[i]) / (float)C;
}

ALWAYS_INLINE void normalise_rows(const int rows, const fsfm_layernorm_args *args, row_kind kind, int64_t n)
{
    const int64_t C = args->C;
    const vf least = vf_set(args->relu ? 0.0f : -INFINITY);
    const void *x[ROWS];
    float mean[ROWS], rstd[ROWS];
    UNROLL for (int i = 0; i < rows; i++)
    {
        x[i] = row_at(args->x, kind.is_float, n + i, C);
        if (args->is_known) mean[i] = args->mean[n + i], rstd[i] = args->rstd[n + i];
    }
    if (!args->is_known) {
        row_means(rows, x, kind, C, mean);
        row_variances(rows, x, kind, C, mean, rstd);
        UNROLL for (int i = 0; i < rows; i++)
        {
            rstd[i] = 1.0f / sqrtf(rstd[i] + args->eps);
            if (args->mean) args->mean[n + i] = mean[i];
            if (args->rstd) args->rstd[n + i] = rstd[i];
        }
    }
    for (int64_t c = 0; c < C; c += VW) {
        const vf weight = floats_at(args->weight, kind, c, C), bias = floats_at(args->bias, kind, c, C);
        UNROLL for (int i = 0; i < rows; i++)
        {
            const vf y = (x_at(x[i], kind, c, C) - mean[i]) * rstd[i] * weight + bias;
            put_acts((act *)args->out + (n + i) * C, kind, vf_max(least, y), c, C);
        }
    }
}

ALWAYS_INLINE void layernorm_of(const fsfm_layernorm_args *args, row_kind kind, int64_t first, int64_t rows)
{
    const int64_t end = first + rows;
    int64_t n = first;
    for (; n + ROWS <= end; n += ROWS) normalise_rows(ROWS, args, kind, n);
    for (; n < end; n++) normalise_rows(1, args, kind, n);
}

void KERNEL(layernorm)(const fsfm_layernorm_args *args, int64_t first, int64_t rows)
{
    const bool is_whole = args->C % VW == 0;
    if (args->x_is_float && is_whole)
        layernorm_of(args, (row_kind){true, true}, first, rows);
    else if (args->x_is_float)
        layernorm_of(args, (row_kind){true, false}, first, rows);
    else if (is_whole)
        layernorm_of(args, (row_kind){false, true}, first, rows);
    else
        layernorm_of(args, (row_kind){false, false}, first, rows);
}

typedef struct {
    const void *x;
    const act *dout, *out; /* out NULL: no relu */
    const float *weight;
    float mean, rstd;
} row;

/* dout behind the relu's gate. */
ALWAYS_INLINE vf gated(const row *r, row_kind kind, int64_t c, int64_t C)
{
    const vf dout = acts_at(r->dout, kind, c, C);
    return r->out ? (vf)((vi)dout & (vi)(acts_at(r->out, kind, c, C) > 0.0f)) : dout;
}

ALWAYS_INLINE vf normed(const row *r, row_kind kind, int64_t c, int64_t C)
{
    return (x_at(r->x, kind, c, C) - r->mean) * r->rstd;
}

/* Adds the row's shares of dweight and dbias; g = dout weight: sums of g and of g xhat. */
ALWAYS_INLINE void row_sums(const row *r, row_kind kind, int64_t C, float *dweight, float *dbias,
                            float *sum_g, float *sum_gx)
{
    vf g_sum = {0}, gx_sum = {0};
    for (int64_t c = 0; c < C; c += VW) {
        const vf dout = gated(r, kind, c, C), xhat = normed(r, kind, c, C),
                 g = dout * floats_at(r->weight, kind, c, C);
        put_floats(dweight, kind, floats_at(dweight, kind, c, C) + dout * xhat, c, C);
        put_floats(dbias, kind, floats_at(dbias, kind, c, C) + dout, c, C);
        g_sum += g;
        gx_sum += g * xhat;
    }
    *sum_g = vf_total(g_sum);
    *sum_gx = vf_total(gx_sum);
}

ALWAYS_INLINE void row_dx(const row *r, row_kind kind, int64_t C, float mean_g, float mean_gx, act *dx,
                          bool adds)
{
    for (int64_t c = 0; c < C; c += VW) {
        const vf xhat = normed(r, kind, c, C), g = gated(r, kind, c, C) * floats_at(r->weight, kind, c, C);
        const vf value = r->rstd * (g - mean_g - xhat * mean_gx);
        put_acts(dx, kind, adds ? acts_at(dx, kind, c, C) + value : value, c, C);
    }
}

ALWAYS_INLINE void backward_of(const fsfm_layernorm_backward_args *args, row_kind kind, int64_t first,
                               int64_t rows, float *dweight, float *dbias)
{
    const int64_t C = args->C;
    for (int64_t n = first; n < first + rows; n++) {
        const row r = {.x = row_at(args->x, kind.is_float, n, C),
                       .dout = (const act *)args->dout + n * C,
                       .out = args->relu ? (const act *)args->out + n * C : NULL,
                       .weight = args->weight,
                       .mean = args->mean[n],
                       .rstd = args->rstd[n]};
        float sum_g, sum_gx;
        row_sums(&r, kind, C, dweight, dbias, &sum_g, &sum_gx);
        row_dx(&r, kind, C, sum_g / (float)C, sum_gx / (float)C, (act *)args->dx + n * C, args->dx_adds);
    }
}

void KERNEL(layernorm_backward)(const fsfm_layernorm_backward_args *args, int64_t first, int64_t rows,
                                float *dweight, float *dbias)
{
    memset(dweight, 0, (size_t)args->C * sizeof *dweight);
    memset(dbias, 0, (size_t)args->C * sizeof *dbias);
    const bool is_whole = args->C % VW == 0;
    if (args->x_is_float && is_whole)
        backward_of(args, (row_kind){true, true}, first, rows, dweight, dbias);
    else if (args->x_is_float)
        backward_of(args, (row_kind){true, false}, first, rows, dweight, dbias);
    else if (is_whole)
        backward_of(args, (row_kind){false, true}, first, rows, dweight, dbias);
    else
        backward_of(args, (row_kind){false, false}, first, rows, dweight, dbias);
}
