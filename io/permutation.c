/* SPDX-License-Identifier: Apache-2.0
 * Black and Rogaway, "Ciphers with arbitrary finite domains" (2002): a Feistel network over the next power of
 * four, applied again until the result falls below count. */
#include "core/base/random.h"
#include "io/sampler.h"

enum { ROUNDS = 8 }; /* four suffice on large domains; few bits need more to look random */

static uint32_t round_function(const fsfm_permutation *permutation, int round, uint32_t half)
{
    const uint64_t tweak = permutation->key[round % 4], key = permutation->key[(round + 1) % 4];
    const uint32_t counter[4] = {half, (uint32_t)round, (uint32_t)tweak, (uint32_t)(tweak >> 32)};
    const uint32_t philox_key[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    uint32_t out[4];
    fsfm_philox(counter, philox_key, out);
    return out[0];
}

fsfm_permutation fsfm_permutation_make(uint64_t count, uint64_t seed, uint32_t epoch, uint64_t salt)
{
    FSFM_ASSERT(count >= 1);
    fsfm_permutation permutation = {.count = count, .half_bits = 1};
    fsfm_random random = fsfm_random_stream(seed, FSFM_RANDOM_ORDER, epoch, salt);
    for (int i = 0; i < 4; i++) permutation.key[i] = fsfm_random_u64(&random);
    while (permutation.half_bits < 32 && (count - 1) >> (2 * permutation.half_bits)) permutation.half_bits++;
    return permutation;
}

uint64_t fsfm_permutation_at(const fsfm_permutation *permutation, uint64_t index)
{
    const int bits = permutation->half_bits;
    const uint32_t mask = (uint32_t)(((uint64_t)1 << bits) - 1);
    uint64_t at = index;
    FSFM_ASSERT(index < permutation->count);
    do {
        uint32_t left = (uint32_t)(at >> bits), right = (uint32_t)at & mask;
        for (int round = 0; round < ROUNDS; round++) {
            const uint32_t next = left ^ (round_function(permutation, round, right) & mask);
            left = right;
            right = next;
        }
        at = (uint64_t)left << bits | right;
    } while (
        at >=
        permutation->count); /* the walk stays on index's cycle, so it ends, at index itself at the latest */
    return at;
}
