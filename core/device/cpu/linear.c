/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/cpu/cpu_device.h"
#include "core/device/cpu/gemm.h"

enum { ADD_PIECE = 16384, BIAS_COLUMNS = 512 };

typedef struct {
    fsfm_cpu_device *cpu;
    fsfm_cpu_grid grid;
} linear_work;

static void linear_piece(void *context, int64_t piece, int thread)
{
    linear_work *w = context;
    fsfm_cpu_grid_run(w->cpu, &w->grid, piece, thread);
}

typedef struct {
    const fsfm_cpu_kernels *kernels;
    int64_t count;
    const float *x;
    float *out;
} add_work;

static void add_piece(void *context, int64_t piece, int thread)
{
    (void)thread;
    const add_work *w = context;
    const int64_t first = piece * ADD_PIECE;
    w->kernels->sum(fsfm_cpu_piece_size(w->count, ADD_PIECE, piece), w->out + first, w->x + first,
                    w->out + first);
}

fsfm_status fsfm_cpu_add(fsfm_device *dev, int64_t count, const float *x, float *y, fsfm_error *err)
{
    (void)err;
    add_work w = {fsfm_cpu(dev)->kernels, count, x, y};
    fsfm_thread_pool_run(fsfm_cpu(dev)->pool, fsfm_cpu_pieces(count, ADD_PIECE), add_piece, &w);
    return FSFM_OK;
}

fsfm_status fsfm_cpu_linear(fsfm_device *dev, const fsfm_linear_args *args, fsfm_error *err)
{
    fsfm_cpu_device *cpu = fsfm_cpu(dev);
    if (args->N == 0) return FSFM_OK;
    linear_work w = {.cpu = cpu};
    const bool in_place = args->residual && args->residual == args->out;
    const fsfm_cpu_product product = {.M = args->N,
                                      .N = args->Cout,
                                      .K = args->Cin,
                                      .a = args->x,
                                      .b = args->weight,
                                      .b_transposed = true,
                                      .bias = args->bias,
                                      .adds = in_place,
                                      .c = args->out};
    FSFM_TRY(fsfm_cpu_grid_prepare(cpu, &product, &w.grid, err));
    fsfm_thread_pool_run(cpu->pool, fsfm_cpu_grid_pieces(&w.grid), linear_piece, &w);
    FSFM_TRY(fsfm_cpu_grid_status(cpu, err));
    if (args->residual && !in_place)
        return fsfm_cpu_add(dev, args->N * args->Cout, args->residual, args->out, err);
    return FSFM_OK;
}

/* The three gradients in one run, so that no thread waits between them. */
typedef struct {
    fsfm_cpu_device *cpu;
    const fsfm_linear_backward_args *args;
    fsfm_cpu_grid dweight, dx;
    int64_t dweight_pieces, dx_pieces, dbias_pieces;
} backward_work;

static void backward_piece(void *context, int64_t piece, int thread)
{
    const backward_work *w = context;
    const fsfm_linear_backward_args *args = w->args;
    if (piece < w->dweight_pieces) {
        fsfm_cpu_grid_run(w->cpu, &w->dweight, piece, thread);
    } else if (piece < w->dweight_pieces + w->dx_pieces) {
        fsfm_cpu_grid_run(w->cpu, &w->dx, piece - w->dweight_pieces, thread);
    } else {
        piece -= w->dweight_pieces + w->dx_pieces;
        const int64_t first = piece * BIAS_COLUMNS,
                      columns = fsfm_cpu_piece_size(args->Cout, BIAS_COLUMNS, piece);
        w->cpu->kernels->column_sums(args->N, columns, args->Cout, (const float *)args->dout + first,
                                     args->dbias + first);
    }
}

fsfm_status fsfm_cpu_linear_backward(fsfm_device *dev, const fsfm_linear_backward_args *args, fsfm_error *err)
{
    fsfm_cpu_device *cpu = fsfm_cpu(dev);
    backward_work w = {.cpu = cpu, .args = args};
    if (args->N == 0) return FSFM_OK;
    if (args->dweight) {
        const fsfm_cpu_product product = {.M = args->Cout,
                                          .N = args->Cin,
                                          .K = args->N,
                                          .a = args->dout,
                                          .a_transposed = true,
                                          .b = args->x,
                                          .adds = true,
                                          .c = args->dweight};
        FSFM_TRY(fsfm_cpu_grid_prepare(cpu, &product, &w.dweight, err));
        w.dweight_pieces = fsfm_cpu_grid_pieces(&w.dweight);
    }
    if (args->dx) {
        const fsfm_cpu_product product = {.M = args->N,
                                          .N = args->Cin,
                                          .K = args->Cout,
                                          .a = args->dout,
                                          .b = args->weight,
                                          .adds = args->dx_adds,
                                          .c = args->dx};
        FSFM_TRY(fsfm_cpu_grid_prepare(cpu, &product, &w.dx, err));
        w.dx_pieces = fsfm_cpu_grid_pieces(&w.dx);
    }
    if (args->dbias) w.dbias_pieces = fsfm_cpu_pieces(args->Cout, BIAS_COLUMNS);
    fsfm_thread_pool_run(cpu->pool, w.dweight_pieces + w.dx_pieces + w.dbias_pieces, backward_piece, &w);
    return fsfm_cpu_grid_status(cpu, err);
}
