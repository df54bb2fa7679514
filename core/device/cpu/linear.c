/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/linear.c - linear layers, as products. */
#include "core/device/cpu/cpu_device.h"
#include "core/device/cpu/product.h"

enum { ADD_PIECE = 16384, BIAS_COLUMNS = 128 };

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

typedef struct {
    fsfm_cpu_device *cpu;
    fsfm_cpu_grid grid;
} linear_work;

static void linear_piece(void *context, int64_t piece, int thread)
{
    linear_work *w = context;
    fsfm_cpu_grid_run(w->cpu, &w->grid, 0, piece, thread);
}

fsfm_status fsfm_cpu_linear(fsfm_device *dev, const fsfm_linear_args *args, fsfm_error *err)
{
    fsfm_cpu_device *cpu = fsfm_cpu(dev);
    if (args->N == 0) return FSFM_OK;
    linear_work w = {.cpu = cpu};
    const fsfm_cpu_product product = {.M = args->N,
                                      .N = args->Cout,
                                      .K = args->Cin,
                                      .a = args->x,
                                      .b = args->weight,
                                      .b_transposed = true,
                                      .bias = args->bias,
                                      .added = args->residual,
                                      .c_is_float = args->out_is_float,
                                      .c = args->out,
                                      .active = args->active};
    FSFM_TRY(fsfm_cpu_grid_prepare(cpu, &product, &w.grid, err));
    fsfm_thread_pool_run(cpu->pool, fsfm_cpu_grid_pieces(&w.grid, 0), linear_piece, &w);
    return FSFM_OK;
}

/* dx and dbias, which need no other gradient, and dweight, which may need what comes with dx (active): with
 * as many others in one run as can be, so that threads wait seldom. */
typedef struct {
    fsfm_cpu_device *cpu;
    const fsfm_linear_backward_args *args;
    fsfm_cpu_grid dweight, dx;
    int64_t round;                                   /* of dweight, at work */
    int64_t dx_pieces, dweight_pieces, dbias_pieces; /* of this run */
} backward_work;

static void dbias_piece(const backward_work *w, int64_t piece)
{
    const fsfm_linear_backward_args *args = w->args;
    const int64_t first = piece * BIAS_COLUMNS,
                  columns = fsfm_cpu_piece_size(args->Cout, BIAS_COLUMNS, piece);
    w->cpu->kernels->column_sums(args->N, columns, args->Cout, fsfm_cpu_at(w->cpu, args->dout, first),
                                 args->dbias + first);
}

/* The largest pieces first. */
static void backward_piece(void *context, int64_t piece, int thread)
{
    const backward_work *w = context;
    const int64_t behind_dx = piece - w->dx_pieces, behind_dweight = behind_dx - w->dweight_pieces;
    if (behind_dx < 0)
        fsfm_cpu_grid_run(w->cpu, &w->dx, 0, piece, thread);
    else if (behind_dweight < 0)
        fsfm_cpu_grid_run(w->cpu, &w->dweight, w->round, behind_dx, thread);
    else
        dbias_piece(w, behind_dweight);
}

static void run_backward(backward_work *w)
{
    fsfm_thread_pool_run(w->cpu->pool, w->dx_pieces + w->dweight_pieces + w->dbias_pieces, backward_piece, w);
    w->dx_pieces = w->dweight_pieces = w->dbias_pieces = 0;
}

static fsfm_status prepare_backward(fsfm_cpu_device *cpu, const fsfm_linear_backward_args *args,
                                    backward_work *w, fsfm_error *err)
{
    if (args->dweight) {
        const fsfm_cpu_product product = {.M = args->Cout,
                                          .N = args->Cin,
                                          .K = args->N,
                                          .a = args->dout,
                                          .a_transposed = true,
                                          .b = args->active ? args->active : args->x,
                                          .added = args->dweight,
                                          .c_is_float = true,
                                          .c = args->dweight};
        FSFM_TRY(fsfm_cpu_grid_prepare(cpu, &product, &w->dweight, err));
    }
    if (args->dx) {
        const fsfm_cpu_product product = {.M = args->N,
                                          .N = args->Cin,
                                          .K = args->Cout,
                                          .a = args->dout,
                                          .b = args->weight,
                                          .added = args->dx_adds ? args->dx : NULL,
                                          .c = args->dx,
                                          .hidden = args->hidden,
                                          .active = args->hidden ? args->active : NULL};
        FSFM_TRY(fsfm_cpu_grid_prepare(cpu, &product, &w->dx, err));
        w->dx_pieces = fsfm_cpu_grid_pieces(&w->dx, 0);
    }
    if (args->dbias) w->dbias_pieces = fsfm_cpu_pieces(args->Cout, BIAS_COLUMNS);
    return FSFM_OK;
}

fsfm_status fsfm_cpu_linear_backward(fsfm_device *dev, const fsfm_linear_backward_args *args, fsfm_error *err)
{
    fsfm_cpu_device *cpu = fsfm_cpu(dev);
    backward_work w = {.cpu = cpu, .args = args};
    if (args->N == 0) return FSFM_OK;
    FSFM_ASSERT(!args->hidden || (args->dx && !args->dx_adds));
    FSFM_TRY(prepare_backward(cpu, args, &w, err));
    if (args->active) run_backward(&w);
    for (; w.round < w.dweight.rounds; w.round++) {
        w.dweight_pieces = fsfm_cpu_grid_pieces(&w.dweight, w.round);
        run_backward(&w);
    }
    run_backward(&w); /* what is left where dweight is not wanted */
    return FSFM_OK;
}
