/* SPDX-License-Identifier: Apache-2.0 */
#include "io/yaml.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/base/utf8.h"

/* Words that readers of YAML 1.1 or 1.2 take for something else than text. */
static bool is_reserved(const char *text)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0) return true;
    return false;
}

/* A careful subset: begins with a letter, '/' or '_', so it is no number, and has none of YAML's signs. */
static bool is_plain(const char *text)
{
    static const char safe[] = "/_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.+-=@";
    const bool begins_well = strcspn(text, "0123456789.+-=@") > 0;
    return begins_well && text[strspn(text, safe)] == '\0' && !is_reserved(text);
}

const char *fsfm_yaml_quote(const char *text, char *out, size_t size_bytes)
{
    size_t used = 1;
    if (is_plain(text) && strlen(text) < size_bytes) return strcpy(out, text);
    if (size_bytes < 3) {
        if (size_bytes) *out = '\0';
        return out;
    }
    out[0] = '"';
    for (const char *at = text; *at;) {
        char piece[12];
        uint32_t code;
        size_t size = fsfm_utf8_decode(at, &code);
        if (size == 0) { /* not UTF-8: YAML has no way to write the byte, so show where it was */
            snprintf(piece, sizeof piece, "\\uFFFD");
            size = 1;
        } else if (!fsfm_utf8_is_printable(code)) {
            snprintf(piece, sizeof piece, code < 0x100 ? "\\x%02X" : "\\u%04X", (unsigned)code);
        } else {
            snprintf(piece, sizeof piece, "%s%.*s", code == '"' || code == '\\' ? "\\" : "", (int)size, at);
        }
        const size_t length = strlen(piece);
        if (used + length + 2 > size_bytes) break; /* cut off, but still a scalar */
        memcpy(out + used, piece, length);
        used += length;
        at += size;
    }
    out[used++] = '"';
    out[used] = '\0';
    return out;
}
