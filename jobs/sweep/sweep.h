/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep/sweep.h - a sweep: one base configuration, and runs that differ from it in some keys. */
#ifndef FSFM_JOBS_SWEEP_SWEEP_H
#define FSFM_JOBS_SWEEP_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/options.h"
#include "core/base/status.h"

enum {
    FSFM_SWEEP_KEYS_MAX = 16,
    FSFM_SWEEP_RUNS_MAX = 10000,
    FSFM_RUN_ID_BYTES = 16, /* 12 hexadecimal digits */
    FSFM_SWEEP_PATH = 4096
};

typedef struct {
    char id[FSFM_RUN_ID_BYTES]; /* of what the run computes: its configuration without machine matters */
    char *folder;               /* RUN.DIR/ID */
    char *config;               /* the resolved configuration, YAML; NULL: no such run can be */
    char *refusal;              /* then why; else NULL */
    char *value[FSFM_SWEEP_KEYS_MAX]; /* of each swept key, as fsfm_option_format() writes it */
    int line;                         /* in the sweep's file */
} fsfm_sweep_run;

typedef struct {
    char *file, *base; /* as they can be opened */
    char *name;        /* the file's, without folder and ending: begins the names of the report's files */
    char *folder;      /* run.dir: the runs' folders and the reports */
    char metric[64];   /* what runs are ranked by; lower is better but for speeds */
    int key_count;
    const fsfm_option *key[FSFM_SWEEP_KEYS_MAX]; /* swept, in the file's order */
    int run_count;
    fsfm_sweep_run *run;
} fsfm_sweep;

/* Reads and expands a sweep, and checks the settings of every run. Nothing is written. overrides
 * ("key=value") hold for all runs. Errors are FSFM_ERR_ARG and read "FILE:LINE:COLUMN: key: expected ...,
 * found ...". A run that cannot be for a value of its own is kept with that line, as long as others can. */
FSFM_MUST_USE
fsfm_status fsfm_sweep_load(const char *file, int override_count, char *const *overrides, fsfm_sweep *out,
                            char warning[256], fsfm_error *err);
void fsfm_sweep_free(fsfm_sweep *sweep); /* zeroes it; accepts zeros */
/* The run whose id begins with text; NULL and an error if there is none, or several. */
FSFM_MUST_USE
fsfm_status fsfm_sweep_find(const fsfm_sweep *sweep, const char *text, int *out, fsfm_error *err);
/* "mask.ratio=0.6 run.seed=1"; returns out. */
const char *fsfm_sweep_describe(const fsfm_sweep *sweep, int run, char *out, size_t size_bytes);
/* Whether runs may be ranked by metric, "loss" or "eval.loss"; the message names the nearest. */
FSFM_MUST_USE
fsfm_status fsfm_sweep_check_metric(const char *metric, fsfm_error *err);
#endif
