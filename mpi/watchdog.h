/* SPDX-License-Identifier: Apache-2.0
 * mpi/watchdog.h - ends a run that hangs, and says which rank it waits for.
 *
 * A thread on every rank sees whether its rank goes on: it is told so, waits for other ranks end, or bytes of
 * files come and go while it starts, reads or saves. Each tells rank 0, and one more that takes its place
 * where rank 0 is silent (see heartbeats.h). Once nothing has gone on anywhere for timeout_s, that one names
 * the rank that is behind: one that is no longer heard of (stopped, or its node is lost), else one that does
 * not wait for the others. It prints a line and that rank's stack, writes RUN/state.json, and ends all ranks
 * with 75, or with 1 where there is no checkpoint to go on from. */
#ifndef FSFM_MPI_WATCHDOG_H
#define FSFM_MPI_WATCHDOG_H

#include "mpi/comm.h"

typedef enum {
    FSFM_PHASE_START, /* bytes of files count as going on in the first three */
    FSFM_PHASE_READING,
    FSFM_PHASE_SAVING,
    FSFM_PHASE_TARGET,
    FSFM_PHASE_LEARNING,
    FSFM_PHASE_UPDATE,
    FSFM_PHASE_EVALUATION,
    FSFM_PHASE_PICTURE,
    FSFM_PHASES
} fsfm_phase;

typedef struct {
    fsfm_comm *comm;     /* borrowed, like run_dir */
    const char *run_dir; /* for state.json and whether there are checkpoints */
    double timeout_s;    /* > 0 */
    int (*exit_code)(fsfm_status status);
} fsfm_watchdog_setup;

typedef struct fsfm_watchdog fsfm_watchdog;
/* Collective. Watches the calling thread; one a process. The caller owns *out. */
FSFM_MUST_USE
fsfm_status fsfm_watchdog_open(const fsfm_watchdog_setup *setup, fsfm_watchdog **out, fsfm_error *err);
/* Something goes on. Costs two stores; watchdog may be NULL. */
void fsfm_watchdog_tell(fsfm_watchdog *watchdog, fsfm_phase phase, int64_t step);
void fsfm_watchdog_close(fsfm_watchdog **watchdog); /* accepts NULL */
#endif
