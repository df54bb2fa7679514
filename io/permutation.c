/* SPDX-License-Identifier: Apache-2.0
 * Black and Rogaway, "Ciphers with arbitrary finite domains" (2002): a Feistel network over a grid that is
 * hardly larger than count, applied again until the result falls below count. */
#include <math.h>

#include "core/base/random.h"
#include "io/sampler.h"

enum { ROUNDS = 6 }; /* four suffice on large domains; small ones need more to look random */

/* Uniform in [0, bound), up to a bias of bound / 2^64. */
static uint64_t round_function(const fsfm_permutation *permutation, int round, uint64_t half, uint64_t bound)
{
    const uint64_t tweak = permutation->key[round % 4], key = permutation->key[(round + 1) % 4];
    const uint32_t counter[4] = {(uint32_t)half, (uint32_t)round, (uint32_t)tweak, (uint32_t)(tweak >> 32)};
    const uint32_t philox_key[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    uint32_t out[4];
    fsfm_philox(counter, philox_key, out);
    /* 64 random bits as a fraction, times bound: half and bound are at most the root of 2^64. */
    return ((((uint64_t)out[0] * bound) >> 32) + (uint64_t)out[1] * bound) >> 32;
}

fsfm_permutation fsfm_permutation_make(uint64_t count, uint64_t seed, uint32_t epoch, uint64_t salt)
{
    FSFM_ASSERT(count >= 1);
    fsfm_permutation permutation = {.count = count};
    fsfm_random random = fsfm_random_stream(seed, FSFM_RANDOM_ORDER, epoch, salt);
    for (int i = 0; i < 4; i++) permutation.key[i] = fsfm_random_u64(&random);
    permutation.rows = (uint64_t)ceil(sqrt((double)count));
    permutation.columns = (count - 1) / permutation.rows + 1;
    return permutation;
}

uint64_t fsfm_permutation_at(const fsfm_permutation *permutation, uint64_t index)
{
    const uint64_t rows = permutation->rows, columns = permutation->columns;
    uint64_t at = index;
    FSFM_ASSERT(index < permutation->count);
    do {
        uint64_t row = at / columns, column = at % columns;
        for (int round = 0; round < ROUNDS; round += 2) {
            row += round_function(permutation, round, column, rows);
            row -= row >= rows ? rows : 0;
            column += round_function(permutation, round + 1, row, columns);
            column -= column >= columns ? columns : 0;
        }
        at = row * columns + column;
    } while (
        at >=
        permutation->count); /* the walk stays on index's cycle, so it ends, at index itself at the latest */
    return at;
}
