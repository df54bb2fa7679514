/* SPDX-License-Identifier: Apache-2.0
 * jobs/settings/settings_places.h - who set a key last, and what else the files that load, check and write
 * settings share. */
#ifndef FSFM_JOBS_SETTINGS_PLACES_H
#define FSFM_JOBS_SETTINGS_PLACES_H

#include "jobs/settings.h"

enum { FSFM_KEYS_MAX = 128 };

typedef struct {
    const char *option; /* "--preset": an option that stands for the key; NULL: none */
    int word;           /* number of that option, from 1; 0: none */
    int argument;       /* number of the override, from 1; 0: none */
    int line, column;   /* in the file; 0: not there */
} fsfm_place;

typedef struct {
    const char *file;
    fsfm_place of_key[FSFM_KEYS_MAX]; /* by the key's number; all 0: the default */
} fsfm_places;

/* Number of a key over all parts, -1 if there is none. option and owner_offset (of its struct in
 * fsfm_settings) may be NULL. */
int fsfm_settings_number(const char *key, const fsfm_option **option, size_t *owner_offset);

/* Prefixes err with "FILE:LINE:COLUMN: key", "argument N: key" or "--option", of what set the key last;
 * returns err's status. */
fsfm_status fsfm_places_context(const fsfm_places *places, const char *key, fsfm_error *err);
/* Of two keys that do not go together, the one that was set last: the one to name. */
const char *fsfm_places_later(const fsfm_places *places, const char *a, const char *b);

/* Resolves the preset and checks what goes together; errors are complete. */
FSFM_MUST_USE
fsfm_status fsfm_settings_check(const fsfm_places *places, fsfm_settings *settings, char warning[256],
                                fsfm_error *err);
/* As fsfm_settings_load(), from text that name stands for in messages. */
FSFM_MUST_USE
fsfm_status fsfm_settings_load_text(const char *name, const char *text, fsfm_settings *out, fsfm_error *err);
#endif
