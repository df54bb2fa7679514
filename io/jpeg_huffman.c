/* SPDX-License-Identifier: Apache-2.0 */
#include "io/jpeg_huffman.h"

#include <string.h>

enum {
    INDEX_BITS = FSFM_HUFFMAN_INDEX_BITS,
    INDICES = 1 << INDEX_BITS,
    LENGTH_MAX = FSFM_HUFFMAN_LENGTH_MAX,
    DC_SIZE_MAX = 11,
    AC_SIZE_MAX = 10
};

/* What symbol, whose code has length bits, stands for. */
static fsfm_huffman_code meaning(bool is_ac, uint8_t symbol, int length)
{
    const int size = symbol & 15, run = symbol >> 4;
    if (!is_ac) return (fsfm_huffman_code){symbol <= DC_SIZE_MAX ? length : 0, 0, size};
    if (symbol == 0x00) return (fsfm_huffman_code){length, FSFM_HUFFMAN_END, 0};
    if (size > AC_SIZE_MAX || (size == 0 && run != 15)) return (fsfm_huffman_code){0, 0, 0};
    return (fsfm_huffman_code){length, run + 1, size};
}

fsfm_huffman_code fsfm_huffman_find(const fsfm_huffman_table *table, uint64_t window)
{
    for (int length = 1; length <= LENGTH_MAX; length++) {
        const int i = (int)(window >> (64 - length)) - table->first_code[length];
        if (i >= 0 && i < table->counts[length])
            return meaning(table->is_ac, table->symbols[table->first_symbol[length] + i], length);
    }
    return (fsfm_huffman_code){0, 0, 0};
}

/* All entries whose index begins with code, by it alone. */
static void enter(fsfm_huffman_table *table, uint32_t code, int length, uint8_t symbol)
{
    const fsfm_huffman_code found = meaning(table->is_ac, symbol, length);
    const int rest = INDEX_BITS - length, bits = found.bits + found.size;
    const bool is_open = found.size > rest, goes_nowhere = is_open || found.run == FSFM_HUFFMAN_END;
    if (found.bits == 0 || bits > (table->is_ac ? FSFM_HUFFMAN_AC_BITS_MAX : FSFM_HUFFMAN_DC_BITS_MAX))
        return;
    for (uint32_t behind = 0; behind < (uint32_t)1 << rest; behind++) {
        const int value =
            is_open ? 1 - (1 << found.size)
                    : fsfm_huffman_number((uint64_t)behind << 1 << (63 - rest), (uint32_t)found.size);
        table->entries[code << rest | behind] = (fsfm_huffman_entry){
            .bits = (uint8_t)bits,
            .size = (uint8_t)(is_open ? found.size : 0),
            .run = {(uint8_t)(goes_nowhere ? FSFM_HUFFMAN_NOWHERE : found.run), (uint8_t)found.run},
            .value = {(int16_t)value, (int16_t)value}};
    }
}

/* Adds the code behind the first to an entry of one whole coefficient, if the index has all of it. singles:
 * the entries as they were before any was appended to. */
static void append(fsfm_huffman_entry *entry, const fsfm_huffman_entry *singles, uint32_t index)
{
    if (entry->run[0] != entry->run[1]) return;
    const fsfm_huffman_entry *next = &singles[(index << entry->bits) & (INDICES - 1)];
    if (next->run[1] == FSFM_HUFFMAN_APART || entry->bits + next->bits - next->size > INDEX_BITS ||
        entry->bits + next->bits > FSFM_HUFFMAN_AC_BITS_MAX)
        return;
    entry->bits = (uint8_t)(entry->bits + next->bits);
    entry->size = next->size;
    entry->run[1] = (uint8_t)(entry->run[0] + next->run[1]);
    entry->value[1] = next->value[1];
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
    for (int i = 0; i < INDICES; i++)
        table->entries[i] = (fsfm_huffman_entry){.run = {FSFM_HUFFMAN_NOWHERE, FSFM_HUFFMAN_APART}};
    int code = 0, symbol = 0;
    for (int length = 1; length <= LENGTH_MAX; length++, code *= 2) {
        table->first_code[length] = code;
        table->first_symbol[length] = symbol;
        if (table->counts[length] && code + table->counts[length] >= 1 << length) return false;
        for (int i = 0; i < table->counts[length]; i++, code++, symbol++)
            if (length <= INDEX_BITS) enter(table, (uint32_t)code, length, table->symbols[symbol]);
    }
    fsfm_huffman_entry singles[INDICES];
    memcpy(singles, table->entries, sizeof singles);
    for (uint32_t i = 0; is_ac && i < INDICES; i++) append(&table->entries[i], singles, i);
    table->symbol_count = symbol_count;
    return true;
}
