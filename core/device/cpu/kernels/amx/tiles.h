/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/amx/tiles.h - the processor's tiles: 16 rows of 16 words each.
 *
 * Eight of them: sums of 2 x 2 tiles of a result (0 to 3), two of the left factor (4, 5) and two of the right
 * one (6, 7). All are always whole: what is packed for them is padded with zeros. They belong to the thread;
 * setting them up takes some 50 ns. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_AMX_TILES_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_AMX_TILES_H

#include <assert.h>

#include "core/device/cpu/kernels/words.h"

enum { TILE = 16, TILE_BYTES = TILE * (int)sizeof(word), SIDE = 2 * TILE };
static_assert(VW == TILE, "a vector is a row of a tile");

/* Compilers do not see what tile loads read. */
ALWAYS_INLINE void memory_is_read(void)
{
    __asm__ volatile("" ::: "memory");
}

ALWAYS_INLINE void tiles_begin(void)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = TILE_BYTES;
        config.rows[i] = TILE;
    }
    static_assert(sizeof config == 64, "as the processor reads it");
    __asm__ volatile("ldtilecfg %0" ::"m"(config));
}

ALWAYS_INLINE void tiles_end(void)
{
    _tile_release();
}

/* What the tiles read: rows of the left factor's two tiles (lower NULL: only one), row_bytes apart, going on
 * step_bytes later along the depth; rows of the right factor's two, which lie side by side (is_narrow: only
 * one). */
typedef struct {
    const char *upper, *lower;
    int64_t row_bytes, step_bytes;
    const char *right;
    int64_t right_row_bytes;
    bool is_narrow;
} tile_factors;

ALWAYS_INLINE void tiles_zero(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    memory_is_read();
}

/* The sums take in step k, of TILE words of the depth. */
ALWAYS_INLINE void tiles_step(const tile_factors *t, int64_t k)
{
    const char *right = t->right + k * TILE * t->right_row_bytes;
    _tile_loadd(6, right, t->right_row_bytes);
    if (!t->is_narrow) _tile_loadd(7, right + TILE_BYTES, t->right_row_bytes);
    _tile_loadd(4, t->upper + k * t->step_bytes, t->row_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if (!t->is_narrow) _tile_dpbf16ps(1, 4, 7);
    if (!t->lower) return;
    _tile_loadd(5, t->lower + k * t->step_bytes, t->row_bytes);
    _tile_dpbf16ps(2, 5, 6);
    if (!t->is_narrow) _tile_dpbf16ps(3, 5, 7);
}

/* sums: rows of row floats. */
ALWAYS_INLINE void tiles_store(const tile_factors *t, float *sums, int64_t row)
{
    const int64_t row_bytes = row * (int64_t)sizeof *sums;
    _tile_stored(0, sums, row_bytes);
    if (!t->is_narrow) _tile_stored(1, sums + TILE, row_bytes);
    if (!t->lower) return;
    _tile_stored(2, sums + TILE * row, row_bytes);
    if (!t->is_narrow) _tile_stored(3, sums + TILE * row + TILE, row_bytes);
}

#endif
