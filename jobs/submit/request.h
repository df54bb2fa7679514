/* SPDX-License-Identifier: Apache-2.0
 * jobs/submit/request.h - what a run's job asks SLURM for. */
#ifndef FSFM_JOBS_SUBMIT_REQUEST_H
#define FSFM_JOBS_SUBMIT_REQUEST_H

#include <stdio.h>

#include "jobs/settings.h"
#include "mpi/train_plan.h"

/* Of a rank with a GPU, where nothing else is said. */
enum { FSFM_BATCH_GPU_CPUS = 8 };

typedef struct {
    int64_t nodes, ranks_per_node, gpus_per_node;
    int64_t cpus_per_rank; /* 0: all of the node's */
    double memory_mib;     /* of a node; 0: the site's */
    char time[64];         /* of a job; "": the site's, or the script's own */
} fsfm_batch_request;

/* The plan of a run, and what a node has to hold for it, if that is more than memory_mib, in memory_mib.
 * Collective. Fails as the run itself would where it cannot be on so many ranks. */
FSFM_MUST_USE
fsfm_status fsfm_batch_plan_memory(fsfm_batch_request *request, const fsfm_settings *settings,
                                   int64_t samples, fsfm_comm *comm, fsfm_log *log, fsfm_train_plan *plan,
                                   fsfm_error *err);
/* Whether the run itself chooses how many images it computes at once. */
bool fsfm_batch_chooses_micro_batch(const fsfm_settings *settings);
/* Lines of a batch script: "#SBATCH --nodes=2". */
void fsfm_batch_put_request(FILE *stream, const fsfm_batch_request *request);
#endif
