/* SPDX-License-Identifier: Apache-2.0
 * io/jpeg_huffman.h - the Huffman tables of a baseline JPEG, made ready for jpeg_scan.c; private to io.
 *
 * The next bits of the scan, as an index, give a code and the number behind it at once, and where they fit
 * the code and the number after that too. */
#ifndef FSFM_IO_JPEG_HUFFMAN_H
#define FSFM_IO_JPEG_HUFFMAN_H

#include <stdbool.h>
#include <stdint.h>

enum { FSFM_HUFFMAN_INDEX_BITS = 10, FSFM_HUFFMAN_LENGTH_MAX = 16 /* bits of a code */ };

/* Most bits of an entry's codes and numbers: three of other coefficients than the first, or one of the first
 * and two others, are in 56 bits. */
enum { FSFM_HUFFMAN_DC_BITS_MAX = 20, FSFM_HUFFMAN_AC_BITS_MAX = 18 };

/* What takes the place of a run: it leads to no coefficient, the block ends, or the index does not say what
 * the code is. */
enum { FSFM_HUFFMAN_NOWHERE = 64, FSFM_HUFFMAN_END = 128, FSFM_HUFFMAN_APART = 255 };

/* What an index means: up to two coefficients, or one and the end of the block. value[i] is run[i] places
 * behind the last coefficient before. Where there is one only, value[0] is the same as value[1] or goes
 * nowhere. The last number may be open: it is then the last size of the bits, and value[1] what is to be
 * added to them if they begin with 0. A run[1] of FSFM_HUFFMAN_END or more, and less than APART, is where the
 * last coefficient stands and the end behind it. */
typedef struct {
    uint8_t bits, size; /* of all codes and numbers; of the last number if it is open */
    uint8_t run[2];
    int16_t value[2];
} fsfm_huffman_entry;

/* One table of a DHT segment, ready for use; zeros: none yet. */
typedef struct {
    fsfm_huffman_entry entries[1 << FSFM_HUFFMAN_INDEX_BITS];
    int first_code[FSFM_HUFFMAN_LENGTH_MAX + 1], first_symbol[FSFM_HUFFMAN_LENGTH_MAX + 1]; /* by length */
    uint8_t counts[FSFM_HUFFMAN_LENGTH_MAX + 1], symbols[256]; /* as in the file; counts[0] is 0 */
    int symbol_count;
    bool is_ac;
} fsfm_huffman_table;

/* What a coefficient of a file that this reads may be, in magnitude. */
enum { FSFM_HUFFMAN_DC_MAX = 2047, FSFM_HUFFMAN_AC_MAX = 1023 };

/* Makes a table of counts (16) and symbols; does nothing where it is that table already. False where libjpeg
 * takes them for no Huffman table. */
bool fsfm_huffman_table_make(fsfm_huffman_table *table, bool is_ac, const uint8_t *counts,
                             const uint8_t *symbols, int symbol_count);

/* What a code stands for, without the number behind it. */
typedef struct {
    int bits; /* of the code; 0: no code begins so, or none that an 8-bit picture needs */
    int run;  /* FSFM_HUFFMAN_END: the block ends */
    int size; /* bits of the number */
} fsfm_huffman_code;
/* The code that window begins with, of any length. */
fsfm_huffman_code fsfm_huffman_find(const fsfm_huffman_table *table, uint64_t window);

/* The number that size bits from the top of window stand for: a first bit of 0 means that it is negative. */
static inline int fsfm_huffman_number(uint64_t window, uint32_t size)
{
    const int64_t if_negative =
        (int64_t)(window >> 63) - 1;                  /* all bits, or none: no branch on random signs */
    const uint64_t bits = window >> 1 >> (63 - size); /* size 0: none */
    return (int)((int64_t)bits + (if_negative & (1 - ((int64_t)1 << size))));
}
#endif
