/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/random.h"

#include <math.h>

void fsfm_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u; /* the golden ratio, and sqrt(3) - 1: Weyl sequences for the keys */
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The key is the whole seed; purpose, epoch and sample fill the counter, whose first word's low bits count
 * blocks. */
fsfm_random fsfm_random_stream(uint64_t seed, fsfm_random_purpose purpose, uint32_t epoch, uint64_t sample)
{
    const fsfm_random random = {
        .key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
        .counter = {(uint32_t)purpose << 24, epoch, (uint32_t)sample, (uint32_t)(sample >> 32)},
        .used = 4,
    };
    return random;
}

uint32_t fsfm_random_u32(fsfm_random *random)
{
    if (random->used == 4) {
        fsfm_philox(random->counter, random->key, random->block);
        random->counter[0]++;
        random->used = 0;
    }
    return random->block[random->used++];
}

uint64_t fsfm_random_u64(fsfm_random *random)
{
    const uint64_t low = fsfm_random_u32(random);
    return low | (uint64_t)fsfm_random_u32(random) << 32;
}

double fsfm_random_double(fsfm_random *random)
{
    return (double)(fsfm_random_u64(random) >> 11) * 0x1p-53;
}

uint32_t fsfm_random_below(fsfm_random *random, uint32_t bound)
{
    /* Lemire, "Fast random integer generation in an interval", 2019: the high word of a product, biased low
     * words rejected. */
    uint64_t product = (uint64_t)fsfm_random_u32(random) * bound;
    if ((uint32_t)product < bound) {
        const uint32_t threshold = (uint32_t)-bound % bound;
        while ((uint32_t)product < threshold) product = (uint64_t)fsfm_random_u32(random) * bound;
    }
    return (uint32_t)(product >> 32);
}

double fsfm_random_normal(fsfm_random *random)
{
    const double pi = 3.14159265358979323846;
    const double u = 1.0 - fsfm_random_double(random); /* (0, 1]: the logarithm is finite */
    const double v = fsfm_random_double(random);
    return sqrt(-2.0 * log(u)) * cos(2.0 * pi * v);
}

uint64_t fsfm_random_hash(uint64_t seed, fsfm_random_purpose purpose, uint64_t value)
{
    fsfm_random random = fsfm_random_stream(seed, purpose, 0, value);
    return fsfm_random_u64(&random);
}
