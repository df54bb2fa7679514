/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/arena.h"

#include "core/base/status.h"

/* Blocks of whole pages would all begin at the same place in a page, and a processor that compares the low
 * bits of addresses first would hold loads from one back for stores to another. */
enum { PAGE = 4096, STAGGER = 768 };

void *fsfm_arena_bytes(fsfm_arena *arena, size_t size_bytes)
{
    char *at = arena->base ? arena->base + arena->used_bytes : NULL;
    const size_t rounded = (size_bytes + FSFM_ARENA_ALIGN - 1) / FSFM_ARENA_ALIGN * FSFM_ARENA_ALIGN;
    arena->used_bytes += rounded;
    if (rounded > 0 && rounded % PAGE == 0) arena->used_bytes += STAGGER;
    FSFM_ASSERT(!arena->base || arena->used_bytes <= arena->limit_bytes);
    return at;
}

float *fsfm_arena_floats(fsfm_arena *arena, int64_t count)
{
    return fsfm_arena_bytes(arena, (size_t)count * sizeof(float));
}

int32_t *fsfm_arena_ints(fsfm_arena *arena, int64_t count)
{
    return fsfm_arena_bytes(arena, (size_t)count * sizeof(int32_t));
}
