/* SPDX-License-Identifier: Apache-2.0
 * mpi/step_bench.h - times full optimiser steps on random images: the step that pretrain runs, without
 * reader, run directory and checkpoints. */
#ifndef FSFM_MPI_STEP_BENCH_H
#define FSFM_MPI_STEP_BENCH_H

#include "core/device/profile.h"
#include "core/model/flops.h"
#include "core/model/roofline.h"
#include "mpi/comm.h"
#include "mpi/train_loop.h"

enum { FSFM_STEP_BENCH_SUMS = 5 };

typedef struct {
    const fsfm_train_job *job; /* borrowed; data, run_dir, config and compare are not looked at */
    int64_t warmup, steps;     /* steps that are not timed, and that are; steps >= 1 */
    bool profiles;             /* take the time of every operation, on rank 0 */
} fsfm_step_bench_setup;

/* What was seen. Equal on all ranks but for profile (rank 0). */
typedef struct {
    int ranks, threads; /* threads of a rank */
    int64_t micro_batch, local_batch;
    int64_t kept;
    char device[96];
    char slow_products[128];  /* fsfm_device's, of rank 0 */
    fsfm_precision precision; /* what is computed in, which may not be what was asked for */
    fsfm_flops flops;         /* an image */
    fsfm_work_sums sums;      /* of a micro-batch */
    fsfm_device_peaks peaks;  /* of all ranks together: measured around every step, the best counts */
    uint64_t peak_rss_bytes;  /* of the rank that has most, without what measuring the peaks took */
    double *step_s;           /* (steps), owned */
    double sum_s[FSFM_STEP_BENCH_SUMS]; /* of the gradients over ranks, with nothing beside it; 0: one rank */
    int64_t sum_bytes;
    fsfm_profile_entry *profile; /* (profile_count), owned; NULL unless asked for */
    int profile_count;
} fsfm_step_bench;

/* Collective. On failure nothing is left in *out. */
FSFM_MUST_USE
fsfm_status fsfm_step_bench_run(fsfm_comm *comm, const fsfm_step_bench_setup *setup, fsfm_log *log,
                                fsfm_step_bench *out, fsfm_error *err);
void fsfm_step_bench_free(fsfm_step_bench *bench);
#endif
