/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/optimizer.c - passes over all parameters. */
#include "core/device/cpu/cpu_device.h"

enum { PIECE = 16384 };

typedef struct {
    fsfm_cpu_device *cpu;
    const fsfm_adamw_args *adamw;
    int64_t count;
    const float *x;
    void *matrix;
    float *values;
    fsfm_act *out;
} optimizer_work;

static int64_t piece_end(const optimizer_work *w, int64_t piece)
{
    return piece * PIECE + fsfm_cpu_piece_size(w->count, PIECE, piece);
}

static void adamw_piece(void *context, int64_t piece, int thread)
{
    (void)thread;
    const optimizer_work *w = context;
    w->cpu->kernels->adamw(w->adamw, piece);
}

fsfm_status fsfm_cpu_adamw(fsfm_device *dev, const fsfm_adamw_args *args, fsfm_error *err)
{
    (void)err;
    optimizer_work w = {.cpu = fsfm_cpu(dev), .adamw = args};
    fsfm_thread_pool_run(w.cpu->pool, args->count, adamw_piece, &w);
    return FSFM_OK;
}

static void set_matrix_piece(void *context, int64_t piece, int thread)
{
    (void)thread;
    const optimizer_work *w = context;
    w->cpu->kernels->set_matrix(w->count, piece * PIECE, piece_end(w, piece), w->matrix, w->x);
}

fsfm_status fsfm_cpu_set_matrix(fsfm_device *dev, int64_t count, void *matrix_dev, const float *values_host,
                                fsfm_error *err)
{
    (void)err;
    optimizer_work w = {.cpu = fsfm_cpu(dev), .count = count, .matrix = matrix_dev, .x = values_host};
    fsfm_thread_pool_run(w.cpu->pool, fsfm_cpu_pieces(count, PIECE), set_matrix_piece, &w);
    return FSFM_OK;
}

static void get_matrix_piece(void *context, int64_t piece, int thread)
{
    (void)thread;
    const optimizer_work *w = context;
    w->cpu->kernels->get_matrix(w->count, piece * PIECE, piece_end(w, piece), w->matrix, w->values);
}

fsfm_status fsfm_cpu_get_matrix(fsfm_device *dev, int64_t count, const void *matrix_dev, float *values_host,
                                fsfm_error *err)
{
    (void)err;
    optimizer_work w = {.cpu = fsfm_cpu(dev),
                        .count = count,
                        .matrix = fsfm_cpu_at(fsfm_cpu(dev), matrix_dev, 0),
                        .values = values_host};
    fsfm_thread_pool_run(w.cpu->pool, fsfm_cpu_pieces(count, PIECE), get_matrix_piece, &w);
    return FSFM_OK;
}

static void matrix_rest_piece(void *context, int64_t piece, int thread)
{
    (void)thread;
    const optimizer_work *w = context;
    w->cpu->kernels->matrix_rest(w->count, piece * PIECE, piece_end(w, piece), w->matrix, w->out);
}

fsfm_status fsfm_cpu_matrix_rest(fsfm_device *dev, int64_t count, const void *matrix, fsfm_act *out,
                                 fsfm_error *err)
{
    (void)err;
    optimizer_work w = {
        .cpu = fsfm_cpu(dev), .count = count, .matrix = fsfm_cpu_at(fsfm_cpu(dev), matrix, 0), .out = out};
    fsfm_thread_pool_run(w.cpu->pool, fsfm_cpu_pieces(count, PIECE), matrix_rest_piece, &w);
    return FSFM_OK;
}

static void to_act_piece(void *context, int64_t piece, int thread)
{
    (void)thread;
    const optimizer_work *w = context;
    const int64_t first = piece * PIECE;
    w->cpu->kernels->to_act(piece_end(w, piece) - first, w->x + first, fsfm_cpu_at(w->cpu, w->out, first));
}

fsfm_status fsfm_cpu_to_act(fsfm_device *dev, int64_t count, const float *x, fsfm_act *out, fsfm_error *err)
{
    (void)err;
    optimizer_work w = {.cpu = fsfm_cpu(dev), .count = count, .x = x, .out = out};
    fsfm_thread_pool_run(w.cpu->pool, fsfm_cpu_pieces(count, PIECE), to_act_piece, &w);
    return FSFM_OK;
}

fsfm_status fsfm_cpu_add_act(fsfm_device *dev, int64_t count, const fsfm_act *x, float *y, fsfm_error *err)
{
    (void)err;
    fsfm_cpu(dev)->kernels->column_sums(1, count, count, x, y);
    return FSFM_OK;
}

static void norm_piece(void *context, int64_t piece, int thread)
{
    (void)thread;
    const optimizer_work *w = context;
    const float *x = w->x + piece * PIECE;
    ((double *)w->cpu->shared)[piece] = w->cpu->kernels->dot(piece_end(w, piece) - piece * PIECE, x, x);
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
