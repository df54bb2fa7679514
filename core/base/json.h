/* SPDX-License-Identifier: Apache-2.0
 * core/base/json.h - writes JSON: objects, lists and values in the order of the calls, on one line. */
#ifndef FSFM_CORE_BASE_JSON_H
#define FSFM_CORE_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Writes to a stream that the caller owns; errors of the stream show in ferror(). */
typedef struct {
    FILE *stream;
    bool needs_comma;
} fsfm_json;

/* key is NULL inside a list, and for the outermost value. Text is escaped; it should be UTF-8. */
void fsfm_json_object_begin(fsfm_json *json, const char *key);
void fsfm_json_object_end(fsfm_json *json);
void fsfm_json_list_begin(fsfm_json *json, const char *key);
void fsfm_json_list_end(fsfm_json *json);
void fsfm_json_text(fsfm_json *json, const char *key, const char *text); /* NULL: null */
void fsfm_json_int(fsfm_json *json, const char *key, int64_t value);
void fsfm_json_bool(fsfm_json *json, const char *key, bool value);
/* 17 significant digits, so that the same double gives the same text and comes back; null where not finite.
 */
void fsfm_json_real(fsfm_json *json, const char *key, double value);

#ifdef __cplusplus
}
#endif
#endif
