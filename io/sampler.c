/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sampler.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/base/random.h"

enum { WORDS_PER_BLOCK = 8, BLOCK = 64 * WORDS_PER_BLOCK };

/* One source. Its samples are split into two kinds, held out or not, by a bitmap with counts by block. */
typedef struct {
    int64_t count;        /* all samples */
    int64_t held;         /* of them held out */
    int64_t per_epoch;    /* uses in an epoch */
    int64_t slots_before; /* uses of the sources before it in an epoch */
    uint64_t *is_held;    /* bitmap, whole blocks; NULL where nothing is held out */
    int64_t *held_before; /* (blocks + 1): held-out samples before each block */
} sampler_source;

struct fsfm_sampler {
    uint64_t seed;
    int source_count;
    int64_t epoch_samples, held_out;
    bool keeps_order; /* nothing is shuffled */
    sampler_source source[];
};

static const uint64_t epoch_salt =
    UINT64_MAX; /* of the order of an epoch's slots; sources have salts 0, 1, ... */

static bool is_held(const sampler_source *source, int64_t sample)
{
    return source->is_held && (source->is_held[sample / 64] >> (sample % 64) & 1);
}

/* Philox gives four words a call: samples 4 i .. 4 i + 3 share one. */
static void draw_bits(sampler_source *source, int index, uint64_t seed, double eval_share)
{
    const uint64_t limit = (uint64_t)(eval_share * 0x1p32);
    fsfm_random random = {.used = 4};
    for (int64_t i = 0; i < source->count; i++) {
        if (i % 4 == 0)
            random = fsfm_random_stream(seed, FSFM_RANDOM_EVAL_SHARE, (uint32_t)index, (uint64_t)i / 4);
        if (fsfm_random_u32(&random) < limit) source->is_held[i / 64] |= (uint64_t)1 << (i % 64);
    }
}

static fsfm_status hold_out(sampler_source *source, int index, uint64_t seed, double eval_share,
                            fsfm_error *err)
{
    const int64_t blocks = (source->count + BLOCK - 1) / BLOCK;
    if (eval_share == 0) return FSFM_OK;
    source->is_held = calloc((size_t)blocks, BLOCK / 8);
    source->held_before = calloc((size_t)blocks + 1, sizeof *source->held_before);
    if (!source->is_held || !source->held_before)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the held-out bits of %" PRId64 " samples",
                         source->count);
    draw_bits(source, index, seed, eval_share);
    for (int64_t block = 0; block < blocks; block++) {
        int64_t held = 0;
        for (int w = 0; w < WORDS_PER_BLOCK; w++)
            held += __builtin_popcountll(source->is_held[block * WORDS_PER_BLOCK + w]);
        source->held_before[block + 1] = source->held_before[block] + held;
    }
    source->held = source->held_before[blocks];
    return FSFM_OK;
}

/* Index of the rank-th (from 0) sample that is held out, or that is not. */
static int64_t select_sample(const sampler_source *source, bool held, int64_t rank)
{
    if (!source->is_held) return rank;
    int64_t low = 0, high = (source->count + BLOCK - 1) / BLOCK - 1; /* the block is in [low, high] */
    while (low < high) {
        const int64_t middle = (low + high + 1) / 2;
        const int64_t before =
            held ? source->held_before[middle] : middle * BLOCK - source->held_before[middle];
        if (before <= rank)
            low = middle;
        else
            high = middle - 1;
    }
    int64_t left = rank - (held ? source->held_before[low] : low * BLOCK - source->held_before[low]);
    for (int64_t w = low * WORDS_PER_BLOCK;; w++) {
        uint64_t word = held ? source->is_held[w] : ~source->is_held[w];
        const int64_t ones = __builtin_popcountll(word);
        if (left >= ones) {
            left -= ones;
            continue;
        }
        for (; left > 0; left--) word &= word - 1;
        return w * 64 + __builtin_ctzll(word);
    }
}

/* Largest remainder: everybody gets the whole part of the quota, and one more goes to those with the largest
 * rest. */
static void share_epoch(fsfm_sampler *sampler, const fsfm_sampler_source *sources)
{
    double weights = 0, rest[FSFM_SAMPLER_SOURCES_MAX];
    int64_t given = 0;
    for (int i = 0; i < sampler->source_count; i++) weights += sources[i].weight;
    for (int i = 0; i < sampler->source_count; i++) {
        const double quota = (double)sampler->epoch_samples * sources[i].weight / weights;
        const double whole = floor(quota + 1e-9); /* 0.1 + 0.2 + 0.7 is no whole 1 */
        sampler->source[i].per_epoch = (int64_t)whole;
        rest[i] = quota - whole;
        given += (int64_t)whole;
    }
    for (; given < sampler->epoch_samples; given++) {
        int largest = 0;
        for (int i = 1; i < sampler->source_count; i++)
            if (rest[i] > rest[largest]) largest = i;
        sampler->source[largest].per_epoch++;
        rest[largest] -= 1;
    }
    for (int i = 1; i < sampler->source_count; i++)
        sampler->source[i].slots_before =
            sampler->source[i - 1].slots_before + sampler->source[i - 1].per_epoch;
}

static fsfm_status check(const fsfm_sampler_source *sources, int count, double eval_share, fsfm_error *err)
{
    if (count < 1 || count > FSFM_SAMPLER_SOURCES_MAX)
        return fsfm_fail(err, FSFM_ERR_ARG, "%d data sources, expected 1 to %d", count,
                         FSFM_SAMPLER_SOURCES_MAX);
    if (!(eval_share >= 0 && eval_share <= 1))
        return fsfm_fail(err, FSFM_ERR_ARG, "share of held-out samples is %g, expected 0 to 1", eval_share);
    for (int i = 0; i < count; i++)
        if (sources[i].count < 1)
            return fsfm_fail(err, FSFM_ERR_ARG, "data source %d has no samples", i);
        else if (!(isfinite(sources[i].weight) && sources[i].weight > 0))
            return fsfm_fail(err, FSFM_ERR_ARG, "data source %d has weight %g, expected more than 0", i,
                             sources[i].weight);
    return FSFM_OK;
}

fsfm_status fsfm_sampler_create(const fsfm_sampler_source *sources, int count, uint64_t seed,
                                double eval_share, fsfm_sampler **out, fsfm_error *err)
{
    fsfm_sampler *sampler = NULL;
    fsfm_status st = FSFM_OK;
    *out = NULL;
    if ((st = check(sources, count, eval_share, err)) != FSFM_OK) return st;
    if (!(sampler = calloc(1, sizeof *sampler + (size_t)count * sizeof *sampler->source)))
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a sampler of %d sources", count);
    sampler->seed = seed;
    sampler->source_count = count;
    for (int i = 0; i < count; i++) {
        sampler->source[i].count = sources[i].count;
        if ((st = hold_out(&sampler->source[i], i, seed, eval_share, err)) != FSFM_OK) goto done;
        sampler->held_out += sampler->source[i].held;
        sampler->epoch_samples += sampler->source[i].count - sampler->source[i].held;
    }
    for (int i = 0; i < count; i++)
        if (sampler->source[i].held == sampler->source[i].count && sampler->epoch_samples > 0) {
            st = fsfm_fail(err, FSFM_ERR_ARG,
                           "data source %d: all of its %" PRId64 " samples are held out (share %g)", i,
                           sampler->source[i].count, eval_share);
            goto done;
        }
    share_epoch(sampler, sources);
    *out = sampler;
    sampler = NULL;
done:
    fsfm_sampler_free(&sampler);
    return st;
}

void fsfm_sampler_free(fsfm_sampler **sampler)
{
    if (!*sampler) return;
    for (int i = 0; i < (*sampler)->source_count; i++) {
        free((*sampler)->source[i].is_held);
        free((*sampler)->source[i].held_before);
    }
    free(*sampler);
    *sampler = NULL;
}

int64_t fsfm_sampler_epoch_samples(const fsfm_sampler *sampler)
{
    return sampler->epoch_samples;
}

void fsfm_sampler_keep_order(fsfm_sampler *sampler)
{
    sampler->keeps_order = true;
}

/* Where index stands in the shuffled order of [0, count). */
static uint64_t shuffle(const fsfm_sampler *sampler, uint64_t count, uint32_t epoch, uint64_t salt,
                        uint64_t index)
{
    if (sampler->keeps_order) return index;
    const fsfm_permutation permutation = fsfm_permutation_make(count, sampler->seed, epoch, salt);
    return fsfm_permutation_at(&permutation, index);
}

fsfm_place fsfm_sampler_place(const fsfm_sampler *sampler, uint32_t epoch, int64_t position)
{
    FSFM_ASSERT(position >= 0 && position < sampler->epoch_samples);
    const int64_t slot =
        (int64_t)shuffle(sampler, (uint64_t)sampler->epoch_samples, epoch, epoch_salt, (uint64_t)position);
    int i = sampler->source_count - 1;
    while (slot < sampler->source[i].slots_before) i--;
    const sampler_source *source = &sampler->source[i];
    const uint64_t N = (uint64_t)(source->count - source->held);
    /* The how-manieth use of this source in the whole run. */
    const uint64_t use = epoch * (uint64_t)source->per_epoch + (uint64_t)(slot - source->slots_before);
    const uint32_t pass = (uint32_t)(use / N);
    const int64_t rank = (int64_t)shuffle(sampler, N, pass, (uint64_t)i, use % N);
    return (fsfm_place){.source = i, .pass = pass, .sample = select_sample(source, false, rank)};
}

fsfm_place fsfm_sampler_replacement(const fsfm_sampler *sampler, fsfm_place place)
{
    const sampler_source *source = &sampler->source[place.source];
    const bool held = is_held(source, place.sample);
    do place.sample = (place.sample + 1) % source->count;
    while (is_held(source, place.sample) != held);
    return place;
}

int64_t fsfm_sampler_held_out(const fsfm_sampler *sampler)
{
    return sampler->held_out;
}

fsfm_place fsfm_sampler_held_out_place(const fsfm_sampler *sampler, int64_t position)
{
    FSFM_ASSERT(position >= 0 && position < sampler->held_out);
    int i = 0;
    for (; position >= sampler->source[i].held; i++) position -= sampler->source[i].held;
    return (fsfm_place){.source = i, .sample = select_sample(&sampler->source[i], true, position)};
}
