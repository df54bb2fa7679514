/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/feature_cache.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct fsfm_feature_cache {
    int64_t width;
    int64_t *first; /* (sources + 1): the row of each source's first sample; behind them the number of rows */
    float *rows;    /* (samples, width) */
    uint8_t *known; /* a bit a sample */
};

static size_t known_bytes(int64_t samples)
{
    return (size_t)(samples + 7) / 8;
}

uint64_t fsfm_feature_cache_bytes(int64_t samples, int64_t width)
{
    return (uint64_t)samples * (uint64_t)width * sizeof(float) + known_bytes(samples);
}

fsfm_status fsfm_feature_cache_create(const int64_t *counts, int sources, int64_t width,
                                      fsfm_feature_cache **out, fsfm_error *err)
{
    fsfm_feature_cache *cache = calloc(1, sizeof *cache);
    int64_t samples = 0;
    *out = NULL;
    if (cache) cache->first = malloc((size_t)(sources + 1) * sizeof *cache->first);
    if (!cache || !cache->first) goto failed;
    for (int i = 0; i < sources; i++) {
        cache->first[i] = samples;
        samples += counts[i];
    }
    cache->width = width;
    cache->first[sources] = samples;
    cache->rows = malloc((size_t)samples * (size_t)width * sizeof *cache->rows);
    cache->known = calloc(known_bytes(samples), 1);
    if (!cache->rows || !cache->known) goto failed;
    *out = cache;
    return FSFM_OK;
failed:
    fsfm_feature_cache_free(&cache);
    return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %" PRId64 " target features of %" PRId64 " samples",
                     width, samples);
}

void fsfm_feature_cache_free(fsfm_feature_cache **cache)
{
    fsfm_feature_cache *self = *cache;
    if (!self) return;
    free(self->first);
    free(self->rows);
    free(self->known);
    free(self);
    *cache = NULL;
}

static int64_t row_of(const fsfm_feature_cache *cache, const fsfm_sample_ref *ref)
{
    const int64_t row = cache->first[ref->place.source] + ref->place.sample;
    FSFM_ASSERT(row < cache->first[ref->place.source + 1]);
    return row;
}

static bool is_known(const fsfm_feature_cache *cache, int64_t row)
{
    return cache->known[row / 8] >> row % 8 & 1;
}

bool fsfm_feature_cache_recall(const fsfm_feature_cache *cache, const fsfm_sample_ref *refs, int64_t B,
                               float *rows)
{
    const size_t row_bytes = (size_t)cache->width * sizeof *rows;
    for (int64_t b = 0; b < B; b++)
        if (!is_known(cache, row_of(cache, &refs[b]))) return false;
    for (int64_t b = 0; b < B; b++)
        memcpy(rows + b * cache->width, cache->rows + row_of(cache, &refs[b]) * cache->width, row_bytes);
    return true;
}

void fsfm_feature_cache_remember(fsfm_feature_cache *cache, const fsfm_sample_ref *refs, int64_t B,
                                 const float *rows)
{
    const size_t row_bytes = (size_t)cache->width * sizeof *rows;
    for (int64_t b = 0; b < B; b++) {
        const int64_t row = row_of(cache, &refs[b]);
        if (is_known(cache, row)) continue;
        memcpy(cache->rows + row * cache->width, rows + b * cache->width, row_bytes);
        cache->known[row / 8] = (uint8_t)(cache->known[row / 8] | 1u << row % 8);
    }
}
