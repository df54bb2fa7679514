/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/optimizer.c - passes over all parameters. */
#include "core/device/cpu/cpu_device.h"

enum { PIECE = 16384 };

typedef struct {
    fsfm_cpu_device *cpu;
    int64_t count;
    const fsfm_adamw_args *adamw;
    double momentum;
    const float *x;
    float *y;
} optimizer_work;

static void adamw_piece(void *context, int64_t piece, int thread)
{
    (void)thread;
    const optimizer_work *w = context;
    w->cpu->kernels->adamw(w->adamw, piece * PIECE, fsfm_cpu_piece_size(w->count, PIECE, piece));
}

fsfm_status fsfm_cpu_adamw(fsfm_device *dev, const fsfm_adamw_args *args, fsfm_error *err)
{
    (void)err;
    optimizer_work w = {.cpu = fsfm_cpu(dev), .count = args->count, .adamw = args};
    fsfm_thread_pool_run(w.cpu->pool, fsfm_cpu_pieces(w.count, PIECE), adamw_piece, &w);
    return FSFM_OK;
}

static void ema_piece(void *context, int64_t piece, int thread)
{
    (void)thread;
    const optimizer_work *w = context;
    const int64_t first = piece * PIECE;
    w->cpu->kernels->ema(fsfm_cpu_piece_size(w->count, PIECE, piece), w->momentum, w->x + first,
                         w->y + first);
}

fsfm_status fsfm_cpu_ema(fsfm_device *dev, int64_t count, double momentum, const float *online, float *target,
                         fsfm_error *err)
{
    (void)err;
    optimizer_work w = {.cpu = fsfm_cpu(dev), .count = count, .momentum = momentum, .x = online, .y = target};
    fsfm_thread_pool_run(w.cpu->pool, fsfm_cpu_pieces(count, PIECE), ema_piece, &w);
    return FSFM_OK;
}

static void norm_piece(void *context, int64_t piece, int thread)
{
    (void)thread;
    const optimizer_work *w = context;
    const float *x = w->x + piece * PIECE;
    ((double *)w->cpu->shared)[piece] =
        w->cpu->kernels->dot(fsfm_cpu_piece_size(w->count, PIECE, piece), x, x);
}

fsfm_status fsfm_cpu_norm_squared(fsfm_device *dev, int64_t count, const float *x, double *sum_dev,
                                  fsfm_error *err)
{
    optimizer_work w = {.cpu = fsfm_cpu(dev), .count = count, .x = x};
    const int64_t pieces = fsfm_cpu_pieces(count, PIECE);
    FSFM_TRY(fsfm_cpu_reserve_shared(w.cpu, (size_t)pieces * sizeof(double), err));
    fsfm_thread_pool_run(w.cpu->pool, pieces, norm_piece, &w);
    double total = 0.0;
    for (int64_t piece = 0; piece < pieces; piece++) total += ((const double *)w.cpu->shared)[piece];
    *sum_dev = total;
    return FSFM_OK;
}
