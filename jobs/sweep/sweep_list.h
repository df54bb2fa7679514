/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep/sweep_list.h - a sweep's runs and their states, as a table and as JSON. */
#ifndef FSFM_JOBS_SWEEP_SWEEP_LIST_H
#define FSFM_JOBS_SWEEP_SWEEP_LIST_H

#include "core/base/json.h"
#include "jobs/sweep/sweep.h"
#include "jobs/sweep/sweep_state.h"

/* Looks at every run, with one question to SLURM about all; an owned array. needs_slurm: fails where squeue
 * gives no answer, as nobody knows then what waits and runs. */
FSFM_MUST_USE
fsfm_status fsfm_sweep_look(const fsfm_sweep *sweep, bool needs_slurm, fsfm_run_status **out,
                            fsfm_error *err);
/* To stdout. is_plan: what `sweep run` would do; else how far each run is, and why some failed. */
FSFM_MUST_USE
fsfm_status fsfm_sweep_print(const fsfm_sweep *sweep, bool is_plan, bool as_json, fsfm_error *err);
/* "12 runs: 9 done, 2 failed, 1 waiting" */
const char *fsfm_sweep_summary(const fsfm_sweep *sweep, const fsfm_run_status *status, char out[256]);
/* "values": {KEY: VALUE}, each of its key's type. */
void fsfm_sweep_json_values(fsfm_json *json, const fsfm_sweep *sweep, int run);
#endif
