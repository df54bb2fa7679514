/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/amx/product.c - a block of a large product, in the processor's tiles.
 *
 * The right factor is packed, as many columns at a time as stay in a near cache, into panels of SIDE columns;
 * strips of SIDE rows of the left one then pass over them. The left factor is read where it lies if its depth
 * is made of whole tiles, all but the last rows; else it is packed too. Tiles have no ports in common with
 * vectors: while one block of SIDE x SIDE is summed, what follows from the one before it is done in between.
 * An element of c is one sum down the depth; where the left factor is transposed (gradients of weights, over
 * all tokens) the depth goes by chunks, so that a chunk of both factors stays in cache, and each adds to c.
 */
#include "core/device/cpu/kernels/amx/outcome.h"
#include "core/device/cpu/kernels/table.h"

enum { CHUNK = 512 /* words */, PACKED = 196608 /* words of the right factor that are packed at a time */ };
enum { PANEL_ROW_BYTES = SIDE * (int)sizeof(word), DEPTH = TILE * PER_WORD /* of a tile, in numbers */ };

/* Wide, as each block packs what it needs of the right factor, and packing takes long beside tiles. */
const fsfm_cpu_cut KERNEL(cut) = {.row_step = SIDE,
                                  .column_step = SIDE,
                                  .rows_most = 1920,
                                  .turned_rows = 384,
                                  .turned_columns = 1536,
                                  .is_wide = true};

/* The left factor as tiles read it: those of rows i TILE .. at at + i tile_bytes, or the last one at tail. */
typedef struct {
    const char *at, *tail;
    int64_t whole, row_bytes, tile_bytes, step_bytes;
} left_factor;

static int64_t rounded_up(int64_t count, int64_t step)
{
    return (count + step - 1) / step * step;
}

static int64_t chunk_words(const fsfm_cpu_product *p)
{
    const int64_t words = rounded_up(words_of(p->K), TILE);
    return p->a_transposed && words > CHUNK ? CHUNK : words;
}

/* Columns that are packed at a time. */
static int64_t packed_columns(const fsfm_cpu_product *p)
{
    const int64_t most = PACKED / chunk_words(p) / SIDE * SIDE, columns = rounded_up(p->N, SIDE);
    return columns < most ? columns : most < SIDE ? SIDE : most;
}

static bool is_in_place(const fsfm_cpu_product *p)
{
    return !p->a_transposed && p->K % DEPTH == 0;
}

size_t KERNEL(product_scratch_bytes)(const fsfm_cpu_product *p, int64_t row_block)
{
    const int64_t left = is_in_place(p) ? TILE : rounded_up(row_block, TILE);
    return (size_t)((packed_columns(p) + left) * chunk_words(p)) * sizeof(word);
}

/* out: rows [row, row + rows) of a, each padded with zeros to so many words, and the rows to whole tiles. */
static void pack_rows(const fsfm_cpu_product *p, int64_t row, int64_t rows, int64_t words, word *out)
{
    const act *a = (const act *)p->a + row * p->K;
    memset(out, 0, (size_t)(rounded_up(rows, TILE) * words) * sizeof *out);
    for (int64_t i = 0; i < rows; i++) memcpy(out + i * words, a + i * p->K, (size_t)p->K * sizeof *a);
}

/* out: a tile of the turned left factor, rows of words along its depth; x: its first number in memory. Lane l
 * of a vector gets eight numbers at depth 8 l + r, so that lanes have only to be turned. */
ALWAYS_INLINE void pack_whole_tile(const act *x, int64_t stride, word *out)
{
    const int64_t far_bytes = 8 * stride * (int64_t)sizeof *x;
    UNROLL for (int half = 0; half < 2; half++, x += 8, out += 8 * TILE)
    {
        __m512i pairs[2][4], fours[4][2];
        UNROLL for (int r = 0; r < 4; r++)
        {
            const __m512i even = lanes_load(x + 2 * r * stride, far_bytes),
                          odd = lanes_load(x + (2 * r + 1) * stride, far_bytes);
            pairs[0][r] = _mm512_unpacklo_epi16(even, odd);
            pairs[1][r] = _mm512_unpackhi_epi16(even, odd);
        }
        UNROLL for (int m = 0; m < 2; m++) UNROLL for (int r = 0; r < 2; r++)
        {
            fours[2 * m][r] = _mm512_unpacklo_epi32(pairs[m][2 * r], pairs[m][2 * r + 1]);
            fours[2 * m + 1][r] = _mm512_unpackhi_epi32(pairs[m][2 * r], pairs[m][2 * r + 1]);
        }
        UNROLL for (int m = 0; m < 4; m++)
        {
            words_store(out + 2 * m * TILE, (vu)_mm512_unpacklo_epi64(fours[m][0], fours[m][1]));
            words_store(out + (2 * m + 1) * TILE, (vu)_mm512_unpackhi_epi64(fours[m][0], fours[m][1]));
        }
    }
}

/* The same, where only so many rows and so much of the depth are left. */
static void pack_edge_tile(const act *x, int64_t stride, int64_t rows, int64_t depth, word *out)
{
    word across[TILE * TILE] __attribute__((aligned(64))) = {0};
    for (int64_t k = 0; k < depth && k < PER_WORD * TILE; k += PER_WORD)
        pack_edge(x + k * stride, k + 1 < depth ? x + (k + 1) * stride : NULL, 0, rows, TILE,
                  across + k / PER_WORD * TILE);
    transpose_whole(across, TILE, out, TILE);
}

static left_factor pack_turned_rows(const fsfm_cpu_product *p, const fsfm_cpu_block *block,
                                    const depth_chunk *depth, word *out)
{
    const act *a = (const act *)p->a + depth->first * p->M + block->row;
    for (int64_t k = 0; k < depth->words; k += TILE)
        for (int64_t i = 0; i < block->rows; i += TILE) {
            const act *x = a + k * PER_WORD * p->M + i;
            const int64_t rows = block->rows - i, left = depth->count - k * PER_WORD;
            word *to = out + i * depth->words + k * TILE;
            if (i % (2 * TILE) == 0)
                for (int64_t r = 0; r < DEPTH; r++) __builtin_prefetch(x + (DEPTH + r) * p->M);
            if (rows >= TILE && left >= DEPTH)
                pack_whole_tile(x, p->M, to);
            else
                pack_edge_tile(x, p->M, rows, left, to);
        }
    return (left_factor){.at = (const char *)out,
                         .whole = rounded_up(block->rows, TILE) / TILE,
                         .row_bytes = TILE_BYTES,
                         .tile_bytes = depth->words * TILE_BYTES,
                         .step_bytes = TILE * TILE_BYTES};
}

static left_factor left_of(const fsfm_cpu_product *p, const fsfm_cpu_block *block, const depth_chunk *depth,
                           word *scratch)
{
    if (p->a_transposed) return pack_turned_rows(p, block, depth, scratch);
    const int64_t whole = is_in_place(p) ? block->rows / TILE : 0,
                  row_bytes = depth->words * (int64_t)sizeof(word);
    pack_rows(p, block->row + whole * TILE, block->rows - whole * TILE, depth->words, scratch);
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

/* out: panels (words, SIDE) of columns [column, column + columns) of b, one after the other. */
static void pack_panels(const fsfm_cpu_product *p, const depth_chunk *depth, int64_t column, int64_t columns,
                        word *out)
{
    const act *b = p->b;
    const int64_t panel = depth->words * SIDE, used = words_of(depth->count) * SIDE;
    if (!p->b_transposed) pack_down(b + column, p->N, columns, SIDE, panel, depth, out);
    for (int64_t i = 0; i < columns; i += SIDE, out += panel) {
        if (p->b_transposed)
            pack_turned(b + (column + i) * p->K, p->K, columns - i < SIDE ? columns - i : SIDE, SIDE, out);
        memset(out + used, 0, (size_t)(panel - used) * sizeof *out);
    }
}

/* A block at work, the one before it, whose outcome is still to be computed, and the part of the left factor
 * that will be read next: [ahead, ahead_end), of which each step of a block asks for so much. */
typedef struct {
    outcome now, before;
    float *sums[2];
    const char *ahead, *ahead_end;
    int64_t ahead_bytes;
} pipeline;

ALWAYS_INLINE void ask_ahead(pipeline *line)
{
    const char *end = line->ahead + line->ahead_bytes;
    if (end > line->ahead_end) end = line->ahead_end;
    for (; line->ahead < end; line->ahead += LINE) __builtin_prefetch(line->ahead, 0, 2);
}

static void multiply(pipeline *line, const tile_factors *factors, int64_t steps)
{
    outcome before = line->before;
    const int64_t left = before.rows - before.done, share = (left + steps - 1) / steps;
    const int64_t ahead = (line->now.rows + steps - 1) / steps;
    tiles_zero();
    for (int64_t k = 0; k < steps; k++) {
        tiles_step(factors, k);
        ask_ahead(line);
        for (int64_t i = k * ahead; i < (k + 1) * ahead && i < line->now.rows; i++)
            outcome_prefetch(&line->now, i);
        outcome_rows(&before, share);
    }
    float *sums = line->sums[0];
    line->sums[0] = line->sums[1];
    line->sums[1] = sums;
    tiles_store(factors, sums, SIDE);
    line->now.sums = sums;
    line->before = line->now;
}

static const char *left_tile(const left_factor *left, int64_t i)
{
    return i < left->whole ? left->at + i * left->tile_bytes : left->tail;
}

/* The strip after that of row tile i, to be asked for in so many steps. */
static void plan_ahead(pipeline *line, const left_factor *left, int64_t i, int64_t steps)
{
    const int64_t tiles = left->whole - (i + 2) < 2 ? left->whole - (i + 2) : 2;
    const int64_t bytes = tiles > 0 ? tiles * left->tile_bytes : 0;
    line->ahead = left->at + (i + 2) * left->tile_bytes;
    line->ahead_end = line->ahead + bytes;
    line->ahead_bytes = rounded_up((bytes + steps - 1) / steps, LINE);
}

/* now has the columns that are packed in b: its panels. */
static void multiply_panels(pipeline *line, const fsfm_cpu_block *block, const left_factor *left,
                            const word *b, int64_t words)
{
    const int64_t first = line->now.column, columns = line->now.columns;
    for (int64_t i = 0; i < block->rows; i += SIDE) {
        plan_ahead(line, left, i / TILE, rounded_up(columns, SIDE) / SIDE * (words / TILE));
        for (int64_t j = 0; j < columns; j += SIDE) {
            const tile_factors factors = {.upper = left_tile(left, i / TILE),
                                          .lower =
                                              i + TILE < block->rows ? left_tile(left, i / TILE + 1) : NULL,
                                          .row_bytes = left->row_bytes,
                                          .step_bytes = left->step_bytes,
                                          .right = (const char *)(b + j * words),
                                          .right_row_bytes = PANEL_ROW_BYTES,
                                          .is_narrow = columns - j <= TILE};
            line->now.row = block->row + i;
            line->now.rows = block->rows - i < SIDE ? block->rows - i : SIDE;
            line->now.column = first + j;
            line->now.columns = columns - j < SIDE ? columns - j : SIDE;
            multiply(line, &factors, words / TILE);
        }
    }
}

void KERNEL(product)(const fsfm_cpu_product *p, const fsfm_cpu_block *block, void *scratch)
{
    const int64_t most = chunk_words(p), at_a_time = packed_columns(p);
    word *packed = scratch, *left_scratch = packed + at_a_time * most;
    float sums[2][SIDE * SIDE] __attribute__((aligned(64)));
    pipeline line = {.sums = {sums[0], sums[1]}};
    tiles_begin();
    for (int64_t first = 0; first < p->K; first += most * PER_WORD) {
        const int64_t rest = p->K - first, count = rest < most * PER_WORD ? rest : most * PER_WORD;
        const depth_chunk depth = {first, count, rounded_up(words_of(count), TILE)};
        const left_factor left = left_of(p, block, &depth, left_scratch);
        for (int64_t done = 0; done < block->columns; done += at_a_time) {
            const int64_t column = block->column + done,
                          columns = block->columns - done < at_a_time ? block->columns - done : at_a_time;
            line.now = (outcome){.product = p,
                                 .bias = first == 0 ? p->bias : NULL,
                                 .added = first > 0 ? p->c : p->added,
                                 .column = column,
                                 .columns = columns};
            pack_panels(p, &depth, column, columns, packed);
            multiply_panels(&line, block, &left, packed, depth.words);
        }
    }
    tiles_end();
    outcome_rows(&line.before, SIDE);
}
