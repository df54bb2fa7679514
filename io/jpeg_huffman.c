/* SPDX-License-Identifier: Apache-2.0 */
#include "io/jpeg_huffman.h"

#include <endian.h>
#include <string.h>

enum { INDEX_BITS = FSFM_HUFFMAN_INDEX_BITS, LENGTH_MAX = 16, DC_SIZE_MAX = 11, AC_SIZE_MAX = 10 };

/* An entry of a table: bits 0 to 5 how many bits it takes, 8 to 12 by how many places the block goes on, 16
 * to 31 the coefficient there. But where APART is set, the number behind the code did not fit: 0 to 5 are the
 * code's bits, 16 to 31 the number's; END is set, the block has no more coefficients; NONE is set, the code
 * did not fit, or there is none that begins so. */
enum { APART = 1 << 13, END = 1 << 14, NONE = 1 << 15, FLAGS = APART | END | NONE };

/* Index in reading order of the k-th coefficient of a file, times the distance between them in memory. A
 * damaged block may go up to 16 places too far before that is seen. */
#define AT(i) ((i)*FSFM_JPEG_LANES)
static const uint16_t place_of[64 + 16] = {
    AT(0),  AT(1),  AT(8),  AT(16), AT(9),  AT(2),  AT(3),  AT(10), AT(17), AT(24), AT(32), AT(25), AT(18),
    AT(11), AT(4),  AT(5),  AT(12), AT(19), AT(26), AT(33), AT(40), AT(48), AT(41), AT(34), AT(27), AT(20),
    AT(13), AT(6),  AT(7),  AT(14), AT(21), AT(28), AT(35), AT(42), AT(49), AT(56), AT(57), AT(50), AT(43),
    AT(36), AT(29), AT(22), AT(15), AT(23), AT(30), AT(37), AT(44), AT(51), AT(58), AT(59), AT(52), AT(45),
    AT(38), AT(31), AT(39), AT(46), AT(53), AT(60), AT(61), AT(54), AT(47), AT(55), AT(62), AT(63)};

int fsfm_jpeg_reading_index(int k)
{
    return place_of[k] / FSFM_JPEG_LANES;
}

/* The number that size bits from the top of window stand for: a first bit of 0 means that it is negative. */
static inline int number(uint64_t window, uint32_t size)
{
    const int64_t if_negative =
        (int64_t)(window >> 63) - 1;                  /* all bits, or none: no branch on random signs */
    const uint64_t bits = window >> 1 >> (63 - size); /* size 0: none */
    return (int)((int64_t)bits + (if_negative & (1 - ((int64_t)1 << size))));
}

/* What a code of length bits stands for, without its bits; NONE where it may not be in a picture. */
static uint32_t meaning(bool is_ac, uint8_t symbol)
{
    const uint32_t size = symbol & 15, run = symbol >> 4;
    if (!is_ac) return symbol <= DC_SIZE_MAX ? size << 16 | 1 << 8 : NONE;
    if (symbol == 0x00) return END;
    if (size > AC_SIZE_MAX || (size == 0 && run != 15)) return NONE;
    return size << 16 | (run + 1) << 8;
}

/* All entries whose index begins with code. */
static void enter(fsfm_huffman_table *table, uint32_t code, int length, uint8_t symbol)
{
    const uint32_t found = meaning(table->is_ac, symbol);
    const int rest = INDEX_BITS - length, size = (int)(found >> 16);
    for (uint32_t behind = 0; behind < (uint32_t)1 << rest; behind++) {
        uint32_t *entry = &table->entries[code << rest | behind];
        if (found == NONE)
            *entry = NONE;
        else if (found == END)
            *entry = END | (uint32_t)length;
        else if (size > rest)
            *entry = found | APART | (uint32_t)length;
        else {
            const int value = rest ? number((uint64_t)behind << (64 - rest), (uint32_t)size) : 0;
            *entry = (uint32_t)(uint16_t)value << 16 | (found & 0xff00) | (uint32_t)(length + size);
        }
    }
}

bool fsfm_huffman_table_make(fsfm_huffman_table *table, bool is_ac, const uint8_t *counts,
                             const uint8_t *symbols, int symbol_count)
{
    if (symbol_count < 1) return false;
    if (table->symbol_count == symbol_count && table->is_ac == is_ac &&
        memcmp(table->counts + 1, counts, LENGTH_MAX) == 0 &&
        memcmp(table->symbols, symbols, (size_t)symbol_count) == 0)
        return true;
    table->symbol_count = 0;
    table->is_ac = is_ac;
    memcpy(table->counts + 1, counts, LENGTH_MAX);
    memcpy(table->symbols, symbols, (size_t)symbol_count);
    for (int i = 0; i < symbol_count; i++)
        if (!is_ac && symbols[i] > 15) return false;
    for (int i = 0; i < 1 << INDEX_BITS; i++) table->entries[i] = NONE;
    int code = 0, symbol = 0;
    for (int length = 1; length <= LENGTH_MAX; length++, code *= 2) {
        table->first_code[length] = code;
        table->first_symbol[length] = symbol;
        if (table->counts[length] && code + table->counts[length] >= 1 << length) return false;
        for (int i = 0; i < table->counts[length]; i++, code++, symbol++)
            if (length <= INDEX_BITS) enter(table, (uint32_t)code, length, table->symbols[symbol]);
    }
    table->symbol_count = symbol_count;
    return true;
}

int64_t fsfm_bits_left(const fsfm_bit_reader *bits)
{
    return (int64_t)(bits->end - bits->next) * 8 + bits->ahead;
}

/* Fills the window up to 56 bits or more. */
static inline void refill(fsfm_bit_reader *bits)
{
    uint64_t word;
    memcpy(&word, bits->next, sizeof word);
    bits->window |= be64toh(word) >> bits->ahead;
    bits->next += (63 - bits->ahead) >> 3;
    bits->ahead |= 56;
}

static inline void take(fsfm_bit_reader *bits, uint32_t count)
{
    bits->window <<= count & 63;
    bits->ahead -= (int)(count & 63);
}

/* What a code stands for that is longer than an index: meaning(), with the code's bits. */
static uint32_t find_long(const fsfm_bit_reader *bits, const fsfm_huffman_table *table)
{
    for (int length = INDEX_BITS + 1; length <= LENGTH_MAX; length++) {
        const int i = (int)(bits->window >> (64 - length)) - table->first_code[length];
        if (i < 0 || i >= table->counts[length]) continue;
        const uint32_t found = meaning(table->is_ac, table->symbols[table->first_symbol[length] + i]);
        return found == NONE ? NONE : found | (uint32_t)length;
    }
    return NONE;
}

/* Takes what an entry with a flag announces, or the code that is not in the index. *entry becomes END, NONE
 * or the places to go on, *value the coefficient. */
static void take_apart(fsfm_bit_reader *bits, const fsfm_huffman_table *table, uint32_t *entry, int *value)
{
    refill(bits);
    if (*entry & NONE) *entry = find_long(bits, table);
    take(bits, *entry);
    *value = 0;
    if (*entry & (END | NONE)) return;
    const uint32_t size = *entry >> 16;
    *value = number(bits->window, size);
    take(bits, size);
}

static bool take_first(fsfm_bit_reader *bits, const fsfm_huffman_table *table, int *dc)
{
    refill(bits);
    uint32_t entry = table->entries[bits->window >> (64 - INDEX_BITS)];
    int difference = (int16_t)(entry >> 16);
    if (entry & FLAGS)
        take_apart(bits, table, &entry, &difference);
    else
        take(bits, entry);
    *dc += difference;
    return !(entry & NONE) && *dc >= -FSFM_HUFFMAN_DC_MAX && *dc <= FSFM_HUFFMAN_DC_MAX;
}

/* Takes one coefficient if its entry has no flag. False where that was not so, or the block is full. */
static inline bool take_short(fsfm_bit_reader *bits, const fsfm_huffman_table *table, uint32_t *entry,
                              uint32_t *k, int16_t *coefficients)
{
    *entry = table->entries[bits->window >> (64 - INDEX_BITS)];
    if (*entry & (APART | NONE)) return false;
    take(bits, *entry);
    if (*entry & END) return false;
    *k += *entry >> 8 & 31;
    coefficients[place_of[*k]] = (int16_t)(*entry >> 16);
    return *k < 63;
}

/* Adds a block to coefficients, whose lane it is. *dc: the first coefficient of the block before, then of
 * this one. False where the bits are no code, or one that no 8-bit picture needs. */
static inline bool take_block(fsfm_bit_reader *bits, const fsfm_huffman_pair *tables, int *dc,
                              int16_t *coefficients)
{
    uint32_t k = 0, entry = 0;
    if (!take_first(bits, tables->dc, dc)) return false;
    coefficients[0] = (int16_t)*dc;
    while (k < 63) {
        int value = 0;
        refill(bits); /* enough for five */
        if (take_short(bits, tables->ac, &entry, &k, coefficients) &&
            take_short(bits, tables->ac, &entry, &k, coefficients) &&
            take_short(bits, tables->ac, &entry, &k, coefficients) &&
            take_short(bits, tables->ac, &entry, &k, coefficients) &&
            take_short(bits, tables->ac, &entry, &k, coefficients))
            continue;
        if (!(entry & (APART | NONE))) break;
        take_apart(bits, tables->ac, &entry, &value);
        if (entry & NONE) return false;
        if (entry & END) break; /* by a long code */
        k += entry >> 8 & 31;
        coefficients[place_of[k]] = (int16_t)value;
    }
    return k <= 63;
}

bool fsfm_huffman_read(fsfm_bit_reader *bits, const fsfm_huffman_pair tables[3], int count, int dc[3],
                       fsfm_jpeg_lanes components[3])
{
    fsfm_bit_reader b = *bits; /* in registers */
    for (int lane = 0; lane < count; lane++) {
        for (int c = 0; c < 3; c++)
            if (!take_block(&b, &tables[c], &dc[c], &components[c][0][lane])) return false;
        if (fsfm_bits_left(&b) < 0) return false;
    }
    *bits = b;
    return true;
}
