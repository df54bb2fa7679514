/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/amx/product.c - a block of a large product, in the processor's tiles.
 *
 * The right factor is packed, as many columns at a time as stay in a near cache, into panels of SIDE columns;
 * strips of SIDE rows of the left one then pass over them. The left factor is read where it lies if its depth
 * is made of whole tiles, all but the last rows; else it is packed too. An element of c is one sum down the
 * depth; where the left factor is transposed see turned.c. */
#include "core/device/cpu/kernels/amx/strips.h"
#include "core/device/cpu/kernels/table.h"

enum { PACKED = 196608 /* words of the right factor that are packed at a time */ };

/* Wide, as each block packs what it needs of the right factor, and packing takes long beside tiles. */
const fsfm_cpu_cut KERNEL(cut) = {.row_step = SIDE,
                                  .column_step = SIDE,
                                  .rows_most = 1920,
                                  .turned_rows = 4096,
                                  .turned_columns = 512,
                                  .is_wide = true,
                                  .useful_rows = 400};

/* Columns that are packed at a time. */
static int64_t packed_columns(const fsfm_cpu_product *p)
{
    const int64_t most = PACKED / depth_words(p->K) / SIDE * SIDE, columns = rounded_up(p->N, SIDE);
    return columns < most ? columns : most < SIDE ? SIDE : most;
}

static bool is_in_place(const fsfm_cpu_product *p)
{
    return p->K % DEPTH == 0;
}

size_t KERNEL(product_scratch_bytes)(const fsfm_cpu_product *p, int64_t row_block)
{
    const int64_t left = is_in_place(p) ? TILE : rounded_up(row_block, TILE);
    return (size_t)((packed_columns(p) + left) * depth_words(p->K)) * sizeof(word);
}

/* out: rows [row, row + rows) of a, each padded with zeros to so many words, and the rows to whole tiles. */
static void pack_rows(const fsfm_cpu_product *p, int64_t row, int64_t rows, int64_t words, word *out)
{
    const act *a = (const act *)p->a + row * p->K;
    memset(out, 0, (size_t)(rounded_up(rows, TILE) * words) * sizeof *out);
    for (int64_t i = 0; i < rows; i++) memcpy(out + i * words, a + i * p->K, (size_t)p->K * sizeof *a);
}

static left_factor left_of(const fsfm_cpu_product *p, const fsfm_cpu_block *block, int64_t words,
                           word *scratch)
{
    const int64_t whole = is_in_place(p) ? block->rows / TILE : 0, row_bytes = words * (int64_t)sizeof(word);
    pack_rows(p, block->row + whole * TILE, block->rows - whole * TILE, words, scratch);
    left_factor left = {.at = (const char *)((const act *)p->a + block->row * p->K),
                        .tail = (const char *)scratch,
                        .whole = whole,
                        .row_bytes = row_bytes,
                        .tile_bytes = TILE * row_bytes,
                        .step_bytes = TILE_BYTES};
    if (is_in_place(p)) return left;
    left.at = left.tail;
    left.whole = rounded_up(block->rows, TILE) / TILE;
    return left;
}

/* out: a whole panel from rows that lie one behind the other. As much of the next ones is asked for as is
 * read. */
static void pack_turned_panel(const word *rows, int64_t words, word *out)
{
    const char *next = (const char *)(rows + SIDE * words);
    for (int64_t k = 0; k < words; k += TILE)
        for (int64_t i = 0; i < SIDE; i += TILE) {
            for (const char *end = next + TILE * TILE_BYTES; next < end; next += LINE)
                __builtin_prefetch(next, 0, 2);
            transpose_whole(rows + i * words + k, words, out + k * SIDE + i, SIDE);
        }
}

/* out: panels (words, SIDE) of columns [column, column + columns) of b, one after the other. */
static void pack_panels(const fsfm_cpu_product *p, int64_t column, int64_t columns, int64_t words, word *out)
{
    const act *b = p->b;
    const int64_t panel = words * SIDE, used = words_of(p->K) * SIDE;
    const depth_chunk depth = {.count = p->K, .words = words};
    if (!p->b_transposed) pack_down(b + column, p->N, columns, SIDE, panel, &depth, out);
    for (int64_t i = 0; i < columns; i += SIDE, out += panel) {
        const act *rows = b + (column + i) * p->K;
        if (p->b_transposed && columns - i >= SIDE && p->K % DEPTH == 0)
            pack_turned_panel((const word *)(const void *)rows, words, out);
        else if (p->b_transposed)
            pack_turned(rows, p->K, columns - i < SIDE ? columns - i : SIDE, SIDE, out);
        memset(out + used, 0, (size_t)(panel - used) * sizeof *out);
    }
}

void KERNEL(product)(const fsfm_cpu_product *p, const fsfm_cpu_block *block, void *scratch)
{
    const int64_t words = depth_words(p->K), at_a_time = packed_columns(p);
    word *packed = scratch, *left_scratch = packed + at_a_time * words;
    float sums[2][SIDE * SIDE] __attribute__((aligned(64)));
    pipeline line = {.sums = {sums[0], sums[1]}};
    tiles_begin();
    const left_factor left = left_of(p, block, words, left_scratch);
    for (int64_t done = 0; done < block->columns; done += at_a_time) {
        const int64_t column = block->column + done,
                      columns = block->columns - done < at_a_time ? block->columns - done : at_a_time;
        line.now =
            (outcome){.product = p, .bias = p->bias, .added = p->added, .column = column, .columns = columns};
        pack_panels(p, column, columns, words, packed);
        multiply_panels(&line, block, &left, packed, words);
    }
    tiles_end();
    outcome_rest(&line.before);
}
