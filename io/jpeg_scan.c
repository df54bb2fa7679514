/* SPDX-License-Identifier: Apache-2.0
 * Each code waits for the one before it, so what counts is how little is done from one index to the next:
 * compiled for BMI2, whose shifts do not pass through one register, where the processor's kind has it. */
#include "io/jpeg_scan.h"

#include <endian.h>
#include <string.h>

enum {
    INDEX_BITS = FSFM_HUFFMAN_INDEX_BITS,
    LAST = FSFM_JPEG_BLOCK - 1,
    PLACES = LAST + FSFM_HUFFMAN_APART + 1
};

/* Index in reading order of the k-th coefficient of a file, times the distance between them in memory. What
 * is no coefficient, or one too many, is written behind them. */
#define AT(i) ((i)*FSFM_JPEG_LANES)
#define NOWHERE4 AT(64), AT(64), AT(64), AT(64)
#define NOWHERE16 NOWHERE4, NOWHERE4, NOWHERE4, NOWHERE4
#define NOWHERE64 NOWHERE16, NOWHERE16, NOWHERE16, NOWHERE16
static const uint16_t place_of[PLACES + 1] = {
    AT(0),  AT(1),  AT(8),  AT(16), AT(9),     AT(2),     AT(3),     AT(10),   AT(17), AT(24), AT(32), AT(25),
    AT(18), AT(11), AT(4),  AT(5),  AT(12),    AT(19),    AT(26),    AT(33),   AT(40), AT(48), AT(41), AT(34),
    AT(27), AT(20), AT(13), AT(6),  AT(7),     AT(14),    AT(21),    AT(28),   AT(35), AT(42), AT(49), AT(56),
    AT(57), AT(50), AT(43), AT(36), AT(29),    AT(22),    AT(15),    AT(23),   AT(30), AT(37), AT(44), AT(51),
    AT(58), AT(59), AT(52), AT(45), AT(38),    AT(31),    AT(39),    AT(46),   AT(53), AT(60), AT(61), AT(54),
    AT(47), AT(55), AT(62), AT(63), NOWHERE64, NOWHERE64, NOWHERE64, NOWHERE64};

int fsfm_jpeg_reading_index(int k)
{
    return place_of[k] / FSFM_JPEG_LANES;
}

int64_t fsfm_jpeg_scan_left(const fsfm_jpeg_scan *scan)
{
    return (int64_t)(scan->end - scan->next) * 8 + scan->ahead;
}

/* Fills the window up to 56 bits or more. */
static inline void refill(fsfm_jpeg_scan *scan)
{
    uint64_t word;
    memcpy(&word, scan->next, sizeof word);
    scan->window |= be64toh(word) >> scan->ahead;
    scan->next += (63 - scan->ahead) >> 3;
    scan->ahead |= 56;
}

static inline void take(fsfm_jpeg_scan *scan, int count)
{
    scan->window <<= count & 63;
    scan->ahead -= count;
}

static inline fsfm_huffman_entry look_up(const fsfm_jpeg_scan *scan, const fsfm_huffman_table *table)
{
    return table->entries[scan->window >> (64 - INDEX_BITS)];
}

/* The last number of an entry that window begins with. */
static inline int last_number(uint64_t window, fsfm_huffman_entry entry)
{
    const uint32_t taken = (uint32_t)(window >> (-entry.bits & 63));
    const uint32_t open = taken & ((1u << entry.size) - 1), first = open >> ((entry.size - 1) & 31);
    return (int)open + ((int)(first - 1) & entry.value[1]); /* no branch on random signs */
}

/* Takes one code, of any length, and its number. False where there is none such. */
static inline bool take_apart(fsfm_jpeg_scan *scan, const fsfm_huffman_table *table, int *run, int *value)
{
    refill(scan); /* 16 bits of a code and 11 of a number */
    const fsfm_huffman_code code = fsfm_huffman_find(table, scan->window);
    take(scan, code.bits);
    *run = code.run;
    *value = fsfm_huffman_number(scan->window, (uint32_t)code.size);
    take(scan, code.size);
    return code.bits > 0;
}

/* Leaves enough for two entries. */
static inline bool take_first(fsfm_jpeg_scan *scan, const fsfm_huffman_table *table, int *dc)
{
    refill(scan);
    const fsfm_huffman_entry entry = look_up(scan, table);
    if (entry.run[1] == FSFM_HUFFMAN_APART) {
        int run = 0, difference = 0;
        if (!take_apart(scan, table, &run, &difference)) return false;
        refill(scan);
        *dc += difference;
    } else {
        *dc += last_number(scan->window, entry);
        take(scan, entry.bits);
    }
    return *dc >= -FSFM_HUFFMAN_DC_MAX && *dc <= FSFM_HUFFMAN_DC_MAX;
}

/* Where a block stands, and stood before the last entry. */
typedef struct {
    uint32_t k, k_before; /* the last coefficient so far */
    uint64_t window_before;
    int bits; /* of the last entry */
} progress;

/* Takes an entry. False where the block has ended or does not go on as expected. */
static inline bool take_entry(fsfm_jpeg_scan *scan, const fsfm_huffman_table *table, progress *at,
                              int16_t *coefficients)
{
    const fsfm_huffman_entry entry = look_up(scan, table);
    *at = (progress){at->k + entry.run[1], at->k, scan->window, entry.bits};
    take(scan, entry.bits);
    coefficients[place_of[at->k_before + entry.run[0]]] = entry.value[0];
    coefficients[place_of[at->k]] = (int16_t)last_number(at->window_before, entry);
    return at->k < LAST;
}

/* After an entry that did not go on: undoes it and takes its first code alone, unless the block has ended
 * with it. What stood in the block's last places for the second code is overwritten or beyond them. False
 * where the block is wrong; *goes_on: it is not at its end. */
static inline bool settle(fsfm_jpeg_scan *scan, const fsfm_huffman_table *table, progress *at,
                          int16_t *coefficients, bool *goes_on)
{
    int run = 0, value = 0;
    *goes_on = false;
    if (at->k == LAST || (at->k >= FSFM_HUFFMAN_END && at->k < FSFM_HUFFMAN_END + LAST)) return true;
    scan->window = at->window_before;
    scan->ahead += at->bits;
    if (!take_apart(scan, table, &run, &value)) return false;
    if (run == FSFM_HUFFMAN_END) return true;
    at->k = at->k_before + (uint32_t)run;
    coefficients[place_of[at->k]] = (int16_t)value;
    *goes_on = at->k < LAST;
    return at->k <= LAST;
}

/* Adds a block to coefficients, whose lane it is. *dc: the first coefficient of the block before, then of
 * this one. False where the bits are no code, or one that no 8-bit picture needs. */
static inline bool take_block(fsfm_jpeg_scan *scan, const fsfm_huffman_pair *tables, int *dc,
                              int16_t *coefficients)
{
    const fsfm_huffman_table *ac = tables->ac;
    progress at = {.k = 0};
    bool goes_on = true;
    if (!take_first(scan, tables->dc, dc)) return false;
    coefficients[0] = (int16_t)*dc;
    if (!take_entry(scan, ac, &at, coefficients) || !take_entry(scan, ac, &at, coefficients))
        if (!settle(scan, ac, &at, coefficients, &goes_on)) return false;
    while (goes_on) {
        refill(scan); /* enough for three */
        if (!take_entry(scan, ac, &at, coefficients) || !take_entry(scan, ac, &at, coefficients) ||
            !take_entry(scan, ac, &at, coefficients))
            if (!settle(scan, ac, &at, coefficients, &goes_on)) return false;
    }
    return true;
}

bool fsfm_jpeg_scan_read(fsfm_jpeg_scan *scan, const fsfm_huffman_pair tables[3], int count, int dc[3],
                         fsfm_jpeg_lanes components[3])
{
    fsfm_jpeg_scan s = *scan; /* in registers */
    for (int lane = 0; lane < count; lane++) {
        for (int c = 0; c < 3; c++)
            if (!take_block(&s, &tables[c], &dc[c], &components[c][0][lane])) return false;
        if (fsfm_jpeg_scan_left(&s) < 0) return false;
    }
    *scan = s;
    return true;
}
