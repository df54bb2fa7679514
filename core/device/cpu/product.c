/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/cpu/product.h"

enum { ROWS_LEAST = 96, PIECES_A_THREAD = 2 };

static int64_t block_of(int64_t count, int64_t pieces, int64_t step)
{
    return fsfm_cpu_pieces(fsfm_cpu_pieces(count, pieces), step) * step;
}

/* Activations or their gradients times weights: columns as the kernels like them, and rows in as many parts
 * as give every thread its share. */
static void choose_row_blocks(fsfm_cpu_grid *grid, const fsfm_cpu_cut *cut, int threads)
{
    const int64_t M = grid->product.M, panels = fsfm_cpu_pieces(grid->product.N, cut->column_step);
    int64_t parts = fsfm_cpu_pieces(M, cut->rows_most);
    grid->column_block = block_of(grid->product.N, cut->is_wide ? threads : panels, cut->column_step);
    const int64_t columns = fsfm_cpu_pieces(grid->product.N, grid->column_block);
    while (columns * parts % threads != 0 && columns * parts < PIECES_A_THREAD * threads &&
           block_of(M, parts, cut->row_step) > ROWS_LEAST)
        parts++;
    grid->row_block = block_of(M, parts, cut->row_step);
}

/* Gradients of weights: squares, the longer side halved until there are enough for all threads. */
static void choose_squares(fsfm_cpu_grid *grid, const fsfm_cpu_cut *cut, int threads)
{
    const int64_t M = grid->product.M, N = grid->product.N;
    int64_t rows = fsfm_cpu_pieces(M, cut->turned_rows), columns = fsfm_cpu_pieces(N, cut->turned_columns);
    for (;;) {
        grid->row_block = block_of(M, rows, cut->row_step);
        grid->column_block = block_of(N, columns, cut->column_step);
        if (rows * columns % threads == 0 || rows * columns >= PIECES_A_THREAD * threads) return;
        if (grid->row_block >= grid->column_block && grid->row_block > ROWS_LEAST)
            rows++;
        else if (grid->column_block > cut->column_step)
            columns++;
        else
            return;
    }
}

/* Equal chunks of the depth. */
static void choose_depths(fsfm_cpu_grid *grid)
{
    const int64_t K = grid->product.K, chunks = fsfm_cpu_pieces(K, grid->turned->depth_most);
    grid->depth_block = fsfm_cpu_pieces(K, chunks);
    grid->rounds = 2 * chunks;
}

fsfm_status fsfm_cpu_grid_prepare(fsfm_cpu_device *cpu, const fsfm_cpu_product *product, fsfm_cpu_grid *grid,
                                  fsfm_error *err)
{
    FSFM_ASSERT(!product->a_transposed || (!product->b_transposed && product->c_is_float));
    FSFM_ASSERT(!product->c_is_float || (!product->active && !product->hidden));
    *grid = (fsfm_cpu_grid){.product = *product, .rounds = 1};
    const fsfm_cpu_kernels *kernels = cpu->kernels;
    if (product->a_transposed)
        choose_squares(grid, kernels->cut, cpu->base.threads);
    else
        choose_row_blocks(grid, kernels->cut, cpu->base.threads);
    grid->row_pieces = fsfm_cpu_pieces(product->M, grid->row_block);
    grid->column_pieces = fsfm_cpu_pieces(product->N, grid->column_block);
    if (!product->a_transposed || !kernels->turned)
        return fsfm_cpu_reserve_threads(cpu, kernels->product_scratch_bytes(product, grid->row_block), err);
    grid->turned = kernels->turned;
    choose_depths(grid);
    return fsfm_cpu_reserve_shared(cpu, grid->turned->bytes(product, grid->depth_block), err);
}

static fsfm_cpu_depth chunk_of(const fsfm_cpu_grid *grid, int64_t round)
{
    return (fsfm_cpu_depth){round / 2 * grid->depth_block,
                            fsfm_cpu_piece_size(grid->product.K, grid->depth_block, round / 2)};
}

static bool is_packing(const fsfm_cpu_grid *grid, int64_t round)
{
    return grid->turned && round % 2 == 0;
}

int64_t fsfm_cpu_grid_pieces(const fsfm_cpu_grid *grid, int64_t round)
{
    if (is_packing(grid, round)) return grid->turned->pieces(chunk_of(grid, round).count);
    return grid->row_pieces * grid->column_pieces;
}

static fsfm_cpu_block block_at(const fsfm_cpu_grid *grid, int64_t piece)
{
    const int64_t row = piece / grid->column_pieces, column = piece % grid->column_pieces;
    return (fsfm_cpu_block){
        .row = row * grid->row_block,
        .rows = fsfm_cpu_piece_size(grid->product.M, grid->row_block, row),
        .column = column * grid->column_block,
        .columns = fsfm_cpu_piece_size(grid->product.N, grid->column_block, column),
    };
}

void fsfm_cpu_grid_run(fsfm_cpu_device *cpu, const fsfm_cpu_grid *grid, int64_t round, int64_t piece,
                       int thread)
{
    if (!grid->turned) {
        const fsfm_cpu_block block = block_at(grid, piece);
        cpu->kernels->product(&grid->product, &block, cpu->scratch[thread]);
        return;
    }
    const fsfm_cpu_depth chunk = chunk_of(grid, round);
    if (is_packing(grid, round)) {
        grid->turned->pack(&grid->product, &chunk, piece, cpu->shared);
        return;
    }
    const fsfm_cpu_block block = block_at(grid, piece);
    grid->turned->multiply(&grid->product, &chunk, &block, cpu->shared);
}
