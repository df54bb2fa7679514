/* SPDX-License-Identifier: Apache-2.0
 * io/metrics_cut.h - takes out of metrics.jsonl what a resumed run will do again. */
#ifndef FSFM_IO_METRICS_CUT_H
#define FSFM_IO_METRICS_CUT_H

#include <stdint.h>

#include "core/base/status.h"

/* Removes records of steps that are done again, lines that are no JSON object, and a half line at the end.
 * The file is replaced whole, or left as it is where nothing goes or where this fails. No file is fine. */
FSFM_MUST_USE
fsfm_status fsfm_metrics_cut(const char *path, int64_t first_step, fsfm_error *err);
#endif
