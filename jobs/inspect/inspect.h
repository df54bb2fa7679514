/* SPDX-License-Identifier: Apache-2.0
 * jobs/inspect/inspect.h - what `fsfm inspect` says of datasets and shards. Internal to jobs/. */
#ifndef FSFM_JOBS_INSPECT_H
#define FSFM_JOBS_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/json.h"
#include "core/base/status.h"

/* Where the description goes, and the damage that was found. */
typedef struct {
    fsfm_json *json; /* NULL: text to stdout */
    bool verify;
    int64_t damaged_count;
    char **damaged; /* owned lines, "shard-00000.h5: sample 5 (id 'x'): checksum ..." */
} inspection;

/* One line of the description: text, or a member of the JSON object. */
void inspect_text(const inspection *in, const char *key, const char *value);
void inspect_int(const inspection *in, const char *key, int64_t value);
void inspect_rgb(const inspection *in, const char *key, const double value[3]);
FSFM_PRINTF(3, 4) FSFM_MUST_USE
fsfm_status inspect_damage(inspection *in, fsfm_error *err, const char *fmt, ...);

FSFM_MUST_USE
fsfm_status inspect_dataset(inspection *in, const char *folder, fsfm_error *err);
FSFM_MUST_USE
fsfm_status inspect_shard(inspection *in, const char *path, fsfm_error *err);
/* Checkpoints and golden files: attributes and datasets. */
FSFM_MUST_USE
fsfm_status inspect_tensors(inspection *in, const char *path, const char *format, fsfm_error *err);
#endif
