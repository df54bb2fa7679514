/* SPDX-License-Identifier: Apache-2.0
 * core/base/arena.h - one allocation for everything that lives equally long.
 *
 * A layout function is run twice: on a measuring arena (base NULL), which only counts, then on the real one.
 * One list of buffers, so sizes and pointers agree. Memory may be device memory: the arena never touches it.
 */
#ifndef FSFM_CORE_BASE_ARENA_H
#define FSFM_CORE_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FSFM_ARENA_ALIGN ((size_t)256)

typedef struct {
    char *base;         /* NULL: measuring */
    size_t used_bytes;  /* so far, always a multiple of FSFM_ARENA_ALIGN */
    size_t limit_bytes; /* of the memory at base; taking more is a bug (asserted) */
} fsfm_arena;

/* The next size_bytes, aligned to FSFM_ARENA_ALIGN; NULL while measuring. */
void *fsfm_arena_bytes(fsfm_arena *arena, size_t size_bytes);
float *fsfm_arena_floats(fsfm_arena *arena, int64_t count);
int32_t *fsfm_arena_ints(fsfm_arena *arena, int64_t count);

#ifdef __cplusplus
}
#endif
#endif
