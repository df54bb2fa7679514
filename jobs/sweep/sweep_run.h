/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep/sweep_run.h - runs of a sweep, one after another, each as a process of its own. */
#ifndef FSFM_JOBS_SWEEP_SWEEP_RUN_H
#define FSFM_JOBS_SWEEP_SWEEP_RUN_H

#include "core/base/log.h"
#include "jobs/sweep/sweep.h"

typedef struct {
    int only;              /* number of the one run; -1: all */
    bool skips_failed;     /* leave runs that failed before as they are */
    double wait_s;         /* for a run that somebody else is at */
    char *const *launcher; /* words before the command, ended by NULL; none: the run is one process */
} fsfm_sweep_run_options;

/* Does what is not done, and leaves alone what somebody else is at. *exit_code: 0 where nothing is left but
 * what others are at; 1 where runs failed; 75 where it was asked to stop; of one run alone its own, or 75 if
 * somebody else is still at it. err gets the line for that. */
FSFM_MUST_USE
fsfm_status fsfm_sweep_run_all(const fsfm_sweep *sweep, const fsfm_sweep_run_options *options, fsfm_log *log,
                               int *exit_code, fsfm_error *err);
#endif
