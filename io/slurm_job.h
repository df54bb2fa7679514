/* SPDX-License-Identifier: Apache-2.0
 * io/slurm_job.h - what SLURM knows of jobs, and what it allows. */
#ifndef FSFM_IO_SLURM_JOB_H
#define FSFM_IO_SLURM_JOB_H

#include <stdbool.h>

/* Whether squeue, if it is on PATH, says that there is no such job any more. False where it gives no answer
 * within timeout_s, or another one: then nobody knows. */
bool fsfm_slurm_job_is_gone(const char *job, double timeout_s);
/* The other way round: whether squeue says that the job waits or runs. */
bool fsfm_slurm_job_is_there(const char *job, double timeout_s);

typedef enum {
    FSFM_SLURM_UNKNOWN, /* nobody knows */
    FSFM_SLURM_GONE,    /* it does not wait or run any more */
    FSFM_SLURM_ENDING,  /* its processes are being ended: then it is gone, or waits again where it is requeued
                         */
    FSFM_SLURM_THERE    /* it waits or runs */
} fsfm_slurm_state;

/* Many jobs in one answer of squeue: add them, ask once, find each. */
typedef struct fsfm_slurm_queue fsfm_slurm_queue;
fsfm_slurm_queue *fsfm_slurm_queue_new(void); /* NULL: no memory */
void fsfm_slurm_queue_free(fsfm_slurm_queue **queue);
/* "78", or "77_3", a task of an array. False: no memory. */
bool fsfm_slurm_queue_add(fsfm_slurm_queue *queue, const char *job);
/* False: squeue is on PATH and gives no answer. Does not ask where there are no jobs. */
bool fsfm_slurm_queue_ask(fsfm_slurm_queue *queue, double timeout_s);
/* UNKNOWN of jobs that were not added. */
fsfm_slurm_state fsfm_slurm_queue_find(const fsfm_slurm_queue *queue, const char *job);
/* How many tasks an array may have: MaxArraySize; SLURM's default where nobody knows. */
int fsfm_slurm_array_tasks_max(double timeout_s);
#endif
