/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/vector/product.c - a block of a large product, in vectors.
 *
 * The right factor is packed, a panel of columns at a time, into words along the depth; the left one is read
 * where it lies if its words stand along the depth there, else it is packed too, once a block: into strips of
 * STRIP rows, or, for odd depths in bfloat16, row by row. An element of c is one sum down the depth, rounded
 * once; where the left factor is transposed (gradients of weights, over all tokens) the depth goes by chunks,
 * so that a chunk of both factors stays in cache, and each chunk adds to c. */
#include "core/device/cpu/kernels/gelu.h"
#include "core/device/cpu/kernels/pack.h"
#include "core/device/cpu/kernels/table.h"
#include "core/device/cpu/kernels/tile.h"

enum { PANEL = NV * VW, STRIP = 3 * VW, CHUNK = 512 /* words */ };
/* Panels that are at work together, so that the left factor's rows are read once for all of them: of 64
 * columns at most, as many as stay in the second cache, of which they get 256 KiB. */
enum { GROUP = 64 / PANEL, GROUP_WORDS = 65536 };
_Static_assert(STRIP % MR == 0, "tiles do not reach over strips");

/* Each block packs the right factor's panels anew, and the left one too where it is transposed: blocks are
 * large enough that this is little, and small enough that the left factor's rows come from a near cache. A
 * multiple of the tiles and panels of any width of vectors. */
const fsfm_cpu_cut KERNEL(cut) = {.row_step = 48,
                                  .column_step = 64,
                                  .rows_most = 960,
                                  .turned_rows = 384,
                                  .turned_columns = 384,
                                  .useful_rows = 200 * PER_WORD};

/* The left factor as tiles read it: row i at a + (i / STRIP) strip + (i % STRIP) row. */
typedef struct {
    const word *a;
    int64_t strip, row, step;
} left_factor;

static int64_t chunk_words(const fsfm_cpu_product *p)
{
    const int64_t words = words_of(p->K);
    return p->a_transposed && words > CHUNK ? CHUNK : words;
}

static int64_t group_of(int64_t words)
{
    const int64_t fit = GROUP_WORDS / (PANEL * (words > 0 ? words : 1));
    return fit < 1 ? 1 : fit < GROUP ? fit : GROUP;
}

size_t KERNEL(product_scratch_bytes)(const fsfm_cpu_product *p, int64_t row_block)
{
    const int64_t words = chunk_words(p), strips = (row_block + STRIP - 1) / STRIP;
    const int64_t left = p->a_transposed || !are_words(p->a, p->K) ? strips * STRIP * words : 0;
    return (size_t)(group_of(words) * PANEL * words + left) * sizeof(word);
}

static left_factor pack_strips(const fsfm_cpu_product *p, const fsfm_cpu_block *block,
                               const depth_chunk *depth, word *out)
{
    const left_factor left = {out, depth->words * STRIP, 1, STRIP};
    pack_down((const act *)p->a + block->row, p->M, block->rows, STRIP, left.strip, depth, out);
    return left;
}

static left_factor pack_rows(const fsfm_cpu_product *p, const fsfm_cpu_block *block, word *out)
{
    const int64_t words = words_of(p->K);
    const act *a = (const act *)p->a + block->row * p->K;
    for (int64_t i = 0; i < block->rows; i++)
        for (int64_t k = 0; k < words; k++) out[i * words + k] = word_at(a + i * p->K, k * PER_WORD, p->K);
    return (left_factor){out, words * STRIP, words, 1};
}

static left_factor left_of(const fsfm_cpu_product *p, const fsfm_cpu_block *block, const depth_chunk *depth,
                           word *scratch)
{
    if (p->a_transposed) return pack_strips(p, block, depth, scratch);
    if (!are_words(p->a, p->K)) return pack_rows(p, block, scratch);
    const int64_t words = words_of(p->K);
    const void *a = (const act *)p->a + block->row * p->K;
    return (left_factor){a, words * STRIP, words, 1};
}

/* A panel of c at work: its first column, how many there are, and how many with the padding. */
typedef struct {
    const fsfm_cpu_product *product;
    const float *bias; /* of its first column; NULL in all chunks but the first */
    const void *added;
    int64_t column, columns, width;
    const word *b; /* (words, width), b_row words apart */
    int64_t b_row;
} panel;

/* Whole vectors of c = start + a b (+ added); start: of one row, NULL for zeros. */
typedef struct {
    tile_factors factors;
    const float *start, *added;
    void *c;
    int64_t c_row;
} tile;

ALWAYS_INLINE void tile_sums(const int rows, const int vectors, const tile *t, vf sum[MR][NV])
{
    UNROLL for (int j = 0; j < vectors; j++)
    {
        const vf start = t->start ? vf_load(t->start + j * VW) : (vf){0};
        UNROLL for (int i = 0; i < rows; i++) sum[i][j] = start;
    }
    tile_multiply(rows, vectors, &t->factors, sum);
}

/* STORE has sum[i][j], and in c, numbers of the kind, and in added the place of its vector: at. */
#define TILE(name, number, rows, vectors, STORE)                                           \
    static void name##_##rows##_##vectors(const tile *t)                                   \
    {                                                                                      \
        vf sum[MR][NV];                                                                    \
        number *c = t->c;                                                                  \
        tile_sums(rows, vectors, t, sum);                                                  \
        UNROLL for (int i = 0; i < (rows); i++) UNROLL for (int j = 0; j < (vectors); j++) \
        {                                                                                  \
            const int64_t at = i * t->c_row + j * VW;                                      \
            STORE;                                                                         \
        }                                                                                  \
    }
#define FLOAT_TILE(rows, vectors) TILE(float, float, rows, vectors, vf_store(c + at, sum[i][j]))
#define SUM_TILE(rows, vectors) \
    TILE(sum, float, rows, vectors, vf_store(c + at, sum[i][j] + vf_load(t->added + at)))
#define ACT_TILE(rows, vectors) TILE(act, act, rows, vectors, act_store(c + at, sum[i][j]))
TILE_SIZES(FLOAT_TILE)
TILE_SIZES(SUM_TILE)
TILE_SIZES(ACT_TILE)

typedef void tile_fn(const tile *);
static tile_fn *const float_tiles[MR][NV] = TILE_TABLE(float), *const sum_tiles[MR][NV] = TILE_TABLE(sum),
                      *const act_tiles[MR][NV] = TILE_TABLE(act);

static bool is_gelu(const fsfm_cpu_product *p)
{
    return p->active && !p->hidden;
}

/* Sums of a row into c, where they do not go there straight; GELU takes them before they are rounded. */
static void finish_row(const panel *n, int64_t row, const float *sums)
{
    const fsfm_cpu_product *p = n->product;
    const int64_t first = row * p->N + n->column;
    const bool gelu = is_gelu(p);
    for (int64_t c = 0; c < n->columns; c += VW) {
        vf x = vf_load(sums + c);
        if (n->bias) x += vf_load_at(n->bias, c, n->columns);
        if (p->c_is_float) {
            if (n->added) x += vf_load_at((const float *)n->added + first, c, n->columns);
            vf_store_at((float *)p->c + first, x, c, n->columns);
        } else {
            if (n->added) x += act_load_at((const act *)n->added + first, c, n->columns);
            act_store_at((act *)p->c + first, x, c, n->columns);
            if (!gelu) continue;
            const tail_place at = find_place(x);
            act_store_at((act *)p->active + first, gelu_of(x, &at), c, n->columns);
        }
    }
}

/* Tiles of c that are no whole vectors, have numbers in compute precision added, or a GELU: by way of sums.
 */
static void indirect_tile(const panel *n, int64_t row, int64_t rows, tile *t)
{
    float sums[MR][PANEL] __attribute__((aligned(64)));
    t->c = sums;
    t->c_row = PANEL;
    /* cppcheck-suppress negativeIndex ; rows >= 1 */
    float_tiles[rows - 1][n->width / VW - 1](t);
    for (int64_t i = 0; i < rows; i++) finish_row(n, row + i, sums[i]);
}

static void direct_tile(const panel *n, int64_t row, int64_t rows, tile *t)
{
    const fsfm_cpu_product *p = n->product;
    const int64_t first = row * p->N + n->column, vectors = n->width / VW;
    t->start = n->bias;
    t->c_row = p->N;
    t->c = p->c_is_float ? (void *)((float *)p->c + first) : (void *)((act *)p->c + first);
    if (n->added) t->added = (const float *)n->added + first;
    tile_fn *const(*tiles)[NV] = n->added ? sum_tiles : p->c_is_float ? float_tiles : act_tiles;
    /* cppcheck-suppress negativeIndex ; rows >= 1 */
    tiles[rows - 1][vectors - 1](t);
}

/* Where x was a GELU, its slope on a tile of dx. */
static void slope_tile(const panel *n, int64_t row, int64_t rows)
{
    const fsfm_cpu_product *p = n->product;
    const int64_t first = row * p->N + n->column;
    KERNEL(gelu_backward)
    (rows, n->columns, p->N, (const act *)p->hidden + first, (act *)p->c + first,
     p->active ? (act *)p->active + first : NULL);
}

/* What a tile will read and write, while the sums are computed. Inlined, as gcc 12 takes a function that only
 * prefetches for one without effect. */
ALWAYS_INLINE void prefetch_tile(const panel *n, int64_t row, int64_t rows)
{
    const fsfm_cpu_product *p = n->product;
    const int64_t number_bytes = p->c_is_float ? sizeof(float) : sizeof(act);
    for (int64_t i = 0; i < rows; i++) {
        const int64_t first = (row + i) * p->N + n->column;
        prefetch_row((char *)p->c + first * number_bytes, n->columns * number_bytes);
        if (n->added) prefetch_row((const char *)n->added + first * number_bytes, n->columns * number_bytes);
        if (p->hidden) prefetch_row((const act *)p->hidden + first, n->columns * number_bytes);
        if (p->active) prefetch_row((act *)p->active + first, n->columns * number_bytes);
    }
}

/* Rows of a panel of c, at most MR. */
static void multiply_rows(const panel *n, int64_t row, int64_t rows, const tile_factors *factors)
{
    const fsfm_cpu_product *p = n->product;
    tile t = {.factors = *factors};
    t.factors.b = n->b;
    t.factors.b_row = n->b_row;
    prefetch_tile(n, row, rows);
    if (n->width == n->columns && (p->c_is_float || !n->added) && !is_gelu(p))
        direct_tile(n, row, rows, &t);
    else
        indirect_tile(n, row, rows, &t);
    if (p->hidden) slope_tile(n, row, rows);
}

/* What tiles of a left factor that lies in its place ask for (tile.h). */
static int64_t words_ahead(const left_factor *left, bool has_next)
{
    if (left->step != 1) return 0;
    if (VW < 16) return 2 * LINE_WORDS;
    return has_next ? MR * left->row : 0;
}

static void multiply_group(const panel *panels, int64_t count, const fsfm_cpu_block *block,
                           const left_factor *left, int64_t words)
{
    for (int64_t i = 0; i < block->rows; i += MR) {
        const int64_t row = block->row + i, rows = block->rows - i < MR ? block->rows - i : MR;
        const word *a = left->a + i / STRIP * left->strip + i % STRIP * left->row;
        const int64_t ahead = words_ahead(left, i + MR < block->rows);
        const tile_factors factors = {
            .depth = words, .a = a, .a_row = left->row, .a_step = left->step, .ahead = ahead};
        for (int64_t j = 0; j < count; j++) multiply_rows(&panels[j], row, rows, &factors);
    }
}

/* Points n at its part of the right factor: packed, but where words lie as tiles read them already and a
 * large left factor is packed in any case, which then reads the right one from its place at no loss; narrow
 * panels take one line of each of its rows, too few to follow. */
static void set_right_factor(panel *n, const depth_chunk *depth, word *packed)
{
    const fsfm_cpu_product *p = n->product;
    const act *b = p->b;
    n->b = packed;
    n->b_row = n->width;
    if (p->b_transposed) {
        pack_turned(b + n->column * p->K, p->K, n->columns, n->width, packed);
    } else if (PER_WORD == 1 && VW == 16 && p->a_transposed && n->width == n->columns) {
        n->b = (const word *)(const void *)(b + depth->first * p->N + n->column);
        n->b_row = p->N;
    } else {
        pack_down(b + n->column, p->N, n->columns, n->width, 0, depth, packed);
    }
}

/* The panels of a block from its column done on; how many there are. */
static int64_t set_group(const fsfm_cpu_product *p, const fsfm_cpu_block *block, const depth_chunk *depth,
                         int64_t done, int64_t most, word *packed, panel panels[GROUP])
{
    int64_t count = 0;
    for (; count < most && done < block->columns; count++, done += PANEL, packed += PANEL * depth->words) {
        const int64_t columns = block->columns - done < PANEL ? block->columns - done : PANEL;
        panels[count] = (panel){.product = p,
                                .bias = depth->first == 0 && p->bias ? p->bias + block->column + done : NULL,
                                .added = depth->first > 0 ? p->c : p->added,
                                .column = block->column + done,
                                .columns = columns,
                                .width = (columns + VW - 1) / VW * VW};
        set_right_factor(&panels[count], depth, packed);
    }
    return count;
}

void KERNEL(product)(const fsfm_cpu_product *p, const fsfm_cpu_block *block, void *scratch)
{
    const int64_t words_most = chunk_words(p), most = words_most * PER_WORD, group = group_of(words_most);
    word *packed = scratch, *left_scratch = packed + group * PANEL * words_most;
    panel panels[GROUP];
    for (int64_t first = 0; first < p->K; first += most) {
        const int64_t count = p->K - first < most ? p->K - first : most;
        const depth_chunk depth = {first, count, words_of(count)};
        const left_factor left = left_of(p, block, &depth, left_scratch);
        for (int64_t done = 0; done < block->columns; done += group * PANEL) {
            const int64_t panels_now = set_group(p, block, &depth, done, group, packed, panels);
            multiply_group(panels, panels_now, block, &left, depth.words);
        }
    }
}
