/* SPDX-License-Identifier: Apache-2.0
 * core/base/options.h - tables of configuration keys.
 *
 * Each library owns a plain struct of its options and one table beside it; whoever reads a configuration
 * fills the struct through the table. Help, `fsfm config list`, the JSON Schema and error messages come from
 * the same rows. */
#ifndef FSFM_CORE_BASE_OPTIONS_H
#define FSFM_CORE_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FSFM_TEXT_SIZE = 1024, FSFM_SOURCES_MAX = 16 };

/* What a member looks like in the owner's struct. */
typedef enum {
    FSFM_OPTION_BOOL,        /* bool */
    FSFM_OPTION_INT,         /* int64_t in [min, max] */
    FSFM_OPTION_INT_OR_AUTO, /* int64_t in [min, max], or FSFM_AUTO for the word "auto" */
    FSFM_OPTION_REAL,        /* double in [min, max], finite */
    FSFM_OPTION_RGB_OR_AUTO, /* double[3], each in [min, max]; [0] NAN for "auto". Text: "[0.5, 0.4, 0.4]" */
    FSFM_OPTION_TEXT,        /* char[FSFM_TEXT_SIZE] */
    FSFM_OPTION_CHOICE,      /* an enum (int): index into choices */
    FSFM_OPTION_SOURCES /* fsfm_sources: YAML list of {path, weight}; as text only emptied ("" or "[]") */
} fsfm_option_type;

#define FSFM_AUTO ((int64_t)-1)

typedef struct {
    int count;
    struct {
        char path[FSFM_TEXT_SIZE];
        double weight; /* > 0 */
    } item[FSFM_SOURCES_MAX];
} fsfm_sources;

typedef struct {
    const char *name; /* "mask.ratio" */
    fsfm_option_type type;
    size_t offset;        /* of the member in the owner's struct */
    const char *fallback; /* the default, as it would be written; NULL for SOURCES (empty) */
    double min, max;
    const char *const *choices; /* CHOICE: ended by NULL */
    const char *unit;           /* "" where there is none */
    const char *meaning;        /* one line */
    bool may_change;            /* a resumed run may have another value */
} fsfm_option;

/* Parses text into the member of owner. The message says what was expected and what was found, without the
 * key: "expected a number from 0 to 1, found 'high'". */
FSFM_MUST_USE
fsfm_status fsfm_option_set(const fsfm_option *option, void *owner, const char *text, fsfm_error *err);
/* Sets every member to its default. */
void fsfm_options_defaults(const fsfm_option *table, int count, void *owner);
/* Writes the member as it would be written in YAML (17 digits where a double needs them); returns out. */
const char *fsfm_option_format(const fsfm_option *option, const void *owner, char *out, size_t size_bytes);
/* "a whole number from 1 to 64", "one of cosine, byol, infonce, none", ...; returns out. */
const char *fsfm_option_expectation(const fsfm_option *option, char *out, size_t size_bytes);

#ifdef __cplusplus
}
#endif
#endif
