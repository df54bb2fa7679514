/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/amx/strips.h - a block of a product from factors that tiles can read: strips of
 * SIDE rows of the left one pass over panels of SIDE columns of the right one.
 *
 * Tiles have no ports in common with vectors: while one block of SIDE x SIDE is summed, what follows from the
 * one before it is done in between. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_AMX_STRIPS_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_AMX_STRIPS_H

#include "core/device/cpu/kernels/amx/outcome.h"

enum { PANEL_ROW_BYTES = SIDE * (int)sizeof(word), DEPTH = TILE * PER_WORD /* of a tile, in numbers */ };

/* The left factor as tiles read it: those of rows i TILE .. at at + i tile_bytes, or the last one at tail. */
typedef struct {
    const char *at, *tail;
    int64_t whole, row_bytes, tile_bytes, step_bytes;
} left_factor;

static inline int64_t rounded_up(int64_t count, int64_t step)
{
    return (count + step - 1) / step * step;
}

/* Words that hold so many numbers of the depth, in whole tiles. */
static inline int64_t depth_words(int64_t depth)
{
    return rounded_up(words_of(depth), TILE);
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

/* Sums that were just stored are not to be read yet: what follows from them begins some steps later, unless
 * there are few. */
static int64_t steps_to_wait(int64_t steps)
{
    return steps > 8 ? 2 : 0;
}

/* form: of the block before, as a constant, so that its outcome is computed without calls and branches; not
 * whole: any form. */
ALWAYS_INLINE void multiply_beside(pipeline *line, const tile_factors *factors, int64_t steps,
                                   const outcome_form form)
{
    outcome before = line->before;
    const int64_t wait = steps_to_wait(steps), at_work = steps - wait;
    const int64_t share = (before.rows - before.done + at_work - 1) / at_work;
    const int64_t ahead = outcome_reads(&line->now) ? (line->now.rows + steps - 1) / steps : 0;
    tiles_zero();
    for (int64_t k = 0; k < steps; k++) {
        tiles_step(factors, k);
        ask_ahead(line);
        for (int64_t i = k * ahead; i < (k + 1) * ahead && i < line->now.rows; i++)
            outcome_prefetch(&line->now, i);
        if (k < wait || before.done == before.rows) continue;
        if (form.is_whole)
            outcome_rows_as(&before, form, share);
        else
            outcome_part(&before, share);
    }
    float *sums = line->sums[0];
    line->sums[0] = line->sums[1];
    line->sums[1] = sums;
    tiles_store(factors, sums, SIDE);
    line->now.sums = sums;
    line->before = line->now;
}

static void multiply(pipeline *line, const tile_factors *factors, int64_t steps)
{
#define BESIDE(form) multiply_beside(line, factors, steps, form)
    if (line->before.columns < SIDE) { /* also: there is none */
        BESIDE((outcome_form){.is_whole = false});
    } else {
        OUTCOME_FORMS(&line->before, true, BESIDE)
    }
#undef BESIDE
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

#endif
