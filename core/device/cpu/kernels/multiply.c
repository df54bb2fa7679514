/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/multiply.c - products of the small matrices of one attention head, in cache.
 *
 * The depth is counted in words. A tile of up to MR rows and NV vectors of c stays in registers while it runs
 * down the depth; entries of a are read one by one and spread over a vector, so a may be transposed at no
 * cost. */
#include "core/device/cpu/kernels/table.h"
#include "core/device/cpu/kernels/words.h"

#if VW == 16
enum { MR = 8, NV = 3 }; /* 24 of 32 registers hold c */
#else
enum { MR = 6, NV = 2 }; /* 12 of 16 */
#endif

typedef struct {
    int64_t depth;
    const word *a;
    int64_t a_row, a_step;
    const word *b;
    int64_t b_row;
    float *c;
    int64_t c_row;
    bool adds;
} tile;

ALWAYS_INLINE void tile_of(const int rows, const int vectors, const tile *t)
{
    vf sum[MR][NV];
    const int64_t a_row = t->a_row, a_step = t->a_step, b_row = t->b_row, c_row = t->c_row;
    const word *a = t->a, *b = t->b;
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++) sum[i][j] =
        t->adds ? vf_load(t->c + i * c_row + j * VW) : (vf){0};
    for (int64_t k = t->depth; k > 0; k--, a += a_step, b += b_row) {
        vu row[NV];
        UNROLL for (int j = 0; j < vectors; j++) row[j] = words_load(b + j * VW);
        UNROLL for (int i = 0; i < rows; i++)
        {
            const vu entry = word_spread(a[i * a_row]);
            UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = multiply_add(sum[i][j], entry, row[j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++)
        vf_store(t->c + i * c_row + j * VW, sum[i][j]);
}

#define TILE(rows, vectors)                            \
    static void tile_##rows##_##vectors(const tile *t) \
    {                                                  \
        tile_of(rows, vectors, t);                     \
    }
#define TILES(vectors) \
    TILE(1, vectors) TILE(2, vectors) TILE(3, vectors) TILE(4, vectors) TILE(5, vectors) TILE(6, vectors)
#define MORE_TILES(vectors) TILE(7, vectors) TILE(8, vectors)
TILES(1)
TILES(2)
#if VW == 16
TILES(3)
MORE_TILES(1)
MORE_TILES(2)
MORE_TILES(3)
#define TILE_ROW(rows)                                    \
    {                                                     \
        tile_##rows##_1, tile_##rows##_2, tile_##rows##_3 \
    }
#else
#define TILE_ROW(rows)                   \
    {                                    \
        tile_##rows##_1, tile_##rows##_2 \
    }
#endif

static void (*const tiles[MR][NV])(const tile *) = {
    TILE_ROW(1), TILE_ROW(2), TILE_ROW(3), TILE_ROW(4), TILE_ROW(5), TILE_ROW(6),
#if VW == 16
    TILE_ROW(7), TILE_ROW(8),
#endif
};
/* clang-format on */

/* How many vectors the next tile takes of those left: as many as fit, without leaving a lone one behind. */
static int next_vectors(int64_t left)
{
    if (NV == 3 && left == 4) return 2;
    return left < NV ? (int)left : NV;
}

void KERNEL(multiply)(int64_t rows, int64_t columns, int64_t depth, const uint32_t *a, int64_t a_row,
                      int64_t a_step, const uint32_t *b, int64_t b_row, float *c, int64_t c_row, bool adds)
{
    for (int64_t j = 0; j < columns;) {
        const int vectors = next_vectors((columns - j) / VW);
        for (int64_t i = 0; i < rows; i += MR) {
            const int64_t tile_rows = rows - i < MR ? rows - i : MR;
            const tile t = {depth, a + i * a_row,     a_row, a_step, b + j,
                            b_row, c + i * c_row + j, c_row, adds};
            /* cppcheck-suppress negativeIndex ; i < rows here, so tile_rows >= 1 */
            tiles[tile_rows - 1][vectors - 1](&t);
        }
        j += vectors * VW;
    }
}
