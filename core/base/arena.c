/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/arena.h"

#include "core/base/status.h"

void *fsfm_arena_bytes(fsfm_arena *arena, size_t size_bytes)
{
    char *at = arena->base ? arena->base + arena->used_bytes : NULL;
    arena->used_bytes += (size_bytes + FSFM_ARENA_ALIGN - 1) / FSFM_ARENA_ALIGN * FSFM_ARENA_ALIGN;
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
