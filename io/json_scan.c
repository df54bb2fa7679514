/* SPDX-License-Identifier: Apache-2.0 */
#include "io/json_scan.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_SIZE = 64 };

typedef struct {
    const char *at, *end;
} scanner;

typedef struct {
    const char *at;
    size_t size_bytes;
} piece;

static void skip_spaces(scanner *s)
{
    while (s->at < s->end && isspace((unsigned char)*s->at)) s->at++;
}

static bool take(scanner *s, char wanted)
{
    skip_spaces(s);
    if (s->at == s->end || *s->at != wanted) return false;
    s->at++;
    return true;
}

/* A string; out: what is between the quotes, as it stands. */
static bool take_text(scanner *s, piece *out)
{
    if (!take(s, '"')) return false;
    out->at = s->at;
    while (s->at < s->end && *s->at != '"' && (unsigned char)*s->at >= 0x20)
        s->at += *s->at == '\\' && s->end - s->at > 1 ? 2 : 1;
    if (s->at == s->end || *s->at != '"') return false;
    out->size_bytes = (size_t)(s->at - out->at);
    s->at++;
    return true;
}

/* An object or a list: up to the bracket that closes it. */
static bool take_nested(scanner *s)
{
    piece text;
    int depth = 0;
    do {
        skip_spaces(s);
        if (s->at == s->end) return false;
        if (*s->at == '"') {
            if (!take_text(s, &text)) return false;
            continue;
        }
        if (*s->at == '{' || *s->at == '[') depth++;
        if (*s->at == '}' || *s->at == ']') depth--;
        s->at++;
    } while (depth > 0);
    return true;
}

static bool take_value(scanner *s, piece *out)
{
    piece text;
    skip_spaces(s);
    out->at = s->at;
    if (s->at == s->end) return false;
    if (*s->at == '"') {
        if (!take_text(s, &text)) return false;
    } else if (*s->at == '{' || *s->at == '[') {
        if (!take_nested(s)) return false;
    } else {
        while (s->at < s->end && (isalnum((unsigned char)*s->at) || strchr("+-.", *s->at))) s->at++;
    }
    out->size_bytes = (size_t)(s->at - out->at);
    return out->size_bytes > 0;
}

/* Goes through the whole object; *value is that of key (NULL: of none) where there is one, else empty. */
static bool scan_object(const char *bytes, size_t size_bytes, const char *key, piece *value)
{
    scanner s = {.at = bytes, .end = bytes + size_bytes};
    piece name, here;
    *value = (piece){NULL, 0};
    if (!take(&s, '{')) return false;
    bool more = !take(&s, '}');
    while (more) {
        if (!take_text(&s, &name) || !take(&s, ':') || !take_value(&s, &here)) return false;
        if (key && strlen(key) == name.size_bytes && memcmp(key, name.at, name.size_bytes) == 0)
            *value = here;
        more = take(&s, ',');
        if (!more && !take(&s, '}')) return false;
    }
    skip_spaces(&s);
    return s.at == s.end;
}

bool fsfm_json_is_object(const char *bytes, size_t size_bytes)
{
    piece value;
    return scan_object(bytes, size_bytes, NULL, &value);
}

/* What stands there as a text of its own, for functions that read numbers. */
static bool find_word(const char *bytes, size_t size_bytes, const char *key, char out[NUMBER_SIZE])
{
    piece value;
    if (!scan_object(bytes, size_bytes, key, &value) || value.size_bytes == 0 ||
        value.size_bytes >= NUMBER_SIZE)
        return false;
    memcpy(out, value.at, value.size_bytes);
    out[value.size_bytes] = 0;
    return true;
}

bool fsfm_json_find_int(const char *bytes, size_t size_bytes, const char *key, int64_t *out)
{
    char digits[NUMBER_SIZE], *end = NULL;
    if (!find_word(bytes, size_bytes, key, digits)) return false;
    errno = 0;
    const long long number = strtoll(digits, &end, 10);
    if (errno != 0 || end == digits || *end != 0) return false;
    *out = number;
    return true;
}

bool fsfm_json_find_real(const char *bytes, size_t size_bytes, const char *key, double *out)
{
    char digits[NUMBER_SIZE], *end = NULL;
    if (!find_word(bytes, size_bytes, key, digits)) return false;
    const double number = strtod(digits, &end);
    if (end == digits || *end != 0 || !isfinite(number)) return false;
    *out = number;
    return true;
}

bool fsfm_json_find_text(const char *bytes, size_t size_bytes, const char *key, char *out, size_t out_bytes)
{
    piece value;
    if (!scan_object(bytes, size_bytes, key, &value) || value.size_bytes < 2 || value.at[0] != '"' ||
        value.size_bytes - 2 >= out_bytes || memchr(value.at, '\\', value.size_bytes))
        return false;
    memcpy(out, value.at + 1, value.size_bytes - 2);
    out[value.size_bytes - 2] = 0;
    return true;
}
