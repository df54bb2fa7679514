/* SPDX-License-Identifier: Apache-2.0
 * mpi/feature_cache.h - target features that are computed once a sample, where neither the target network nor
 * what it sees of a sample ever changes.
 *
 * A rank keeps what it has computed itself. A micro-batch is taken from here only as a whole: computing a
 * part of one would be a product of another shape, and its bits might differ. Its place in one
 * does not matter (device.h: linear). Used by one thread. */
#ifndef FSFM_MPI_FEATURE_CACHE_H
#define FSFM_MPI_FEATURE_CACHE_H

#include "io/reader.h"

typedef struct fsfm_feature_cache fsfm_feature_cache;

/* For width features of each of counts[i] samples of source i. The memory is touched as samples come to be
 * known. The caller owns *out and ends it with fsfm_feature_cache_free(); on failure *out is NULL. */
FSFM_MUST_USE
fsfm_status fsfm_feature_cache_create(const int64_t *counts, int sources, int64_t width,
                                      fsfm_feature_cache **out, fsfm_error *err);
void fsfm_feature_cache_free(fsfm_feature_cache **cache); /* accepts NULL */
/* What so many samples take once all are known. */
uint64_t fsfm_feature_cache_bytes(int64_t samples, int64_t width);

/* Whether all B samples are known: then sets rows (B, width), else leaves them alone. */
bool fsfm_feature_cache_recall(const fsfm_feature_cache *cache, const fsfm_sample_ref *refs, int64_t B,
                               float *rows);
/* Keeps rows (B, width), copied, of those samples that are not known yet. */
void fsfm_feature_cache_remember(fsfm_feature_cache *cache, const fsfm_sample_ref *refs, int64_t B,
                                 const float *rows);
#endif
