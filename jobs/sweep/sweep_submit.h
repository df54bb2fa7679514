/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep/sweep_submit.h - the runs that are left, as SLURM arrays. */
#ifndef FSFM_JOBS_SWEEP_SWEEP_SUBMIT_H
#define FSFM_JOBS_SWEEP_SWEEP_SUBMIT_H

#include "core/base/log.h"
#include "jobs/submit/request.h"
#include "jobs/sweep/sweep.h"

enum { FSFM_SUBMIT_EXTRA_MAX = 32 };

typedef struct {
    fsfm_batch_request request; /* cpus_per_rank, memory_mib 0: chosen by the plans of the runs */
    int64_t at_once;            /* 0: not said */
    int extra_count;
    const char *extra[FSFM_SUBMIT_EXTRA_MAX]; /* more options of sbatch */
    bool skips_failed, is_dry;
    int override_count;
    char *const *overrides;
} fsfm_sweep_submit_options;

/* Writes FOLDER/slurm/NAME-N.sbatch, N new each time, for the runs that are neither done nor running nor
 * queued, and gives it to sbatch; more of them, one after another where at_once is said, if SLURM's arrays
 * may not have as many tasks. is_dry: prints it instead, and writes nothing. Nothing is left: says so. */
FSFM_MUST_USE
fsfm_status fsfm_sweep_submit(const fsfm_sweep *sweep, const fsfm_sweep_submit_options *options,
                              fsfm_log *log, fsfm_error *err);
/* The script in jobs/slurm/sweep.sbatch, which the build puts into the program. */
extern const char fsfm_sweep_script[];
#endif
