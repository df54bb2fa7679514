/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep/sweep_state.h - how far a run of a sweep is, by what lies in its folder.
 *
 * RUN/ is a run directory as any other; the sweep adds RUN/output.log (what the runs' processes print, one
 * after another) and RUN/sweep/: config.yaml (what the process is started with), lock (of the sweep that is
 * at the run), outcome.json (how the last process ended, unless the run is done or was stopped) and job (what
 * was submitted for it). */
#ifndef FSFM_JOBS_SWEEP_SWEEP_STATE_H
#define FSFM_JOBS_SWEEP_SWEEP_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "io/slurm_job.h"
#include "jobs/sweep/sweep.h"

typedef enum {
    FSFM_RUN_WAITING,    /* nobody began it */
    FSFM_RUN_QUEUED,     /* SLURM has a job for it */
    FSFM_RUN_RUNNING,    /* somebody holds its lock */
    FSFM_RUN_STOPPED,    /* with a checkpoint, on request */
    FSFM_RUN_BROKEN_OFF, /* its process vanished */
    FSFM_RUN_FAILED,
    FSFM_RUN_DONE, /* its state.json says so */
    FSFM_RUN_STATES
} fsfm_run_state;

typedef struct {
    fsfm_run_state state;
    int exit_code;    /* of a failed run; 128 + N: signal N */
    bool is_ending;   /* queued or running, and its job is being ended: cancelled, or to be requeued */
    char reason[400]; /* why it failed; who is at it, what waits for it */
} fsfm_run_status;

/* Seconds of silence after which a lock counts for nothing, as in DESIGN.md. */
#define FSFM_SWEEP_STALE_S 60.0

const char *fsfm_run_state_name(fsfm_run_state state);
/* Adds the jobs that may be at a run that is not done. False: no memory. */
bool fsfm_run_add_jobs(const fsfm_sweep_run *run, fsfm_slurm_queue *queue);
/* Looks, and writes nothing. queue: what SLURM says of the jobs added; NULL: of submitted ones nothing, and
 * of those that hold locks it is asked one by one. */
fsfm_run_status fsfm_run_look(const fsfm_sweep_run *run, const fsfm_slurm_queue *queue);
/* The status word of RUN/state.json, "" where there is none; *exit_code where not NULL. */
void fsfm_run_read_state(const char *folder, char status[16], int *exit_code);
/* RUN/sweep/NAME. */
FSFM_MUST_USE
fsfm_status fsfm_run_file(const fsfm_sweep_run *run, const char *name, char path[FSFM_SWEEP_PATH],
                          fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_run_write_outcome(const fsfm_sweep_run *run, int exit_code, const char *reason,
                                   fsfm_error *err);
/* What a log says last that is an error ("fsfm: ..."), from offset on; else its last line; "" if empty. */
void fsfm_log_reason(const char *path, int64_t offset, char *out, size_t size_bytes);
#endif
