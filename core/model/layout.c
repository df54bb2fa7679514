/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/layout.h"

static fsfm_area area_of(fsfm_keeps keeps, fsfm_buffer kind)
{
    switch (kind) {
    case FSFM_BUFFER_INPUT: return FSFM_AREA_KEPT;
    case FSFM_BUFFER_GRADIENT:
    case FSFM_BUFFER_PASSING: return FSFM_AREA_HALF;
    case FSFM_BUFFER_CHEAP:
        if (keeps == FSFM_KEEPS_MOST) return FSFM_AREA_HALF;
        break;
    case FSFM_BUFFER_INNER:
    case FSFM_BUFFER_STATISTICS: break;
    }
    if (keeps == FSFM_KEEPS_NOTHING) return FSFM_AREA_HALF;
    return keeps == FSFM_KEEPS_INPUTS ? FSFM_AREA_BLOCK : FSFM_AREA_KEPT;
}

static bool is_wanted(fsfm_keeps keeps, fsfm_buffer kind)
{
    return keeps != FSFM_KEEPS_NOTHING || (kind != FSFM_BUFFER_STATISTICS && kind != FSFM_BUFFER_GRADIENT);
}

void fsfm_layout_acts(const fsfm_layout *layout, fsfm_buffer kind, int64_t count, fsfm_act **place)
{
    if (!is_wanted(layout->keeps, kind))
        *place = NULL;
    else if (area_of(layout->keeps, kind) == layout->area)
        *place = fsfm_arena_acts(layout->arena, layout->dev, count);
}

void fsfm_layout_floats(const fsfm_layout *layout, fsfm_buffer kind, int64_t count, float **place)
{
    if (!is_wanted(layout->keeps, kind))
        *place = NULL;
    else if (area_of(layout->keeps, kind) == layout->area)
        *place = fsfm_arena_floats(layout->arena, count);
}

void fsfm_arena_cover(fsfm_arena *arena, const fsfm_arena *alternative)
{
    if (alternative->used_bytes > arena->used_bytes) arena->used_bytes = alternative->used_bytes;
}
