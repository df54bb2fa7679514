/* SPDX-License-Identifier: Apache-2.0
 * mpi/start_guard.h - ends a run that hangs before its watchdog watches.
 *
 * MPI's start, and reading the program and the configuration, are what a file system that stalls holds up
 * first. A thread of each rank ends it when one such part takes timeout_s. A rank that then waits for others
 * leaves them some seconds to say where they hang; as another end does not reach a rank whose files are dead
 * at every launcher, it ends by itself after that. */
#ifndef FSFM_MPI_START_GUARD_H
#define FSFM_MPI_START_GUARD_H

#include <pthread.h>

#include "mpi/comm.h"

/* Lies with the caller; only begin(), tell(), limit() and end() touch it. */
typedef struct {
    bool has_thread;
    int code;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. */
    double timeout_s, stalled_s;
    bool is_over;
    const char *part;
    const fsfm_comm *comm;
    int64_t calls;
} fsfm_start_guard;

/* Not collective, like all here. timeout_s 0: watches nothing. The process ends with code. Looks at the
 * calling thread. */
void fsfm_start_guard_begin(fsfm_start_guard *guard, double timeout_s, int code);
/* What the rank does from here on; both are borrowed. comm: NULL until there is one. */
void fsfm_start_guard_tell(fsfm_start_guard *guard, const char *part, const fsfm_comm *comm);
/* Another timeout; 0: watches no more. */
void fsfm_start_guard_limit(fsfm_start_guard *guard, double timeout_s);
void fsfm_start_guard_end(fsfm_start_guard *guard); /* accepts NULL and one that has ended */
#endif
