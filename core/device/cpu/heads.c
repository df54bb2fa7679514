/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/heads.c - representations on the unit sphere and their losses. One piece a row; a loss has
 * one part a row, added in order. */
#include <math.h>

#include "core/device/cpu/cpu_device.h"

typedef struct {
    fsfm_cpu_device *cpu;
    const void *args;
} head_work;

static void normalize_piece(void *context, int64_t n, int thread)
{
    (void)thread;
    const head_work *w = context;
    const fsfm_normalize_args *a = w->args;
    float *out = a->out + n * a->C;
    w->cpu->kernels->to_float(a->C, fsfm_cpu_at(w->cpu, a->x, n * a->C), out);
    const double length = sqrt(w->cpu->kernels->dot(a->C, out, out));
    const float norm = length < 1e-12 ? 1e-12f : (float)length;
    a->norm[n] = norm;
    for (int64_t c = 0; c < a->C; c++) out[c] /= norm;
}

fsfm_status fsfm_cpu_normalize(fsfm_device *dev, const fsfm_normalize_args *args, fsfm_error *err)
{
    (void)err;
    head_work w = {fsfm_cpu(dev), args};
    fsfm_thread_pool_run(w.cpu->pool, args->N, normalize_piece, &w);
    return FSFM_OK;
}

static void normalize_backward_piece(void *context, int64_t n, int thread)
{
    const head_work *w = context;
    const fsfm_normalize_backward_args *a = w->args;
    const float *out = a->out + n * a->C, *dout = a->dout + n * a->C, norm = a->norm[n];
    float *dx = w->cpu->scratch[thread];
    /* At the floor the denominator is constant. */
    const float along = norm > 1e-12f ? (float)w->cpu->kernels->dot(a->C, out, dout) : 0.0f;
    for (int64_t c = 0; c < a->C; c++) dx[c] = (dout[c] - along * out[c]) / norm;
    w->cpu->kernels->to_act(a->C, dx, fsfm_cpu_at(w->cpu, a->dx, n * a->C));
}

fsfm_status fsfm_cpu_normalize_backward(fsfm_device *dev, const fsfm_normalize_backward_args *args,
                                        fsfm_error *err)
{
    head_work w = {fsfm_cpu(dev), args};
    FSFM_TRY(fsfm_cpu_reserve_threads(w.cpu, (size_t)args->C * sizeof(float), err));
    fsfm_thread_pool_run(w.cpu->pool, args->N, normalize_backward_piece, &w);
    return FSFM_OK;
}

static void add_in_order(const double *part, int64_t count, double *sum)
{
    double total = 0.0;
    for (int64_t i = 0; i < count; i++) total += part[i];
    *sum += total;
}

static void dot_loss_piece(void *context, int64_t n, int thread)
{
    (void)thread;
    const head_work *w = context;
    const fsfm_dot_loss_args *a = w->args;
    const float *q = a->q + n * a->C, *k = a->k + n * a->C;
    ((double *)w->cpu->shared)[n] = a->offset + a->slope * w->cpu->kernels->dot(a->C, q, k);
    for (int64_t c = 0; a->dq && c < a->C; c++) a->dq[n * a->C + c] = a->dslope * k[c];
}

fsfm_status fsfm_cpu_dot_loss(fsfm_device *dev, const fsfm_dot_loss_args *args, fsfm_error *err)
{
    head_work w = {fsfm_cpu(dev), args};
    FSFM_TRY(fsfm_cpu_reserve_shared(w.cpu, (size_t)args->N * sizeof(double), err));
    fsfm_thread_pool_run(w.cpu->pool, args->N, dot_loss_piece, &w);
    add_in_order(w.cpu->shared, args->N, args->sum);
    return FSFM_OK;
}

static void infonce_piece(void *context, int64_t n, int thread)
{
    (void)thread;
    const head_work *w = context;
    const fsfm_infonce_args *a = w->args;
    const float *q = a->q + n * a->C;
    float *logits = a->logits + n * a->M, largest = -INFINITY;
    for (int64_t j = 0; j < a->M; j++) {
        logits[j] = (float)(w->cpu->kernels->dot(a->C, q, a->keys + j * a->C) / (double)a->temperature);
        if (!(logits[j] <= largest)) largest = logits[j]; /* so that NaN comes through */
    }
    double total = 0.0;
    for (int64_t j = 0; j < a->M; j++) total += exp((double)logits[j] - (double)largest);
    /* cppcheck-suppress invalidFunctionArg ; there is a key at least, so total >= 1 */
    const double log_total = (double)largest + log(total);
    const int64_t own = *a->first + n;
    ((double *)w->cpu->shared)[n] = log_total - (double)logits[own];
    if (!a->dq) return;
    float *dq = a->dq + n * a->C;
    for (int64_t c = 0; c < a->C; c++) dq[c] = 0.0f;
    for (int64_t j = 0; j < a->M; j++) {
        const double p = exp((double)logits[j] - log_total) - (j == own ? 1.0 : 0.0);
        w->cpu->kernels->axpy(a->C, (float)(p * (double)a->dscale / (double)a->temperature),
                              a->keys + j * a->C, dq);
    }
}

fsfm_status fsfm_cpu_infonce(fsfm_device *dev, const fsfm_infonce_args *args, fsfm_error *err)
{
    head_work w = {fsfm_cpu(dev), args};
    FSFM_TRY(fsfm_cpu_reserve_shared(w.cpu, (size_t)args->N * sizeof(double), err));
    fsfm_thread_pool_run(w.cpu->pool, args->N, infonce_piece, &w);
    add_in_order(w.cpu->shared, args->N, args->sum);
    return FSFM_OK;
}
