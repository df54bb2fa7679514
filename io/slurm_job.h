/* SPDX-License-Identifier: Apache-2.0
 * io/slurm_job.h - asks SLURM whether a job still exists. */
#ifndef FSFM_IO_SLURM_JOB_H
#define FSFM_IO_SLURM_JOB_H

#include <stdbool.h>

/* Whether squeue, if it is on PATH, says that there is no such job any more. False where it gives no answer
 * within timeout_s, or another one: then nobody knows. */
bool fsfm_slurm_job_is_gone(const char *job, double timeout_s);
/* The other way round: whether squeue says that the job waits or runs. */
bool fsfm_slurm_job_is_there(const char *job, double timeout_s);
#endif
