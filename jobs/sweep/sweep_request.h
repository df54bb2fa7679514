/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep/sweep_request.h - what the runs of a sweep ask SLURM for, each task the same. */
#ifndef FSFM_JOBS_SWEEP_SWEEP_REQUEST_H
#define FSFM_JOBS_SWEEP_SWEEP_REQUEST_H

#include "core/base/log.h"
#include "jobs/submit/request.h"
#include "jobs/sweep/sweep.h"

/* Fills in what of request is 0: the processors of a rank by run.threads, the memory of a node by the plan of
 * the run that needs most, of the count runs numbered in run. *threads: what run.threads has to be where no
 * run says it, so that runs are as planned; else 0. Runs that cannot be planned, as their data are not here,
 * do not count; log says what was chosen. */
FSFM_MUST_USE
fsfm_status fsfm_sweep_fill_request(const fsfm_sweep *sweep, const int *run, int count,
                                    fsfm_batch_request *request, int64_t *threads, fsfm_log *log,
                                    fsfm_error *err);
#endif
