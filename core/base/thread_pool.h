/* SPDX-License-Identifier: Apache-2.0
 * core/base/thread_pool.h - a team of threads for loops inside one step.
 *
 * Work is cut into numbered pieces by the caller, by shape alone; which thread takes a piece changes from run
 * to run, so a piece must not depend on it: then results do not depend on the number of threads. */
#ifndef FSFM_CORE_BASE_THREAD_POOL_H
#define FSFM_CORE_BASE_THREAD_POOL_H

#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fsfm_thread_pool fsfm_thread_pool;

/* Does piece number piece; thread (0 .. threads - 1) names the scratch memory it may use. */
typedef void (*fsfm_piece_fn)(void *context, int64_t piece, int thread);

/* threads >= 1, the caller's thread included (threads - 1 are started). The caller owns *out. */
FSFM_MUST_USE
fsfm_status fsfm_thread_pool_start(int threads, fsfm_thread_pool **out, fsfm_error *err);
int fsfm_thread_pool_size(const fsfm_thread_pool *pool);
/* Runs all pieces and returns when the last is done. One caller at a time; allocates nothing. */
void fsfm_thread_pool_run(fsfm_thread_pool *pool, int64_t pieces, fsfm_piece_fn fn, void *context);
void fsfm_thread_pool_stop(fsfm_thread_pool **pool); /* accepts NULL; sets *pool to NULL */

/* Processors that this process may run on (its affinity mask), at least 1. */
int fsfm_processors_available(void);

#ifdef __cplusplus
}
#endif
#endif
