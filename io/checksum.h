/* SPDX-License-Identifier: Apache-2.0
 * io/checksum.h - XXH3-64, the one checksum used everywhere, with the widest vectors that the processor has.
 */
#ifndef FSFM_IO_CHECKSUM_H
#define FSFM_IO_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* libxxhash built for x86 can choose between SSE2, AVX2 and AVX-512 when it runs; without that the code is
 * inlined, compiled for what this build may use. */
#if defined(__x86_64__) && defined(__has_include)
#if __has_include(<xxh_x86dispatch.h>)
#define FSFM_CHECKSUM_DISPATCH
#endif
#endif
#ifdef FSFM_CHECKSUM_DISPATCH
#define XXH_DISPATCH_DISABLE_REPLACE
#include <xxh_x86dispatch.h>
#else
#define XXH_INLINE_ALL
#include <xxhash.h>
#endif

/* The rest of the streaming interface (XXH3_createState(), XXH3_64bits_reset(), ...) is libxxhash's own. */
static inline void fsfm_checksum_update(XXH3_state_t *state, const void *bytes, size_t size_bytes)
{
#ifdef FSFM_CHECKSUM_DISPATCH
    XXH3_64bits_update_dispatch(state, bytes, size_bytes);
#else
    XXH3_64bits_update(state, bytes, size_bytes);
#endif
}

static inline uint64_t fsfm_checksum(const void *bytes, size_t size_bytes)
{
#ifdef FSFM_CHECKSUM_DISPATCH
    return XXH3_64bits_dispatch(bytes, size_bytes);
#else
    return XXH3_64bits(bytes, size_bytes);
#endif
}
#endif
