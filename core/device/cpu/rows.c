/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/rows.c - layer norm. */
#include "core/device/cpu/cpu_device.h"

enum { COLUMN_PIECE = 64 };

/* Rows a piece: enough that a piece outweighs handing it out, few enough that there are pieces for many
 * threads. */
static int64_t row_piece(int64_t C)
{
    const int64_t rows = 32768 / C;
    return rows < 8 ? 8 : rows > 128 ? 128 : rows;
}

typedef struct {
    fsfm_cpu_device *cpu;
    const fsfm_layernorm_args *args;
    const fsfm_layernorm_backward_args *backward;
    int64_t N, rows;
} norm_work;

static void norm_piece(void *context, int64_t piece, int thread)
{
    (void)thread;
    const norm_work *w = context;
    w->cpu->kernels->layernorm(w->args, piece * w->rows, fsfm_cpu_piece_size(w->N, w->rows, piece));
}

fsfm_status fsfm_cpu_layernorm(fsfm_device *dev, const fsfm_layernorm_args *args, fsfm_error *err)
{
    (void)err;
    norm_work w = {.cpu = fsfm_cpu(dev), .args = args, .N = args->N, .rows = row_piece(args->C)};
    fsfm_thread_pool_run(w.cpu->pool, fsfm_cpu_pieces(w.N, w.rows), norm_piece, &w);
    return FSFM_OK;
}

static void norm_backward_piece(void *context, int64_t piece, int thread)
{
    (void)thread;
    const norm_work *w = context;
    const int64_t C = w->backward->C, pieces = fsfm_cpu_pieces(w->N, w->rows);
    float *dweight = (float *)w->cpu->shared + piece * C, *dbias = dweight + pieces * C;
    w->cpu->kernels->layernorm_backward(w->backward, piece * w->rows,
                                        fsfm_cpu_piece_size(w->N, w->rows, piece), dweight, dbias);
}

typedef struct {
    const fsfm_cpu_kernels *kernels;
    int64_t parts, C;
    const float *part;
    float *sums;
} parts_work;

static void parts_piece(void *context, int64_t piece, int thread)
{
    (void)thread;
    const parts_work *w = context;
    const int64_t first = piece * COLUMN_PIECE;
    w->kernels->column_sums_float(w->parts, fsfm_cpu_piece_size(w->C, COLUMN_PIECE, piece), w->C,
                                  w->part + first, w->sums + first);
}

void fsfm_cpu_add_parts(fsfm_cpu_device *cpu, int64_t parts, int64_t C, const float *part, float *sums)
{
    parts_work w = {cpu->kernels, parts, C, part, sums};
    fsfm_thread_pool_run(cpu->pool, fsfm_cpu_pieces(C, COLUMN_PIECE), parts_piece, &w);
}

fsfm_status fsfm_cpu_layernorm_backward(fsfm_device *dev, const fsfm_layernorm_backward_args *args,
                                        fsfm_error *err)
{
    fsfm_cpu_device *cpu = fsfm_cpu(dev);
    norm_work w = {.cpu = cpu, .backward = args, .N = args->N, .rows = row_piece(args->C)};
    const int64_t pieces = fsfm_cpu_pieces(w.N, w.rows), C = args->C;
    FSFM_TRY(fsfm_cpu_reserve_shared(cpu, (size_t)(2 * pieces * C) * sizeof(float), err));
    fsfm_thread_pool_run(cpu->pool, pieces, norm_backward_piece, &w);
    fsfm_cpu_add_parts(cpu, pieces, C, cpu->shared, args->dweight);
    fsfm_cpu_add_parts(cpu, pieces, C, (const float *)cpu->shared + pieces * C, args->dbias);
    return FSFM_OK;
}
