/* SPDX-License-Identifier: Apache-2.0
 * io/jpeg_huffman.h - the entropy-coded part of a baseline JPEG, block by block; private to io.
 *
 * The next bits, as an index into a table, give a code and the number behind it at once where both are short;
 * the others go a slower way. */
#ifndef FSFM_IO_JPEG_HUFFMAN_H
#define FSFM_IO_JPEG_HUFFMAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/jpeg_blocks.h"

enum { FSFM_HUFFMAN_INDEX_BITS = 10, FSFM_HUFFMAN_SLACK = 1024 };

/* One table of a DHT segment, ready for use; zeros: none yet. */
typedef struct {
    uint32_t entries[1 << FSFM_HUFFMAN_INDEX_BITS];
    int first_code[17], first_symbol[17]; /* of the codes of each length; the symbol's index */
    uint8_t counts[17], symbols[256];     /* as in the file; counts[0] is 0 */
    int symbol_count;
    bool is_ac;
} fsfm_huffman_table;

/* What a coefficient of a file that this reads may be, in magnitude. */
enum { FSFM_HUFFMAN_DC_MAX = 2047, FSFM_HUFFMAN_AC_MAX = 1023 };

/* Makes a table of counts (16) and symbols; does nothing where it is that table already. False where libjpeg
 * takes them for no Huffman table. */
bool fsfm_huffman_table_make(fsfm_huffman_table *table, bool is_ac, const uint8_t *counts,
                             const uint8_t *symbols, int symbol_count);

/* Where the k-th coefficient of a file (0 .. 63, in zigzag order) stands in reading order. */
int fsfm_jpeg_reading_index(int k);

/* Takes bits from a scan without its stuffed zeros. FSFM_HUFFMAN_SLACK bytes behind end must be there. */
typedef struct {
    const uint8_t *next, *end;
    uint64_t window; /* what comes next, from the top bit on */
    int ahead;       /* bits of window that lie before next */
} fsfm_bit_reader;
/* Bits left; negative where more was taken than there was. */
int64_t fsfm_bits_left(const fsfm_bit_reader *bits);

typedef struct {
    const fsfm_huffman_table *dc, *ac;
} fsfm_huffman_pair;

/* Reads count blocks of each component, lane by lane, into components, which are zeros. dc: the components'
 * first coefficients of the last block before, then of the last one read. False where the bits end, or are no
 * code, or one that no 8-bit picture needs. */
bool fsfm_huffman_read(fsfm_bit_reader *bits, const fsfm_huffman_pair tables[3], int count, int dc[3],
                       fsfm_jpeg_lanes components[3]);
#endif
