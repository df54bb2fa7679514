/* SPDX-License-Identifier: Apache-2.0
 * io/metrics_cut.h - takes out of metrics.jsonl what a resumed run will do again. */
#ifndef FSFM_IO_METRICS_CUT_H
#define FSFM_IO_METRICS_CUT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"

/* Where a run goes on. */
typedef struct {
    int64_t step;
    bool is_evaluated; /* the evaluation behind step - 1, if it is due, was before; else it is done again */
} fsfm_metrics_start;

/* Removes records of steps that are done again, lines that are no JSON object, and a half line at the end.
 * The file is replaced whole, or left as it is where nothing goes or where this fails. No file is fine. */
FSFM_MUST_USE
fsfm_status fsfm_metrics_cut(const char *path, fsfm_metrics_start start, fsfm_error *err);
#endif
