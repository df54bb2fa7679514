/* SPDX-License-Identifier: Apache-2.0
 * mpi/stop.h - reasons to stop before the end: signals, the time limit, a file STOP in the run directory. */
#ifndef FSFM_MPI_STOP_H
#define FSFM_MPI_STOP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/options.h"

/* In order of importance: where ranks have several reasons, the highest is told. */
typedef enum { FSFM_STOP_NO, FSFM_STOP_TIME, FSFM_STOP_FILE, FSFM_STOP_SIGNAL } fsfm_stop_reason;

/* TERM, USR1, USR2, HUP and INT only wait to be looked at from here on, in this thread and those that it
 * starts: to be called first, before there are others. HUP stays ignored where it is (nohup). */
void fsfm_stop_catch_signals(void);
/* The first signal that came, 0 if none; how many so far (equal ones that came between two looks count once).
 */
int fsfm_stop_signal(void);
int fsfm_stop_signal_count(void);
/* Forgets the signals that came so far and gives them their old meaning back. */
void fsfm_stop_release_signals(void);

typedef struct {
    double end_unix_s;         /* 0: no limit */
    char file[FSFM_TEXT_SIZE]; /* RUN/STOP; "": not looked at */
    double looked_s;           /* when, on the monotonic clock */
    bool file_seen;
} fsfm_stop;

/* The limit is FSFM_END_TIME, else SLURM_JOB_END_TIME (seconds since 1970). folder: NULL on ranks that do not
 * look for the file. A value that is no number is no limit. */
void fsfm_stop_open(fsfm_stop *stop, const char *folder);
/* reserve_s: what one more step and a checkpoint take. Looks for the file at most once a second. */
fsfm_stop_reason fsfm_stop_asked(fsfm_stop *stop, double reserve_s);
/* "signal USR1", "the time limit", "the file STOP". */
const char *fsfm_stop_describe(fsfm_stop_reason reason, int signal);
/* Removes the file STOP, so that the next start is not stopped by it. */
void fsfm_stop_remove_file(fsfm_stop *stop);
#endif
