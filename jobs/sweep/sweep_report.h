/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep/sweep_report.h - what a sweep found: runs ranked by a metric, with the spread over seeds. */
#ifndef FSFM_JOBS_SWEEP_SWEEP_REPORT_H
#define FSFM_JOBS_SWEEP_SWEEP_REPORT_H

#include "core/base/log.h"
#include "jobs/sweep/sweep.h"
#include "jobs/sweep/sweep_metric.h"
#include "jobs/sweep/sweep_state.h"

typedef struct {
    fsfm_run_status status;
    fsfm_run_metric metric; /* NAN unless the run is done */
    int group;              /* of runs that differ in run.seed alone */
    int rank;               /* from 1; 0: it has no metric */
} fsfm_report_run;

typedef struct {
    int first;       /* its first run, for its values */
    int count, done; /* runs, those with a metric */
    double mean, sd; /* of the metric; NAN where there is none; sd (of the sample) from two on */
    int rank;        /* from 1, by the mean; 0: none */
} fsfm_report_group;

typedef struct {
    const fsfm_sweep *sweep; /* borrowed */
    const char *metric;      /* borrowed */
    int seed_key;            /* number of run.seed among the swept keys; -1 */
    fsfm_report_run *run;    /* (runs) */
    int group_count;
    fsfm_report_group *group;
    int *run_order, *group_order; /* best first, those without a metric last */
} fsfm_sweep_report;

FSFM_MUST_USE
fsfm_status fsfm_sweep_report_make(const fsfm_sweep *sweep, const char *metric, fsfm_sweep_report *out,
                                   fsfm_error *err);
void fsfm_sweep_report_free(fsfm_sweep_report *report);
/* Mean and sample deviation of count values. */
void fsfm_mean_and_spread(const double *value, int count, double *mean, double *sd);

/* FOLDER/NAME.csv: a head, and a line a run, best first. */
FSFM_MUST_USE
fsfm_status fsfm_sweep_report_csv(const fsfm_sweep_report *report, char path[FSFM_SWEEP_PATH],
                                  fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_sweep_report_table(const fsfm_sweep_report *report, fsfm_error *err); /* to stdout */
void fsfm_sweep_report_json(const fsfm_sweep_report *report, const char *csv);         /* to stdout */

/* FOLDER/NAME-KEY.png for every swept key with two values or more, once a run is done; each is told to log.
 */
FSFM_MUST_USE
fsfm_status fsfm_sweep_report_plots(const fsfm_sweep_report *report, fsfm_log *log, fsfm_error *err);
/* FOLDER/NAME-masks.png: the masks of every strategy and ratio on faces of the first run's data. Where there
 * are no such data, log says so. */
FSFM_MUST_USE
fsfm_status fsfm_sweep_report_masks(const fsfm_sweep_report *report, fsfm_log *log, fsfm_error *err);
#endif
