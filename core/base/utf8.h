/* SPDX-License-Identifier: Apache-2.0
 * core/base/utf8.h - characters of UTF-8 text, and those that YAML can hold as they are. */
#ifndef FSFM_CORE_BASE_UTF8_H
#define FSFM_CORE_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Decodes the character at text (not at its end); returns its size in bytes, 0 where the bytes are not UTF-8.
 */
size_t fsfm_utf8_decode(const char *text, uint32_t *code);
/* Not a control character, line break (ASCII or Unicode), byte order mark or non-character. */
bool fsfm_utf8_is_printable(uint32_t code);

#ifdef __cplusplus
}
#endif
#endif
