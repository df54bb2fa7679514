/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/pack.h - factors of large products, packed into words along the depth. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_PACK_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_PACK_H

#include "core/device/cpu/kernels/transpose.h"

enum { LINE = 64 /* bytes of a cache line */, AHEAD = 16384 /* bytes, of reads that are asked for */ };

/* The words of a block's depth that are at work: those of the numbers [first, first + count). */
typedef struct {
    int64_t first, count, words;
} depth_chunk;

/* Asks for size_bytes from where reads or writes will follow: rows lie far apart, which no processor guesses.
 */
ALWAYS_INLINE void prefetch_row(const void *at, int64_t size_bytes)
{
    for (int64_t i = 0; i < size_bytes; i += LINE) __builtin_prefetch((const char *)at + i);
}

/* Numbers k and k + 1 of row, of count, as a word. */
ALWAYS_INLINE word word_at(const act *row, int64_t k, int64_t count)
{
    word x = 0;
    memcpy(&x, row + k, (size_t)(count - k < PER_WORD ? count - k : PER_WORD) * sizeof *row);
    return x;
}

/* Words across rows even and odd (NULL: there is none), of columns from first on, padded with zeros to width.
 */
static inline void pack_edge(const act *even, const act *odd, int64_t first, int64_t columns, int64_t width,
                             word *out)
{
    for (int64_t c = first; c < width; c += VW) {
        const vf lower = c < columns ? act_load_at(even, c, columns) : (vf){0};
        const vf upper = c < columns && odd ? act_load_at(odd, c, columns) : (vf){0};
        words_store(out + c, words_across(lower, upper));
    }
}

/* out (words, width) = columns of x (K, stride), padded with zeros; width is a multiple of VW. In strips: one
 * of so many columns after the other, strip words apart. Rows are read as a whole, which is when processors
 * fetch ahead. */
ALWAYS_INLINE void pack_down(const act *x, int64_t stride, int64_t columns, int64_t width, int64_t strip,
                             const depth_chunk *depth, word *out)
{
    const int64_t step = PER_WORD * stride, row_bytes = columns * (int64_t)sizeof *x;
    const int64_t ahead = (AHEAD / (PER_WORD * row_bytes) + 1) * step;
    const act *row = x + depth->first * stride;
    int64_t left = depth->count;
    for (; left > 0; left -= PER_WORD, row += step, out += width) {
        const act *next = left >= PER_WORD ? row + (PER_WORD - 1) * stride : NULL;
        word *to = out;
        for (int64_t i = 0; i < PER_WORD; i++) prefetch_row(row + ahead + i * stride, row_bytes);
        for (int64_t first = 0; first < columns; first += width, to += strip) {
            const int64_t rest = columns - first;
            if (next && rest >= width)
                for (int64_t c = 0; c < width; c += VW)
                    words_store(to + c, words_zip(row + first + c, next + first + c));
            else
                pack_edge(row + first, next ? next + first : NULL, 0, rest, width, to);
        }
    }
}

/* out (words, width) = rows (columns, K) turned round, padded with zeros. */
static inline void pack_turned(const act *rows, int64_t K, int64_t columns, int64_t width, word *out)
{
    const int64_t words = words_of(K);
    if (are_words(rows, K))
        words_transpose((const word *)(const void *)rows, words, columns, words, out, width);
    else
        for (int64_t n = 0; n < width; n++)
            for (int64_t k = 0; k < words; k++)
                out[k * width + n] = n < columns ? word_at(rows + n * K, k * PER_WORD, K) : 0;
}

#endif
