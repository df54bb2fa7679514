/* SPDX-License-Identifier: Apache-2.0
 * io/golden_file.h - a golden file (golden/FORMAT.md, format fsfm-golden-1): numbers by path, with their
 * shapes checked. */
#ifndef FSFM_IO_GOLDEN_FILE_H
#define FSFM_IO_GOLDEN_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"

typedef struct fsfm_golden_file fsfm_golden_file;

/* Messages of all calls name the file and the path in it. */
FSFM_MUST_USE
fsfm_status fsfm_golden_open(const char *path, fsfm_golden_file **out, fsfm_error *err);
void fsfm_golden_close(fsfm_golden_file **file);

bool fsfm_golden_has(const fsfm_golden_file *file, const char *path);
/* Attributes of the object at path ("/" for the file's). */
FSFM_MUST_USE
fsfm_status fsfm_golden_int(const fsfm_golden_file *file, const char *path, const char *attribute,
                            int64_t *out, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_golden_real(const fsfm_golden_file *file, const char *path, const char *attribute,
                             double *out, fsfm_error *err);
/* Number of elements of a dataset. */
FSFM_MUST_USE
fsfm_status fsfm_golden_count(const fsfm_golden_file *file, const char *path, int64_t *out, fsfm_error *err);
/* Whole datasets; count is what is expected. */
FSFM_MUST_USE
fsfm_status fsfm_golden_floats(const fsfm_golden_file *file, const char *path, int64_t count, float *out,
                               fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_golden_doubles(const fsfm_golden_file *file, const char *path, int64_t count, double *out,
                                fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_golden_bytes(const fsfm_golden_file *file, const char *path, int64_t count, uint8_t *out,
                              fsfm_error *err);
#endif
