/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/vector/multiply.c - products of the small matrices of one attention head, in cache.
 */
#include "core/device/cpu/kernels/table.h"
#include "core/device/cpu/kernels/tile.h"

typedef struct {
    tile_factors factors;
    float *c;
    int64_t c_row;
    bool adds;
} tile;

ALWAYS_INLINE void tile_of(const int rows, const int vectors, const tile *t)
{
    vf sum[MR][NV];
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++) sum[i][j] =
        t->adds ? vf_load(t->c + i * t->c_row + j * VW) : (vf){0};
    tile_multiply(rows, vectors, &t->factors, sum);
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vectors; j++)
        vf_store(t->c + i * t->c_row + j * VW, sum[i][j]);
}

#define TILE(rows, vectors)                            \
    static void tile_##rows##_##vectors(const tile *t) \
    {                                                  \
        tile_of(rows, vectors, t);                     \
    }
TILE_SIZES(TILE)

static void (*const tiles[MR][NV])(const tile *) = TILE_TABLE(tile);

/* How many vectors the next tile takes of those left: as many as fit, without leaving a lone one behind. */
static int next_vectors(int64_t left)
{
    if (NV > 2 && left == NV + 1) return NV - 1;
    return left < NV ? (int)left : NV;
}

void KERNEL(multiply)(int64_t rows, int64_t columns, int64_t depth, const uint32_t *a, int64_t a_row,
                      int64_t a_step, const uint32_t *b, int64_t b_row, float *c, int64_t c_row, bool adds)
{
    for (int64_t j = 0; j < columns;) {
        const int vectors = next_vectors((columns - j) / VW);
        for (int64_t i = 0; i < rows; i += MR) {
            const int64_t tile_rows = rows - i < MR ? rows - i : MR;
            const tile t = {
                {depth, a + i * a_row, a_row, a_step, b + j, b_row, 0}, c + i * c_row + j, c_row, adds};
            /* cppcheck-suppress negativeIndex ; i < rows here, so tile_rows >= 1 */
            tiles[tile_rows - 1][vectors - 1](&t);
        }
        j += vectors * VW;
    }
}
