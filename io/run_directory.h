/* SPDX-License-Identifier: Apache-2.0
 * io/run_directory.h - RUN/: its lock, metrics.jsonl and state.json. Used by one process (rank 0). */
#ifndef FSFM_IO_RUN_DIRECTORY_H
#define FSFM_IO_RUN_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/base/json.h"
#include "core/base/status.h"

typedef struct fsfm_run_directory fsfm_run_directory;

/* Makes the folder, checks that it can be written, and takes RUN/lock {host, pid, job id, renewed}, which a
 * thread renews every 10 s. A lock is taken over after 60 s of silence, at once when its host is this one and
 * its pid is dead, or when SLURM says that its job is gone; otherwise the error names the holder. */
FSFM_MUST_USE
fsfm_status fsfm_run_directory_open(const char *path, fsfm_run_directory **out, fsfm_error *err);
const char *fsfm_run_directory_path(const fsfm_run_directory *run);
/* Opens metrics.jsonl for appending, after removing records whose step is >= first_step (those of a run that
 * went on past the checkpoint it is resumed from) and a half line at its end. Events of kind checkpoint,
 * start, stop, resume whose step is first_step stay. Unless is_evaluated, an evaluation behind the step
 * before goes too: a stop had put it off, and it is done again. */
FSFM_MUST_USE
fsfm_status fsfm_run_directory_open_metrics(fsfm_run_directory *run, int64_t first_step, bool is_evaluated,
                                            fsfm_error *err);
/* Fails where another process has taken the lock over, as happens to a run that slept for longer than the
 * lock waits: nothing in RUN may be written or removed then. looks: looks at the file now (before checkpoints
 * are written and removed); else at what the last renewal found, which costs nothing. */
FSFM_MUST_USE
fsfm_status fsfm_run_directory_check(fsfm_run_directory *run, bool looks, fsfm_error *err);
/* One record: begin gives a JSON object in which kind, step and time are already written; end writes the line
 * and flushes. */
fsfm_json *fsfm_metrics_begin(fsfm_run_directory *run, const char *kind, int64_t step);
FSFM_MUST_USE
fsfm_status fsfm_metrics_end(fsfm_run_directory *run, fsfm_error *err);
/* RUN/state.json {status, exit_code, step}. status: running, done, stopped, failed. */
FSFM_MUST_USE
fsfm_status fsfm_run_directory_state(fsfm_run_directory *run, const char *status, int exit_code, int64_t step,
                                     fsfm_error *err);
/* The same by whoever may write there (another process of the run). */
FSFM_MUST_USE
fsfm_status fsfm_run_state_write(const char *folder, const char *status, int exit_code, int64_t step,
                                 fsfm_error *err);
/* Gives the lock back. Accepts NULL. */
void fsfm_run_directory_close(fsfm_run_directory **run);
#endif
