/* SPDX-License-Identifier: Apache-2.0
 * io/metrics_file.h - RUN/metrics.jsonl: one JSON object a line. */
#ifndef FSFM_IO_METRICS_FILE_H
#define FSFM_IO_METRICS_FILE_H

#include <stdint.h>

#include "core/base/json.h"
#include "core/base/status.h"
#include "io/metrics_cut.h"

typedef struct fsfm_metrics_file fsfm_metrics_file;

/* Opens path for appending, after cutting off what fsfm_run_directory_open_metrics() says. */
FSFM_MUST_USE
fsfm_status fsfm_metrics_file_open(const char *path, fsfm_metrics_start start, fsfm_metrics_file **out,
                                   fsfm_error *err);
/* From begin to end the file is this thread's. A step allocates nothing here. */
fsfm_json *fsfm_metrics_file_begin(fsfm_metrics_file *file, const char *kind, int64_t step);
/* Writes the line, or on failure nothing of it. */
FSFM_MUST_USE
fsfm_status fsfm_metrics_file_end(fsfm_metrics_file *file, fsfm_error *err);
void fsfm_metrics_file_drop(fsfm_metrics_file *file);   /* instead of end: forgets the record */
void fsfm_metrics_file_close(fsfm_metrics_file **file); /* accepts NULL */
#endif
