/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep/sweep_id.h - names of runs by what they compute. */
#ifndef FSFM_JOBS_SWEEP_SWEEP_ID_H
#define FSFM_JOBS_SWEEP_SWEEP_ID_H

#include "jobs/settings.h"
#include "jobs/sweep/sweep.h"

/* Text of a value: every source with a long path, every character escaped. */
enum { FSFM_VALUE_BYTES = FSFM_SOURCES_MAX * (2 * FSFM_TEXT_SIZE + 64) };

/* The value of option in settings, as it would be written; out holds FSFM_VALUE_BYTES. */
const char *fsfm_settings_value(const fsfm_settings *settings, const fsfm_option *option, char *out);
/* Hashes the keys that make the run what it is: those that may not change on resume, the data, the number of
 * steps, and the swept ones whatever they are. Values that are the default do not count, so that keys of
 * later versions leave ids as they are. */
FSFM_MUST_USE
fsfm_status fsfm_sweep_id(const fsfm_settings *settings, int swept_count, const fsfm_option *const *swept,
                          char id[FSFM_RUN_ID_BYTES], fsfm_error *err);
/* Of a run that cannot be: hashes its keys and values as they were given. */
FSFM_MUST_USE
fsfm_status fsfm_sweep_id_of_words(const fsfm_settings_word *words, int count, char id[FSFM_RUN_ID_BYTES],
                                   fsfm_error *err);
#endif
