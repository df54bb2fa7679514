/* SPDX-License-Identifier: Apache-2.0
 * io/sampler.h - which sample stands where: the order of every epoch, computed per index (no list of N).
 *
 * One or several datasets ("sources") are mixed by weight; an epoch has as many samples as all of them
 * together, a source appears w_i / sum(w) of it (largest remainder) and walks its own keyed permutation,
 * reshuffled each pass. Of each source a keyed share may be held out for evaluation. Pure functions after
 * creation; thread-safe. */
#ifndef FSFM_IO_SAMPLER_H
#define FSFM_IO_SAMPLER_H

#include <stdint.h>

#include "core/base/status.h"

/* A keyed permutation of [0, count): a Feistel network over a grid of rows x columns >= count, with cycle
 * walking. */
typedef struct {
    uint64_t count, rows, columns, key[4];
} fsfm_permutation;
fsfm_permutation fsfm_permutation_make(uint64_t count, uint64_t seed, uint32_t epoch, uint64_t salt);
uint64_t fsfm_permutation_at(const fsfm_permutation *permutation, uint64_t index);

typedef struct fsfm_sampler fsfm_sampler;

typedef struct {
    int64_t count; /* samples of this source */
    double weight;
} fsfm_sampler_source;

/* Where a place of the run leads. */
typedef struct {
    int source;
    uint32_t pass;  /* how often the source was walked through before; streams count by (pass, key) */
    int64_t sample; /* index in the source, in id order */
} fsfm_place;

enum { FSFM_SAMPLER_SOURCES_MAX = 255 };
/* Source and sample as one number, which counts the random streams of the sample. */
static inline uint64_t fsfm_place_key(fsfm_place place)
{
    return (uint64_t)place.source << 56 | (uint64_t)place.sample;
}

/* eval_share of each source, by keyed hash of the sample's index, is held out: fsfm_sampler_place() never
 * gives it out. 1 holds out everything (a dataset for evaluation only). */
FSFM_MUST_USE
fsfm_status fsfm_sampler_create(const fsfm_sampler_source *sources, int count, uint64_t seed,
                                double eval_share, fsfm_sampler **out, fsfm_error *err);
void fsfm_sampler_free(fsfm_sampler **sampler);
/* From now on each source's samples come in index order, and the sources behind one another: for measurements
 * of reading. Not while other threads use the sampler. */
void fsfm_sampler_keep_order(fsfm_sampler *sampler);
/* N: samples of an epoch (held-out ones not counted). */
int64_t fsfm_sampler_epoch_samples(const fsfm_sampler *sampler);
/* The sample at position (< N) of the order of epoch. */
fsfm_place fsfm_sampler_place(const fsfm_sampler *sampler, uint32_t epoch, int64_t position);
/* The sample that replaces a damaged one: the next index of its source (behind the last comes the first) that
 * is of the same kind, for training or held out; same pass. */
fsfm_place fsfm_sampler_replacement(const fsfm_sampler *sampler, fsfm_place place);
/* Held-out samples, in index order over the sources. */
int64_t fsfm_sampler_held_out(const fsfm_sampler *sampler);
fsfm_place fsfm_sampler_held_out_place(const fsfm_sampler *sampler, int64_t position);
#endif
