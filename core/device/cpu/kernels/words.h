/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/words.h - what products read: 32-bit words, each one float or two
 * bfloat16 that stand next to each other along the depth of the product. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_WORDS_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_WORDS_H

#include "core/device/cpu/kernels/act.h"

typedef uint32_t word __attribute__((may_alias));

#if defined FSFM_BF16
enum { PER_WORD = 2 };
#else
enum { PER_WORD = 1 };
#endif

/* Words that hold count numbers in depth. */
ALWAYS_INLINE int64_t words_of(int64_t count)
{
    return (count + PER_WORD - 1) / PER_WORD;
}

/* Whether rows of numbers, stride apart, are rows of words where they lie. */
ALWAYS_INLINE bool are_words(const void *x, int64_t stride)
{
    return stride % PER_WORD == 0 && (uintptr_t)x % sizeof(word) == 0;
}

ALWAYS_INLINE vu words_load(const word *p)
{
    typedef uint32_t unaligned __attribute__((vector_size(4 * VW), aligned(4), may_alias));
    return *(const unaligned *)p;
}

ALWAYS_INLINE void words_store(word *p, vu x)
{
    typedef uint32_t unaligned __attribute__((vector_size(4 * VW), aligned(4), may_alias));
    *(unaligned *)p = x;
}

ALWAYS_INLINE vu word_spread(word x)
{
    return x - (vu){0};
}

/* sum + a b, lane by lane; in bfloat16 of both pairs, added in float. */
ALWAYS_INLINE vf multiply_add(vf sum, vu a, vu b)
{
#if defined FSFM_BF16
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
#else
    return sum + (vf)a * (vf)b;
#endif
}

#if defined FSFM_BF16

/* VW pairs, of a number of the lower half of 2 VW and one of the upper. */
ALWAYS_INLINE vu words_paired(__m512i halves)
{
#define PAIR(i) (i), VW + (i)
    static const uint16_t order[2 * VW] __attribute__((aligned(64))) = {
        PAIR(0), PAIR(1), PAIR(2),  PAIR(3),  PAIR(4),  PAIR(5),  PAIR(6),  PAIR(7),
        PAIR(8), PAIR(9), PAIR(10), PAIR(11), PAIR(12), PAIR(13), PAIR(14), PAIR(15)};
#undef PAIR
    return (vu)_mm512_permutexvar_epi16(_mm512_load_si512(order), halves);
}

#endif

/* Numbers i .. i + VW - 1 of a row, as words along it. */
ALWAYS_INLINE void words_along(word *row, int64_t i, vf x)
{
    act_store((act *)row + i, x);
}

/* Words across two rows of depth; where a number is a word, of the even row alone. */
ALWAYS_INLINE vu words_across(vf even, vf odd)
{
#if defined FSFM_BF16
    return words_paired((__m512i)_mm512_cvtne2ps_pbh(odd, even));
#else
    (void)odd;
    return (vu)even;
#endif
}

/* The same of numbers in memory. */
ALWAYS_INLINE vu words_zip(const act *even, const act *odd)
{
#if defined FSFM_BF16
    const __m512i lower = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i_u *)even));
    return words_paired(_mm512_inserti64x4(lower, _mm256_loadu_si256((const __m256i_u *)odd), 1));
#else
    (void)odd;
    return (vu)vf_load(even);
#endif
}

#endif
