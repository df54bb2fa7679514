/* SPDX-License-Identifier: Apache-2.0
 * jobs/plan/forecast.h - what a run would take and how long, on GPUs or on this machine. */
#ifndef FSFM_JOBS_PLAN_FORECAST_H
#define FSFM_JOBS_PLAN_FORECAST_H

#include "core/model/flops.h"
#include "core/model/learner.h"
#include "core/model/roofline.h"
#include "jobs/machine/gpu_machine.h"
#include "jobs/machine/local_machine.h"
#include "jobs/settings.h"
#include "mpi/exchange_time.h"
#include "mpi/train_plan.h"

/* Of one optimiser step of a rank, by the model. */
typedef struct {
    bool is_known;
    fsfm_rates rates;
    fsfm_roofline micro; /* of one micro-batch, and the optimiser */
    double exchange_exposed_s, other_s;
    fsfm_exchange_time exchange;
    double step_s, later_step_s;  /* later: of steps whose target features are known */
    double images_per_s, hours;   /* of all ranks; of all steps of the run */
    double efficiency;            /* images/s of a rank, of those of one alone with as many images a step */
    double efficiency_same_batch; /* ... of one alone with the whole global batch */
    double node_read_bytes_s;     /* of raw images */
} fsfm_forecast_time;

enum { FSFM_WARNINGS_MAX = 24 };
#define FSFM_FORECAST_SLOW 1.5
typedef struct {
    const fsfm_settings *settings; /* borrowed */
    fsfm_train_plan plan;
    fsfm_precision precision;
    fsfm_recompute recompute;         /* auto chosen */
    int64_t micro_batch, micro_count; /* as plan's, or what a GPU would be given */
    int64_t largest_micro_batch;      /* that fits */
    fsfm_work_list work;              /* of a micro-batch; owned */
    fsfm_flops flops;

    bool has_gpu;
    fsfm_gpu_machine gpu;
    fsfm_learner_memory gpu_memory; /* of its own, with that micro-batch */
    double gpu_budget_bytes;        /* what a run may take of its memory */

    fsfm_local_machine local;
    const fsfm_local_step *measured; /* what the time follows from, without a GPU; NULL: nothing */

    fsfm_forecast_time time;
    fsfm_slow_work slow[FSFM_SLOW_MAX]; /* on a GPU: over FSFM_FORECAST_SLOW times their bound */
    int slow_count;
    double disk_bytes;
    double checkpoint_s; /* to write one; NAN: not known */

    int warnings;
    char warning[FSFM_WARNINGS_MAX][256];
} fsfm_forecast;

typedef struct {
    const fsfm_settings *settings;
    int ranks;
    int64_t samples;          /* 0: data.path is opened */
    const char *gpu;          /* h100, ..., or a file; NULL: this machine */
    const char *machine_file; /* of this machine; NULL: the default place */
} fsfm_forecast_setup;

/* Collective. The caller ends *out, zeros before, with fsfm_forecast_free(), also after a failure. */
FSFM_MUST_USE
fsfm_status fsfm_forecast_make(fsfm_comm *comm, const fsfm_forecast_setup *setup, fsfm_log *log,
                               fsfm_forecast *out, fsfm_error *err);
void fsfm_forecast_warn(fsfm_forecast *forecast, const char *fmt, ...) FSFM_PRINTF(2, 3);
/* warnings.c: what is allowed but odd. */
FSFM_MUST_USE
fsfm_status fsfm_forecast_add_warnings(fsfm_forecast *forecast, fsfm_error *err);
/* The pieces of a micro-batch in that precision; the caller owns *out, also after a failure. */
FSFM_MUST_USE
fsfm_status fsfm_forecast_list_work(const fsfm_forecast *forecast, fsfm_precision precision,
                                    fsfm_work_list *out, fsfm_error *err);
/* Bytes of the GPU: all; and weights, gradients, moments and the target's weights. */
double fsfm_forecast_gpu_bytes(const fsfm_forecast *forecast);
double fsfm_forecast_gpu_states_bytes(const fsfm_forecast *forecast);
void fsfm_forecast_free(fsfm_forecast *forecast); /* what it owns */
#endif
