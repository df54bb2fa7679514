/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep/sweep_metric.h - one number of a run out of its metrics.jsonl. */
#ifndef FSFM_JOBS_SWEEP_SWEEP_METRIC_H
#define FSFM_JOBS_SWEEP_SWEEP_METRIC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"

/* What metrics.jsonl says of a run. */
typedef struct {
    double value;     /* NAN: it has no such records */
    const char *kind; /* "eval": the last evaluation; "train": mean of the last tenth of the train records */
} fsfm_run_metric;

/* metric "loss": of the evaluations where the run has any, else of the train records; "eval.loss" and
 * "train.loss" mean one of them. No file is a run without records. */
FSFM_MUST_USE
fsfm_status fsfm_run_metric_read(const char *run_folder, const char *metric, fsfm_run_metric *out,
                                 fsfm_error *err);
/* Steps behind the last train record: by the end of the file alone. */
int64_t fsfm_run_steps(const char *run_folder);
bool fsfm_metric_is_better_high(const char *metric);
#endif
