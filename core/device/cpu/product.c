/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/cpu/product.h"

/* Each block packs the right factor's panels anew, and the left one too where it is transposed: blocks are
 * large enough that this is little, and small enough that the left factor's rows come from a near cache. A
 * multiple of tiles and panels of any instruction set. */
enum { PANEL = 64, ROW_STEP = 48, ROWS_MOST = 960, ROWS_LEAST = 96, SIDE_MOST = 384, PIECES_A_THREAD = 2 };

static int64_t block_of(int64_t count, int64_t pieces, int64_t step)
{
    return fsfm_cpu_pieces(fsfm_cpu_pieces(count, pieces), step) * step;
}

/* Activations or their gradients times weights: a panel of columns a piece, and rows in as many parts as give
 * every thread its share. */
static void choose_row_blocks(fsfm_cpu_grid *grid, int threads)
{
    const int64_t M = grid->product.M;
    int64_t parts = fsfm_cpu_pieces(M, ROWS_MOST);
    grid->column_block = PANEL;
    const int64_t panels = fsfm_cpu_pieces(grid->product.N, PANEL);
    while (panels * parts % threads != 0 && panels * parts < PIECES_A_THREAD * threads &&
           block_of(M, parts, ROW_STEP) > ROWS_LEAST)
        parts++;
    grid->row_block = block_of(M, parts, ROW_STEP);
}

/* Gradients of weights: squares, the longer side halved until there are enough for all threads. */
static void choose_squares(fsfm_cpu_grid *grid, int threads)
{
    const int64_t M = grid->product.M, N = grid->product.N;
    int64_t rows = fsfm_cpu_pieces(M, SIDE_MOST), columns = fsfm_cpu_pieces(N, SIDE_MOST);
    for (;;) {
        grid->row_block = block_of(M, rows, ROW_STEP);
        grid->column_block = block_of(N, columns, PANEL);
        if (rows * columns % threads == 0 || rows * columns >= PIECES_A_THREAD * threads) return;
        if (grid->row_block >= grid->column_block && grid->row_block > ROWS_LEAST)
            rows++;
        else if (grid->column_block > PANEL)
            columns++;
        else
            return;
    }
}

fsfm_status fsfm_cpu_grid_prepare(fsfm_cpu_device *cpu, const fsfm_cpu_product *product, fsfm_cpu_grid *grid,
                                  fsfm_error *err)
{
    FSFM_ASSERT(!product->a_transposed || (!product->b_transposed && product->c_is_float));
    FSFM_ASSERT(!product->c_is_float || (!product->active && !product->hidden));
    *grid = (fsfm_cpu_grid){.product = *product};
    if (product->a_transposed)
        choose_squares(grid, cpu->base.threads);
    else
        choose_row_blocks(grid, cpu->base.threads);
    grid->row_pieces = fsfm_cpu_pieces(product->M, grid->row_block);
    grid->column_pieces = fsfm_cpu_pieces(product->N, grid->column_block);
    return fsfm_cpu_reserve_threads(cpu, cpu->kernels->product_scratch_bytes(product, grid->row_block), err);
}

int64_t fsfm_cpu_grid_pieces(const fsfm_cpu_grid *grid)
{
    return grid->row_pieces * grid->column_pieces;
}

void fsfm_cpu_grid_run(fsfm_cpu_device *cpu, const fsfm_cpu_grid *grid, int64_t piece, int thread)
{
    const int64_t row = piece / grid->column_pieces, column = piece % grid->column_pieces;
    const fsfm_cpu_block block = {
        .row = row * grid->row_block,
        .rows = fsfm_cpu_piece_size(grid->product.M, grid->row_block, row),
        .column = column * grid->column_block,
        .columns = fsfm_cpu_piece_size(grid->product.N, grid->column_block, column),
    };
    cpu->kernels->product(&grid->product, &block, cpu->scratch[thread]);
}
