/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/amx/head.h - what a head's products read, as whole tiles one after the other.
 *
 * A left factor is made of tiles of 16 rows by a depth of 32 numbers; those of one row of tiles lie together.
 * A right factor is made of panels 32 columns wide: 16 rows of words for each step of the depth. Padding is
 * zero. Tokens and channels are rows, columns or depth of these in turn. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_AMX_HEAD_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_AMX_HEAD_H

#include "core/device/cpu/kernels/amx/tiles.h"
#include "core/device/cpu/kernels/pack.h"

enum {
    STEP = TILE * PER_WORD, /* numbers of the depth that a tile takes in */
    LEFT = TILE * TILE,     /* words of a tile */
    RIGHT = TILE * SIDE,    /* of a step of a panel */
    ROWS_AHEAD = 24         /* whose reads are asked for */
};
static_assert((int)STEP == (int)SIDE, "a step of one product's depth is a panel of another's columns");

/* count tokens or channels: tiles of them, and steps or panels. */
typedef struct {
    int64_t count, tiles, steps;
} extent;

static inline extent extent_of(int64_t count)
{
    return (extent){count, (count + TILE - 1) / TILE, (count + STEP - 1) / STEP};
}

/* Which numbers of step s are there. */
ALWAYS_INLINE __mmask32 present(const extent *x, int64_t s)
{
    const int64_t left = x->count - s * STEP;
    return left >= STEP ? ~(__mmask32)0 : ((__mmask32)1 << left) - 1;
}

ALWAYS_INLINE vu line_load(const act *x, __mmask32 mask)
{
    return (vu)_mm512_maskz_loadu_epi16(mask, x);
}

ALWAYS_INLINE void line_store(act *x, __mmask32 mask, vu line)
{
    _mm512_mask_storeu_epi16(x, mask, (__m512i)line);
}

/* STEP numbers, rounded. */
ALWAYS_INLINE vu line_of(vf first, vf second)
{
    return (vu)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
}

/* Tokens as rows, up to whole steps: a line of out for each of their steps of channels. */
static inline void pack_rows(const extent *tokens, const extent *channels, const act *x, int64_t stride,
                             word *out)
{
    for (int64_t s = 0; s < channels->steps; s++) {
        const __mmask32 mask = present(channels, s);
        const act *from = x + s * STEP;
        for (int64_t t = 0; t < tokens->steps * STEP; t++, from += stride) {
            word *to = out + (t / TILE * channels->steps + s) * LEFT + t % TILE * TILE;
            __builtin_prefetch(from + ROWS_AHEAD * stride);
            words_store(to, t < tokens->count ? line_load(from, mask) : (vu){0});
        }
    }
}

/* rows turned round: tokens as columns, channels as depth. */
static inline void turn_rows(const extent *tokens, const extent *channels, const word *rows, word *out)
{
    for (int64_t t = 0; t < tokens->tiles; t++)
        for (int64_t s = 0; s < channels->steps; s++, rows += LEFT)
            transpose_whole(rows, TILE, out + (t / 2 * channels->steps + s) * RIGHT + t % 2 * TILE, SIDE);
}

/* rows in pairs: tokens as depth, channels as columns. */
static inline void pair_rows(const extent *tokens, const extent *channels, const word *rows, word *out)
{
    for (int64_t t = 0; t < tokens->steps; t++)
        for (int64_t r = 0; r < STEP; r += PER_WORD)
            for (int64_t s = 0; s < channels->steps; s++) {
                const word *line = rows + ((2 * t + r / TILE) * channels->steps + s) * LEFT + r % TILE * TILE;
                const act *even = (const act *)line, *odd = (const act *)(line + TILE);
                word *to = out + (s * tokens->steps + t) * RIGHT + r / PER_WORD * SIDE;
                words_store(to, words_zip(even, odd));
                words_store(to + TILE, words_zip(even + TILE, odd + TILE));
            }
}

/* Two rows of tiles, or one, times a panel; both lie steps long. */
ALWAYS_INLINE tile_factors factors_of(const word *left, bool has_lower, const word *panel, bool is_narrow,
                                      int64_t steps)
{
    return (tile_factors){.upper = (const char *)left,
                          .lower = has_lower ? (const char *)(left + steps * LEFT) : NULL,
                          .row_bytes = TILE_BYTES,
                          .step_bytes = LEFT * (int64_t)sizeof *left,
                          .right = (const char *)panel,
                          .right_row_bytes = SIDE * (int64_t)sizeof *panel,
                          .is_narrow = is_narrow};
}

/* What vectors do next goes on while the tiles are at work, until tiles_store() waits for them. */
ALWAYS_INLINE void multiply(const tile_factors *factors, int64_t steps)
{
    tiles_zero();
    for (int64_t k = 0; k < steps; k++) tiles_step(factors, k);
}

/* Of the gradients' kernel. */
size_t KERNEL(attention_backward_scratch_bytes)(int64_t Tq, int64_t T, int64_t D);

#define HALVE(row, s, COMBINE)                                                   \
    UNROLL for (int i = 0; i < TILE; i += 2 * (s))                               \
    {                                                                            \
        const vf a = (row)[i], b = (row)[i + (s)];                               \
        (row)[i] = COMBINE(__builtin_shufflevector(a, b, LANES(UPPER_LANE, s)),  \
                           __builtin_shufflevector(a, b, LANES(LOWER_LANE, s))); \
    }

#define VF_SUM(a, b) ((a) + (b))

/* Lane i: the sum of row[i]'s lanes, or the largest of them. row is used up. */
ALWAYS_INLINE vf rows_total(vf row[TILE])
{
    HALVE(row, 1, VF_SUM)
    HALVE(row, 2, VF_SUM)
    HALVE(row, 4, VF_SUM)
    HALVE(row, 8, VF_SUM)
    return row[0];
}

ALWAYS_INLINE vf rows_largest(vf row[TILE])
{
    HALVE(row, 1, vf_max)
    HALVE(row, 2, vf_max)
    HALVE(row, 4, vf_max)
    HALVE(row, 8, vf_max)
    return row[0];
}

#endif
