/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/amx/turned.c - products whose left factor is transposed: gradients of weights, over
 * all tokens.
 *
 * Tiles multiply faster than one thread packs what they read, so the threads pack a chunk of both factors
 * together, each number once, and then share it: of the left one tiles, row by row of tiles, of the right one
 * panels of SIDE columns. A piece packs one tile's depth of one of them, which are rows that lie one behind
 * the other. */
#include "core/device/cpu/kernels/amx/strips.h"
#include "core/device/cpu/kernels/table.h"

/* Words of the packed left factor; the right one follows. */
static int64_t left_words(const fsfm_cpu_product *p, int64_t depth)
{
    return rounded_up(p->M, TILE) * depth_words(depth);
}

static size_t turned_bytes(const fsfm_cpu_product *p, int64_t depth)
{
    const int64_t right_words = rounded_up(p->N, SIDE) * depth_words(depth);
    return (size_t)(left_words(p, depth) + right_words) * sizeof(word);
}

static int64_t turned_pieces(int64_t depth)
{
    return 2 * (depth_words(depth) / TILE);
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

/* Rows of the left factor lie far apart: asks for those of this tile and the one beside it, some tiles ahead,
 * and at the end of the rows for the first ones of the next depth. */
ALWAYS_INLINE void ask_for_tiles(const act *rows, int64_t stride, int64_t column)
{
    enum { COLUMNS_AHEAD = 8 * TILE };
    const int64_t next = column + COLUMNS_AHEAD, wraps = next >= stride;
    const act *at = rows + (wraps ? DEPTH * stride + next - stride : next);
    for (int64_t r = 0; r < DEPTH; r++) __builtin_prefetch(at + r * stride);
}

/* Tiles number k of all rows of tiles; depth: what is left of the chunk from its rows on. */
static void pack_left(const fsfm_cpu_product *p, const act *rows, int64_t depth, int64_t tiles, word *out)
{
    for (int64_t i = 0; i < p->M; i += TILE, out += tiles * TILE * TILE) {
        if (i % (2 * TILE) == 0) ask_for_tiles(rows, p->M, i);
        if (p->M - i >= TILE && depth >= DEPTH)
            pack_whole_tile(rows + i, p->M, out);
        else
            pack_edge_tile(rows + i, p->M, p->M - i, depth, out);
    }
}

static void pack_right(const fsfm_cpu_product *p, const depth_chunk *depth, int64_t panel, word *out)
{
    const int64_t used = words_of(depth->count);
    pack_down(p->b, p->N, p->N, SIDE, panel, depth, out);
    for (int64_t column = 0; used < TILE && column < p->N; column += SIDE, out += panel)
        memset(out + used * SIDE, 0, (size_t)((TILE - used) * SIDE) * sizeof *out);
}

static void turned_pack(const fsfm_cpu_product *p, const fsfm_cpu_depth *chunk, int64_t piece, void *packed)
{
    const int64_t words = depth_words(chunk->count), tiles = words / TILE, k = piece % tiles,
                  first = chunk->first + k * DEPTH, left = chunk->count - k * DEPTH;
    if (piece < tiles) {
        pack_left(p, (const act *)p->a + first * p->M, left, tiles, (word *)packed + k * TILE * TILE);
        return;
    }
    const depth_chunk depth = {.first = first, .count = left < DEPTH ? left : DEPTH};
    pack_right(p, &depth, words * SIDE, (word *)packed + left_words(p, chunk->count) + k * TILE * SIDE);
}

static void turned_multiply(const fsfm_cpu_product *p, const fsfm_cpu_depth *chunk,
                            const fsfm_cpu_block *block, const void *packed)
{
    const int64_t words = depth_words(chunk->count);
    const word *right = (const word *)packed + left_words(p, chunk->count) + block->column * words;
    const left_factor left = {.at = (const char *)((const word *)packed + block->row * words),
                              .whole = rounded_up(block->rows, TILE) / TILE,
                              .row_bytes = TILE_BYTES,
                              .tile_bytes = words * TILE_BYTES,
                              .step_bytes = TILE * TILE_BYTES};
    float sums[2][SIDE * SIDE] __attribute__((aligned(64)));
    pipeline line = {.sums = {sums[0], sums[1]},
                     .now = {.product = p,
                             .added = chunk->first > 0 ? p->c : p->added,
                             .column = block->column,
                             .columns = block->columns}};
    tiles_begin();
    multiply_panels(&line, block, &left, right, words);
    tiles_end();
    outcome_rest(&line.before);
}

/* So deep that c comes from memory seldom, and so shallow that a block's panels stay in a near cache. */
const fsfm_cpu_turned KERNEL(turned) = {.depth_most = 1024,
                                        .bytes = turned_bytes,
                                        .pieces = turned_pieces,
                                        .pack = turned_pack,
                                        .multiply = turned_multiply};
