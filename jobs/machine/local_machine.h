/* SPDX-License-Identifier: Apache-2.0
 * jobs/machine/local_machine.h - what this machine was seen to reach: written by `fsfm bench step
 * --write-machine`, read by `fsfm plan` (configs/machines/local.yaml unless another file is named). */
#ifndef FSFM_JOBS_MACHINE_LOCAL_MACHINE_H
#define FSFM_JOBS_MACHINE_LOCAL_MACHINE_H

#include "core/base/options.h"
#include "core/model/roofline.h"

/* One measured step; rates are those of one rank. */
typedef struct {
    char preset[96], precision[96], device[96];
    double ranks, threads, micro_batch, gflop_per_image;
    double gemm_peak_gflops, gemm_gflops; /* the library's best, and what the step's products reached */
    double memory_peak_gb_s;
    double attention_gflops;          /* reached */
    double rows_gb_s, optimizer_gb_s; /* reached, by the model's count of bytes */
    double other_share;               /* of a step without the sum over ranks: between operations */
    double sum_gb_s; /* each way of a rank, by what a step waits for of the sum; 0: one rank, or not known */
} fsfm_local_step;

enum { FSFM_LOCAL_STEPS_MAX = 64 };
typedef struct {
    char path[FSFM_TEXT_SIZE + 256];
    bool is_there;
    double checkpoint_mb_s; /* written with all that makes it safe; 0: not known */
    int count;
    fsfm_local_step steps[FSFM_LOCAL_STEPS_MAX];
} fsfm_local_machine;

/* path: NULL for the default place. A file that is not there is an empty machine. */
FSFM_MUST_USE
fsfm_status fsfm_local_machine_read(const char *path, fsfm_local_machine *out, fsfm_error *err);
/* Adds a step, or replaces that of the same preset, precision, ranks and threads; the oldest goes where there
 * are too many. */
void fsfm_local_machine_put(fsfm_local_machine *machine, const fsfm_local_step *step);
FSFM_MUST_USE
fsfm_status fsfm_local_machine_write(const fsfm_local_machine *machine, fsfm_error *err);
/* The step most like one of so many ranks, threads and FLOP: the same precision, then the nearest number of
 * processors in use, then the nearest FLOP an image; NULL if none has the precision. */
const fsfm_local_step *fsfm_local_machine_choose(const fsfm_local_machine *machine, fsfm_precision precision,
                                                 double ranks, double threads, double gflop_per_image);
/* That whose sum over ranks is known and was over the nearest number of them; NULL if there is none. */
const fsfm_local_step *fsfm_local_machine_choose_sum(const fsfm_local_machine *machine, double ranks);
/* Rates of a rank with so many threads. */
fsfm_rates fsfm_local_step_rates(const fsfm_local_step *step, double threads);
const char *fsfm_precision_name(fsfm_precision precision); /* "fp32", "bf16" */
#endif
