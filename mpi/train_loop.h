/* SPDX-License-Identifier: Apache-2.0
 * mpi/train_loop.h - a pretraining run on all ranks, from an empty or a half-finished run directory to its
 * end. */
#ifndef FSFM_MPI_TRAIN_LOOP_H
#define FSFM_MPI_TRAIN_LOOP_H

#include "core/base/log.h"
#include "core/device/device.h"
#include "core/mask/mask_options.h"
#include "core/model/model_options.h"
#include "io/data_options.h"
#include "mpi/comm.h"
#include "mpi/health.h"
#include "mpi/start_guard.h"
#include "mpi/train_options.h"

/* What to run; all pointers are borrowed. The same on all ranks. */
typedef struct {
    const fsfm_model_options *model; /* resolved */
    const fsfm_data_options *data;
    const fsfm_mask_options *mask;
    const fsfm_train_options *train;
    const char *run_dir;
    uint64_t seed;
    fsfm_device_kind device;
    int64_t threads;               /* of a rank, or FSFM_AUTO */
    double hang_timeout_s;         /* 0: ranks that hang are waited for */
    fsfm_start_guard *start_guard; /* ended when the run's watchdog watches; NULL: none */
    fsfm_health_mode health;
    fsfm_health_measure_fn measure; /* what health is told by; NULL: fsfm_health_measure() */
    void *measure_context;
    const char
        *config; /* the resolved configuration, YAML: goes into the run directory and every checkpoint */
    const char *version;   /* of the program */
    const char *revision;  /* of its source */
    const char *libraries; /* and what it was built with */
    /* Whether a run with this configuration may go on from one with old_config (rank 0 only). */
    fsfm_status (*compare)(void *context, const char *old_config, fsfm_error *err);
    void *compare_context;
    int (*exit_code)(fsfm_status status); /* for state.json */
} fsfm_train_job;

/* Collective. FSFM_OK: finished (now, or before). FSFM_ERR_INTERRUPTED: stopped early and saved, err->message
 * empty. Log lines are written where log->out is not NULL. */
FSFM_MUST_USE
fsfm_status fsfm_train_run(fsfm_comm *comm, const fsfm_train_job *job, fsfm_log *log, fsfm_error *err);
#endif
