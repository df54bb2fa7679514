/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/peak.c - how fast the GPU multiplies and moves memory at best. */
#include <math.h>

#include "core/device/cuda/cuda_device.h"

/* A measurement is the best of so many, each of a few calls in a row, timed by the GPU. */
enum { RUNS = 5, CALLS = 4 };

typedef struct {
    fsfm_cuda_device *cuda;
    cudaEvent_t began, ended;
} stopwatch;

typedef fsfm_status (*work_fn)(fsfm_cuda_device *cuda, const void *work, fsfm_error *err);

static fsfm_status calls(fsfm_cuda_device *cuda, work_fn fn, const void *work, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    for (int call = 0; st == FSFM_OK && call < CALLS; call++) st = fn(cuda, work, err);
    return st;
}

/* Seconds of one call. The first run warms up. */
static fsfm_status measure(const stopwatch *watch, work_fn fn, const void *work, double *best_s,
                           fsfm_error *err)
{
    fsfm_cuda_device *cuda = watch->cuda;
    *best_s = INFINITY;
    FSFM_TRY(calls(cuda, fn, work, err));
    for (int i = 0; i < RUNS; i++) {
        float ms = 0.0f;
        FSFM_TRY(fsfm_cuda_check(cuda, cudaEventRecord(watch->began, cuda->queue.stream), "timing", err));
        FSFM_TRY(calls(cuda, fn, work, err));
        FSFM_TRY(fsfm_cuda_check(cuda, cudaEventRecord(watch->ended, cuda->queue.stream), "timing", err));
        FSFM_TRY(fsfm_cuda_check(cuda, cudaEventSynchronize(watch->ended), "timing", err));
        FSFM_TRY(fsfm_cuda_check(cuda, cudaEventElapsedTime(&ms, watch->began, watch->ended), "timing", err));
        *best_s = fmin(*best_s, 1e-3 * (double)ms / CALLS);
    }
    return FSFM_OK;
}

static fsfm_status multiply(fsfm_cuda_device *cuda, const void *work, fsfm_error *err)
{
    return fsfm_cuda_library_product(cuda, work, err);
}

/* Ordinary small numbers: 0.0115 both as float and as bfloat16. */
static fsfm_status make_matrix(fsfm_cuda_device *cuda, int64_t elements, size_t element_bytes, void **out,
                               fsfm_error *err)
{
    const size_t size_bytes = (size_t)elements * element_bytes;
    FSFM_TRY(fsfm_cuda_alloc(&cuda->base, size_bytes, out, err));
    return fsfm_cuda_check(cuda, cudaMemsetAsync(*out, 0x3c, size_bytes, cuda->queue.stream), "zero", err);
}

/* Gradients of weights, whose left factor is the transposed one, are floats in any precision. */
static fsfm_status measure_product(const stopwatch *watch, const fsfm_product_shape *s, double *gflops,
                                   fsfm_error *err)
{
    fsfm_cuda_device *cuda = watch->cuda;
    const size_t act_bytes = cuda->base.act_bytes;
    double best_s = INFINITY;
    void *a = NULL, *b = NULL, *c = NULL;
    fsfm_status st = make_matrix(cuda, s->M * s->K, act_bytes, &a, err);
    if (st == FSFM_OK) st = make_matrix(cuda, s->K * s->N, act_bytes, &b, err);
    if (st == FSFM_OK)
        st = make_matrix(cuda, s->M * s->N, s->a_transposed ? sizeof(float) : act_bytes, &c, err);
    const fsfm_cuda_product_args args = {.M = s->M,
                                         .N = s->N,
                                         .K = s->K,
                                         .a = a,
                                         .b = b,
                                         .a_transposed = s->a_transposed,
                                         .b_transposed = s->b_transposed,
                                         .c = c,
                                         .c_is_float = s->a_transposed};
    if (st == FSFM_OK) st = measure(watch, multiply, &args, &best_s, err);
    *gflops = 2e-9 * (double)s->M * (double)s->N * (double)s->K / best_s;
    fsfm_cuda_free(&cuda->base, a);
    fsfm_cuda_free(&cuda->base, b);
    fsfm_cuda_free(&cuda->base, c);
    return st;
}

typedef struct {
    int64_t count;
    float *x, *y;
} addition;

static fsfm_status add(fsfm_cuda_device *cuda, const void *work, fsfm_error *err)
{
    const addition *w = work;
    return fsfm_cuda_check(cuda, fsfm_cuda_add(&cuda->queue, w->count, w->x, w->y), "add", err);
}

/* Each array is several times the last cache, so that nothing of one pass is there in the next. */
static fsfm_status measure_memory(const stopwatch *watch, double *gb_s, fsfm_error *err)
{
    const int64_t least = 1 << 20, wanted = 4 * watch->cuda->cache_bytes / (int64_t)sizeof(float);
    addition w = {.count = wanted > least ? wanted : least};
    fsfm_device *dev = &watch->cuda->base;
    double best_s = INFINITY;
    void *x = NULL, *y = NULL;
    fsfm_status st = make_matrix(watch->cuda, w.count, sizeof(float), &x, err);
    if (st == FSFM_OK) st = make_matrix(watch->cuda, w.count, sizeof(float), &y, err);
    w.x = x;
    w.y = y;
    if (st == FSFM_OK) st = measure(watch, add, &w, &best_s, err);
    *gb_s = 3e-9 * sizeof(float) * (double)w.count / best_s;
    fsfm_cuda_free(dev, x);
    fsfm_cuda_free(dev, y);
    return st;
}

fsfm_status fsfm_cuda_measure_peaks(fsfm_device *dev, const fsfm_product_shape *shapes, int count,
                                    fsfm_device_peaks *out, fsfm_error *err)
{
    stopwatch watch = {.cuda = fsfm_cuda(dev)};
    *out = (fsfm_device_peaks){0};
    fsfm_status st = fsfm_cuda_check(watch.cuda, cudaEventCreate(&watch.began), "timing", err);
    if (st == FSFM_OK) st = fsfm_cuda_check(watch.cuda, cudaEventCreate(&watch.ended), "timing", err);
    for (int i = 0; st == FSFM_OK && i < count; i++) {
        double gflops = 0.0;
        st = measure_product(&watch, &shapes[i], &gflops, err);
        out->gemm_gflops = fmax(out->gemm_gflops, gflops);
    }
    if (st == FSFM_OK) st = measure_memory(&watch, &out->memory_gb_s, err);
    if (watch.ended) cudaEventDestroy(watch.ended);
    if (watch.began) cudaEventDestroy(watch.began);
    return st;
}
