/* SPDX-License-Identifier: Apache-2.0
 * io/lock_holder.h - who holds a run directory: the one line of JSON in RUN/lock, and whether that process is
 * gone. */
#ifndef FSFM_IO_LOCK_HOLDER_H
#define FSFM_IO_LOCK_HOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/slurm_job.h"

enum { FSFM_LOCK_LINE_BYTES = 1024 };

typedef struct {
    char token[24];    /* of this one taking of the lock */
    char host[256];    /* its name, and what tells it from others of that name: */
    char boot[64];     /* its boot, */
    int64_t pid_space; /* and the process numbers' name space (containers) */
    int64_t pid;
    int64_t pid_start;   /* when it started, in ticks after boot: numbers of processes are used again */
    char job[64];        /* SLURM job, "" without */
    int64_t job_restart; /* how often the job was requeued before */
} fsfm_lock_holder;

/* This process, with a new token. */
void fsfm_lock_holder_self(fsfm_lock_holder *out);
/* The line, newline at its end, always of the same length for one holder; returns its length, 0 if it does
 * not fit. */
size_t fsfm_lock_holder_write(const fsfm_lock_holder *holder, char line[FSFM_LOCK_LINE_BYTES]);
/* False if the bytes are not such a line. */
bool fsfm_lock_holder_read(const char *bytes, size_t size_bytes, fsfm_lock_holder *out);
/* Whether both see the same process numbers. */
bool fsfm_lock_holder_is_here(const fsfm_lock_holder *holder, const fsfm_lock_holder *self);
/* Whether holder is known not to run any more: its process is dead here, its job was requeued since, or SLURM
 * does not know the job. False where nobody can tell. queue: what SLURM says; NULL: it is asked. */
bool fsfm_lock_holder_is_gone(const fsfm_lock_holder *holder, const fsfm_lock_holder *self,
                              const fsfm_slurm_queue *queue);
#endif
