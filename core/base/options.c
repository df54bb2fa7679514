/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/options.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/base/number.h"
#include "core/base/utf8.h"

static bool is_printable(const char *text)
{
    while (*text) {
        uint32_t code;
        const size_t size = fsfm_utf8_decode(text, &code);
        if (size == 0 || !fsfm_utf8_is_printable(code)) return false;
        text += size;
    }
    return true;
}

static bool parse_bool(const char *text, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *out = i % 2 == 1;
            return true;
        }
    return false;
}

static bool parse_int(const fsfm_option *option, const char *text, int64_t *out)
{
    int64_t value;
    if (option->type == FSFM_OPTION_INT_OR_AUTO && strcmp(text, "auto") == 0)
        value = FSFM_AUTO;
    else if (!fsfm_number_int(text, &value) || (double)value < option->min || (double)value > option->max)
        return false;
    *out = value;
    return true;
}

static bool parse_real(const fsfm_option *option, const char *text, double *out)
{
    double value;
    if (!fsfm_number_real(text, &value) || value < option->min || value > option->max) return false;
    *out = value;
    return true;
}

/* "[a, b, c]", spaces anywhere but within a number. */
static bool parse_rgb(const fsfm_option *option, const char *text, double out[3])
{
    double values[3] = {NAN, NAN, NAN};
    if (strcmp(text, "auto") != 0) {
        static const char ends[] = ",,]";
        if (*text++ != '[') return false;
        for (int i = 0; i < 3; i++) {
            char word[40];
            text += strspn(text, " ");
            const size_t size = strcspn(text, " ,]");
            if (size >= sizeof word) return false;
            memcpy(word, text, size);
            word[size] = '\0';
            if (!parse_real(option, word, &values[i])) return false;
            text += size;
            text += strspn(text, " ");
            if (*text++ != ends[i]) return false;
        }
        if (*text) return false;
    }
    memcpy(out, values, sizeof values);
    return true;
}

static bool parse_choice(const fsfm_option *option, const char *text, int *out)
{
    for (int i = 0; option->choices[i]; i++)
        if (strcmp(text, option->choices[i]) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static bool parse_text(const char *text, char *out)
{
    if (strlen(text) >= FSFM_TEXT_SIZE || !is_printable(text)) return false;
    strcpy(out, text);
    return true;
}

fsfm_status fsfm_option_set(const fsfm_option *option, void *owner, const char *text, fsfm_error *err)
{
    void *member = (char *)owner + option->offset;
    bool is_good = false;
    switch (option->type) {
    case FSFM_OPTION_BOOL: is_good = parse_bool(text, member); break;
    case FSFM_OPTION_INT:
    case FSFM_OPTION_INT_OR_AUTO: is_good = parse_int(option, text, member); break;
    case FSFM_OPTION_REAL: is_good = parse_real(option, text, member); break;
    case FSFM_OPTION_RGB_OR_AUTO: is_good = parse_rgb(option, text, member); break;
    case FSFM_OPTION_TEXT: is_good = parse_text(text, member); break;
    case FSFM_OPTION_CHOICE: is_good = parse_choice(option, text, member); break;
    case FSFM_OPTION_SOURCES: /* of plain text none; lists are the reader's of YAML */
        is_good = !*text || strcmp(text, "[]") == 0;
        if (is_good) memset(member, 0, sizeof(fsfm_sources));
        break;
    }
    if (is_good) return FSFM_OK;
    char expected[256];
    return fsfm_fail(err, FSFM_ERR_ARG, "expected %s, found %s%.60s%s",
                     fsfm_option_expectation(option, expected, sizeof expected), *text ? "'" : "nothing",
                     text, *text ? "'" : "");
}

void fsfm_options_defaults(const fsfm_option *table, int count, void *owner)
{
    for (int i = 0; i < count; i++) {
        if (table[i].type == FSFM_OPTION_SOURCES)
            memset((char *)owner + table[i].offset, 0, sizeof(fsfm_sources));
        else
            FSFM_ASSERT(fsfm_option_set(&table[i], owner, table[i].fallback, NULL) == FSFM_OK);
    }
}

/* Text that grows in a buffer; what does not fit is cut off. */
typedef struct {
    char *out;
    size_t size_bytes, used;
} writer;

static void FSFM_PRINTF(2, 3) append(writer *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (w->used < w->size_bytes) {
        const int added = vsnprintf(w->out + w->used, w->size_bytes - w->used, fmt, args);
        if (added > 0) w->used += (size_t)added;
    }
    va_end(args);
}

/* A path has no control characters, so two escapes are enough within double quotes. */
static void append_sources(writer *w, const fsfm_sources *sources)
{
    char number[32];
    append(w, "[");
    for (int i = 0; i < sources->count; i++) {
        append(w, "%s{path: \"", i ? ", " : "");
        for (const char *c = sources->item[i].path; *c; c++)
            append(w, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
        append(w, "\", weight: %s}", fsfm_number_format(sources->item[i].weight, number));
    }
    append(w, "]");
}

static void append_rgb(writer *w, const double value[3])
{
    char a[32], b[32], c[32];
    if (isnan(value[0]))
        append(w, "auto");
    else
        append(w, "[%s, %s, %s]", fsfm_number_format(value[0], a), fsfm_number_format(value[1], b),
               fsfm_number_format(value[2], c));
}

const char *fsfm_option_format(const fsfm_option *option, const void *owner, char *out, size_t size_bytes)
{
    const void *member = (const char *)owner + option->offset;
    char number[32];
    writer w = {out, size_bytes, 0};
    append(&w, "%s", "");
    switch (option->type) {
    case FSFM_OPTION_BOOL: append(&w, "%s", *(const bool *)member ? "true" : "false"); break;
    case FSFM_OPTION_INT: append(&w, "%" PRId64, *(const int64_t *)member); break;
    case FSFM_OPTION_INT_OR_AUTO:
        if (*(const int64_t *)member == FSFM_AUTO)
            append(&w, "auto");
        else
            append(&w, "%" PRId64, *(const int64_t *)member);
        break;
    case FSFM_OPTION_REAL: append(&w, "%s", fsfm_number_format(*(const double *)member, number)); break;
    case FSFM_OPTION_RGB_OR_AUTO: append_rgb(&w, member); break;
    case FSFM_OPTION_TEXT: append(&w, "%s", (const char *)member); break;
    case FSFM_OPTION_CHOICE: append(&w, "%s", option->choices[*(const int *)member]); break;
    case FSFM_OPTION_SOURCES: append_sources(&w, member); break;
    }
    return out;
}

/* "from 1 to 64", "of at least 0" */
static const char *range_text(const fsfm_option *option, char out[80])
{
    char low[32], high[32];
    fsfm_number_format(option->min, low);
    if (option->max >= 0x1p63)
        snprintf(out, 80, "of at least %s", low);
    else
        snprintf(out, 80, "from %s to %s", low, fsfm_number_format(option->max, high));
    return out;
}

const char *fsfm_option_expectation(const fsfm_option *option, char *out, size_t size_bytes)
{
    char range[80];
    writer w = {out, size_bytes, 0};
    switch (option->type) {
    case FSFM_OPTION_BOOL: append(&w, "true or false"); break;
    case FSFM_OPTION_INT: append(&w, "a whole number %s", range_text(option, range)); break;
    case FSFM_OPTION_INT_OR_AUTO: append(&w, "auto or a whole number %s", range_text(option, range)); break;
    case FSFM_OPTION_REAL: append(&w, "a number %s", range_text(option, range)); break;
    case FSFM_OPTION_RGB_OR_AUTO:
        append(&w, "auto or [R, G, B], each a number %s", range_text(option, range));
        break;
    case FSFM_OPTION_TEXT:
        append(&w, "text on one line, at most %d bytes of UTF-8", FSFM_TEXT_SIZE - 1);
        break;
    case FSFM_OPTION_CHOICE:
        for (int i = 0; option->choices[i]; i++) append(&w, "%s%s", i ? ", " : "one of ", option->choices[i]);
        break;
    case FSFM_OPTION_SOURCES: append(&w, "a list of {path, weight}"); break;
    }
    return out;
}
