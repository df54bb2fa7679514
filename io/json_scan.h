/* SPDX-License-Identifier: Apache-2.0
 * io/json_scan.h - single values out of one-line JSON objects, without a tree: records of metrics.jsonl,
 * RUN/lock. */
#ifndef FSFM_IO_JSON_SCAN_H
#define FSFM_IO_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the bytes are one whole JSON object, with spaces around it allowed. Numbers are not looked into. */
bool fsfm_json_is_object(const char *bytes, size_t size_bytes);
/* The value of key at the top of an object: true if there is one of that type that fits. Text with escapes
 * does not. */
bool fsfm_json_find_int(const char *bytes, size_t size_bytes, const char *key, int64_t *out);
/* Any number that is finite; null is none. */
bool fsfm_json_find_real(const char *bytes, size_t size_bytes, const char *key, double *out);
bool fsfm_json_find_text(const char *bytes, size_t size_bytes, const char *key, char *out, size_t out_bytes);
#endif
