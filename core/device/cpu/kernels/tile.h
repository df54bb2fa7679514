/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/tile.h - the inner loop of all products: a tile of the result stays in registers
 * while it runs down the depth.
 *
 * The depth is counted in words (words.h). Vectors of b are loaded; entries of a are read one by one and
 * spread over a vector, so a needs no packing where its words stand next to each other along the depth, and
 * may be transposed at no cost. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_TILE_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_TILE_H

#include "core/device/cpu/kernels/words.h"

/* Rows and vectors of a tile at most. Few rows and many vectors: each row is one more stream of reads. */
#if VW == 16
enum { MR = 6, NV = 4 }; /* 24 of 32 registers hold sums, 4 a row of b */
#else
enum { MR = 6, NV = 2 }; /* 12 of 16, and 2 */
#endif

/* Words of a cache line, and how far in a line that is asked for should come: wide tiles run through their
 * rows so fast that it has to be one of the next tile's, for the second cache. Narrow ones have the time to
 * ask for their own, past the other caches: rows that lie 4 KiB apart have the same place in the first one,
 * and those that were to stay would drive each other out. */
enum { LINE_WORDS = 16, ASK_LEVEL = VW == 16 ? 2 : 0 };

/* a (rows, depth) words with strides a_row, a_step; b (depth, vectors) with rows of b_row words. ahead: how
 * far behind a those of its words lie that are asked for meanwhile, a line of each row at a time: so many
 * streams side by side are more than processors follow by themselves. 0: none. */
typedef struct {
    int64_t depth;
    const word *a;
    int64_t a_row, a_step;
    const word *b;
    int64_t b_row;
    int64_t ahead;
} tile_factors;

/* sum += a b. What is done with the sums has to be simple, or compilers run out of registers in here. */
ALWAYS_INLINE void tile_multiply(const int rows, const int vectors, const tile_factors *t, vf sum[MR][NV])
{
    const int64_t a_row = t->a_row, a_step = t->a_step, b_row = t->b_row, ahead = t->ahead;
    const word *a = t->a, *b = t->b;
    for (int64_t k = t->depth; k > 0; k--, a += a_step, b += b_row) {
        vu row[NV];
        if (ahead && k % LINE_WORDS == 0)
            UNROLL for (int i = 0; i < rows; i++) __builtin_prefetch(a + ahead + i * a_row, 0, ASK_LEVEL);
        UNROLL for (int j = 0; j < vectors; j++) row[j] = words_load(b + j * VW);
        UNROLL for (int i = 0; i < rows; i++)
        {
            const vu entry = word_spread(a[i * a_row]);
            UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = multiply_add(sum[i][j], entry, row[j]);
        }
    }
}

/* TILE_SIZES(DEFINE) writes DEFINE(rows, vectors) for every size of a tile, which is to define the function
 * name_rows_vectors; TILE_TABLE(name) is their table [MR][NV]. */
#define TILE_SIZES_OF(DEFINE, vectors) \
    DEFINE(1, vectors)                 \
    DEFINE(2, vectors) DEFINE(3, vectors) DEFINE(4, vectors) DEFINE(5, vectors) DEFINE(6, vectors)
/* clang-format off */
#if VW == 16
#define TILE_SIZES(DEFINE) \
    TILE_SIZES_OF(DEFINE, 1) TILE_SIZES_OF(DEFINE, 2) TILE_SIZES_OF(DEFINE, 3) TILE_SIZES_OF(DEFINE, 4)
#define TILE_NAMES(name, rows) {name##_##rows##_1, name##_##rows##_2, name##_##rows##_3, name##_##rows##_4}
#else
#define TILE_SIZES(DEFINE) TILE_SIZES_OF(DEFINE, 1) TILE_SIZES_OF(DEFINE, 2)
#define TILE_NAMES(name, rows) {name##_##rows##_1, name##_##rows##_2}
#endif
#define TILE_TABLE(name)                                                                 \
    {TILE_NAMES(name, 1), TILE_NAMES(name, 2), TILE_NAMES(name, 3), TILE_NAMES(name, 4), \
     TILE_NAMES(name, 5), TILE_NAMES(name, 6)}
/* clang-format on */

#endif
