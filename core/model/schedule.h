/* SPDX-License-Identifier: Apache-2.0
 * core/model/schedule.h - what changes with the step: learning rate and EMA momentum (DESIGN.md, "Edges").
 * Pure. */
#ifndef FSFM_CORE_MODEL_SCHEDULE_H
#define FSFM_CORE_MODEL_SCHEDULE_H

#include <stdint.h>

#include "core/model/model_options.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int64_t steps_per_epoch; /* floor(N / global batch) */
    double epochs;
    int64_t global_batch;
    double blr, warmup_epochs, momentum;
} fsfm_schedule;

/* S = epochs x steps an epoch. */
int64_t fsfm_schedule_steps(const fsfm_schedule *schedule);
/* e = step / steps an epoch; step counts from 0. */
double fsfm_schedule_epoch(const fsfm_schedule *schedule, int64_t step);
/* blr global_batch / 256 x (e / warmup if e < warmup, else (1 + cos(pi (e - warmup) / (epochs - warmup))) /
 * 2). */
double fsfm_schedule_lr(const fsfm_schedule *schedule, int64_t step);
/* 1 - (1 - m0) (1 + cos(pi step / S)) / 2: used after the update of this step. */
double fsfm_schedule_momentum(const fsfm_schedule *schedule, int64_t step);

#ifdef __cplusplus
}
#endif
#endif
