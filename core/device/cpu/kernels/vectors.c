/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/vectors.c - loops over plain vectors: conversions and sums. */
#include "core/device/cpu/kernels/act.h"
#include "core/device/cpu/kernels/table.h"

void KERNEL(to_act)(int64_t count, const float *x, fsfm_act *out)
{
    for (int64_t i = 0; i < count; i += VW) act_store_at(out, vf_load_at(x, i, count), i, count);
}

void KERNEL(to_float)(int64_t count, const fsfm_act *x, float *out)
{
    for (int64_t i = 0; i < count; i += VW) vf_store_at(out, act_load_at(x, i, count), i, count);
}

void KERNEL(add_acts)(int64_t count, const fsfm_act *x, const fsfm_act *y, fsfm_act *out)
{
    for (int64_t i = 0; i < count; i += VW)
        act_store_at(out, act_load_at(x, i, count) + act_load_at(y, i, count), i, count);
}

void KERNEL(add_floats)(int64_t count, const fsfm_act *x, const float *y, fsfm_act *out)
{
    for (int64_t i = 0; i < count; i += VW)
        act_store_at(out, act_load_at(x, i, count) + vf_load_at(y, i, count), i, count);
}

void KERNEL(axpy_act)(int64_t count, float a, const fsfm_act *x, fsfm_act *y)
{
    for (int64_t i = 0; i < count; i += VW)
        act_store_at(y, act_load_at(y, i, count) + a * act_load_at(x, i, count), i, count);
}

void KERNEL(sum)(int64_t count, const float *x, const float *y, float *out)
{
    int64_t i = 0;
    for (; i + VW <= count; i += VW) vf_store(out + i, vf_load(x + i) + vf_load(y + i));
    for (; i < count; i++) out[i] = x[i] + y[i];
}

void KERNEL(axpy)(int64_t count, float a, const float *x, float *y)
{
    int64_t i = 0;
    for (; i + VW <= count; i += VW) vf_store(y + i, vf_load(y + i) + a * vf_load(x + i));
    for (; i < count; i++) y[i] += a * x[i];
}

/* Four vectors of columns at a time go down a block of rows; blocks are summed before they join sums, which
 * keeps the rounding error of long columns small. */
typedef vf (*load_fn)(const void *row, int64_t c, int64_t C);

static inline vf load_act(const void *row, int64_t c, int64_t C)
{
    return act_load_at(row, c, C);
}

static inline vf load_float(const void *row, int64_t c, int64_t C)
{
    return vf_load_at(row, c, C);
}

/* stride_bytes: from row to row. A few rows at a time, each read on and on, as processors fetch ahead. */
ALWAYS_INLINE void column_sums_of(load_fn load, int64_t rows, int64_t C, int64_t stride_bytes, const void *x,
                                  float *sums)
{
    enum { ROWS = 8 };
    const char *row = x;
    for (; rows >= ROWS; rows -= ROWS, row += ROWS * stride_bytes)
        for (int64_t c = 0; c < C; c += VW) {
            vf sum[ROWS];
            UNROLL for (int k = 0; k < ROWS; k++) sum[k] = load(row + k * stride_bytes, c, C);
            UNROLL for (int half = ROWS / 2; half > 0; half /= 2) UNROLL for (int k = 0; k < half; k++)
                sum[k] += sum[k + half];
            vf_store_at(sums, vf_load_at(sums, c, C) + sum[0], c, C);
        }
    for (; rows > 0; rows--, row += stride_bytes)
        for (int64_t c = 0; c < C; c += VW) vf_store_at(sums, vf_load_at(sums, c, C) + load(row, c, C), c, C);
}

void KERNEL(column_sums)(int64_t rows, int64_t C, int64_t stride, const fsfm_act *x, float *sums)
{
    column_sums_of(load_act, rows, C, stride * (int64_t)sizeof(act), x, sums);
}

void KERNEL(column_sums_float)(int64_t rows, int64_t C, int64_t stride, const float *x, float *sums)
{
    column_sums_of(load_float, rows, C, stride * (int64_t)sizeof *x, x, sums);
}

double KERNEL(dot)(int64_t count, const float *x, const float *y)
{
    vd sum[2] = {{0}};
    int64_t i = 0;
    for (; i + VW <= count; i += VW) UNROLL for (int k = 0; k < 2; k++)
        {
            const vhalf a = *(const vhalf *)(x + i + k * (VW / 2)),
                        b = *(const vhalf *)(y + i + k * (VW / 2));
            sum[k] += __builtin_convertvector(a, vd) * __builtin_convertvector(b, vd);
        }
    double total = vd_total(sum[0] + sum[1]);
    for (; i < count; i++) total += (double)x[i] * (double)y[i];
    return total;
}
