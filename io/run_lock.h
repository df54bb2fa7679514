/* SPDX-License-Identifier: Apache-2.0
 * io/run_lock.h - RUN/lock: at most one process at a time works in a run directory (DESIGN.md,
 * "Checkpoints"). */
#ifndef FSFM_IO_RUN_LOCK_H
#define FSFM_IO_RUN_LOCK_H

#include <stdbool.h>

#include "core/base/status.h"
#include "io/slurm_job.h"

typedef struct {
    double renew_s; /* between renewals */
    double stale_s; /* of silence, after which a lock is taken over */
    double grace_s; /* how long to wait for a holder on this machine, which may be just ending */
} fsfm_run_lock_timing;

typedef struct fsfm_run_lock fsfm_run_lock;

/* Takes the lock of folder, which exists. Of several candidates for a free or a stale lock exactly one gets
 * it; the others' error names it. A thread renews it until it is released. */
FSFM_MUST_USE
fsfm_status fsfm_run_lock_take(const char *folder, const fsfm_run_lock_timing *timing, fsfm_run_lock **out,
                               fsfm_error *err);
/* Whether renewing found that somebody else took the lock over, or removed it: after a sleep longer than
 * stale_s. */
bool fsfm_run_lock_is_lost(fsfm_run_lock *lock);
/* The same, after a look at the file now. */
bool fsfm_run_lock_look(fsfm_run_lock *lock);
void fsfm_run_lock_release(fsfm_run_lock **lock); /* accepts NULL */

/* Whether somebody holds the lock of folder now, found by looking alone: nothing is written, so its age is
 * taken by this machine's clock. holder gets "host H, pid P (job J)", or "" where nobody does. Asks SLURM, as
 * taking does. */
bool fsfm_run_lock_is_held(const char *folder, double stale_s, char holder[384]);
/* The same by what queue says, without asking SLURM. */
bool fsfm_run_lock_is_held_given(const char *folder, double stale_s, const fsfm_slurm_queue *queue,
                                 char holder[384]);
/* The SLURM job that the lock of folder names; "" where there is none. */
void fsfm_run_lock_job(const char *folder, char job[64]);
#endif
