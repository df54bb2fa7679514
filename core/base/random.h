/* SPDX-License-Identifier: Apache-2.0
 * core/base/random.h - counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel
 * random numbers: as easy as 1, 2, 3", SC 2011).
 *
 * A stream is keyed by (seed, purpose) and counted by (epoch, sample): what a sample draws depends on nothing
 * else, not on ranks, threads, batch sizes or restarts. */
#ifndef FSFM_CORE_BASE_RANDOM_H
#define FSFM_CORE_BASE_RANDOM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Part of the format of a run: values never change, new ones are added at the end. */
typedef enum {
    FSFM_RANDOM_INIT = 1,     /* weights; sample = index of the tensor by name hash, epoch = 0 */
    FSFM_RANDOM_ORDER,        /* permutation of an epoch */
    FSFM_RANDOM_MASK,         /* the online network's mask */
    FSFM_RANDOM_TARGET_MASK,  /* target.view masked: the target network's own mask */
    FSFM_RANDOM_REGION_BATCH, /* mask.region_scope batch: the region of a group of samples */
    FSFM_RANDOM_EVAL_MASK,    /* fixed masks of evaluation */
    FSFM_RANDOM_EVAL_SHARE,   /* which samples eval.share holds out */
    FSFM_RANDOM_AUGMENT,      /* flip and crop */
    FSFM_RANDOM_SYNTH,        /* drawn faces */
    FSFM_RANDOM_TEST,         /* for tests only */
    FSFM_RANDOM_BENCH         /* images and regions to time a step on */
} fsfm_random_purpose;

typedef struct {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4];
    int used; /* words of block already handed out; 4 = none left */
} fsfm_random;

/* One application of Philox4x32-10. */
void fsfm_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A stream at its beginning. Streams with different arguments are independent; each holds 2^18 numbers or
 * more. */
fsfm_random fsfm_random_stream(uint64_t seed, fsfm_random_purpose purpose, uint32_t epoch, uint64_t sample);

uint32_t fsfm_random_u32(fsfm_random *random);
uint64_t fsfm_random_u64(fsfm_random *random);
/* Uniform in [0, 1), 53 bits. */
double fsfm_random_double(fsfm_random *random);
/* Uniform in [0, bound), exactly (rejection); bound >= 1. */
uint32_t fsfm_random_below(fsfm_random *random, uint32_t bound);
/* Standard normal (Box and Muller, two uniforms a call). */
double fsfm_random_normal(fsfm_random *random);
/* A 64-bit key from (seed, purpose, value), for hashes that need no stream. */
uint64_t fsfm_random_hash(uint64_t seed, fsfm_random_purpose purpose, uint64_t value);

#ifdef __cplusplus
}
#endif
#endif
