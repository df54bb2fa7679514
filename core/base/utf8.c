/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/utf8.h"

size_t fsfm_utf8_decode(const char *text, uint32_t *code)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800,
                                        0x10000}; /* by size: longer forms are not allowed */
    const unsigned char *at = (const unsigned char *)text;
    *code = at[0];
    if (at[0] < 0x80) return 1;
    if (at[0] < 0xc2 || at[0] > 0xf4) return 0;
    const size_t size = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    *code = at[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) return 0;
        *code = *code << 6 | (at[i] & 0x3fu);
    }
    const bool is_surrogate = *code >= 0xd800 && *code < 0xe000;
    return *code < smallest[size] || *code > 0x10ffff || is_surrogate ? 0 : size;
}

bool fsfm_utf8_is_printable(uint32_t code)
{
    const bool is_control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    const bool is_break = code == 0x2028 || code == 0x2029;
    return !is_control && !is_break && code != 0xfeff && code != 0xfffe && code != 0xffff;
}
