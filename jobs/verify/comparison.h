/* SPDX-License-Identifier: Apache-2.0
 * jobs/verify/comparison.h - one line a group of values: worst error, tolerance, ok or FAIL
 * (golden/FORMAT.md, "What counts as equal"). */
#ifndef FSFM_JOBS_VERIFY_COMPARISON_H
#define FSFM_JOBS_VERIFY_COMPARISON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/log.h"
#include "core/device/device.h"

typedef struct {
    double loss;                /* of max(|value|, 0.2) */
    double outputs;             /* latent, pred: of the largest magnitude */
    double cosine;              /* feat: 1 - cosine at most this; 0: compared as outputs are */
    double gradient_l2;         /* relative */
    double gradient_sample;     /* of the tensor's largest sample; 0: not compared */
    double path_loss;           /* trajectory: losses, of max(|value|, 0.2) */
    double path_norm;           /* trajectory: gradient norm */
    bool path_norm_is_relative; /* to the value itself, else to max(|value|, 0.2) */
    double path_schedule;       /* lr, momentum */
    double final_sample;        /* of the tensor's largest; 0: not compared */
    double final_l2;            /* relative */
} fsfm_tolerances;
extern const fsfm_tolerances fsfm_tolerances_fp32, fsfm_tolerances_bf16;

/* Collects the worst error of a group. An error that is not a number fails. */
typedef struct {
    double worst;
    char where[96]; /* of the worst */
    int64_t compared;
} fsfm_comparison;

void fsfm_comparison_note(fsfm_comparison *comparison, double error, const char *fmt, ...) FSFM_PRINTF(3, 4);
/* Largest |got - want| over the largest |want|. */
double fsfm_compare_arrays(const float *got, const float *want, int64_t count);
/* |got - want| / max(|want|, floor). */
double fsfm_compare_numbers(double got, double want, double floor);
/* Prints "name: worst error ..., tolerance ..., ok"; false if beyond the tolerance or nothing was compared.
 */
bool fsfm_comparison_print(const fsfm_comparison *comparison, const char *name, double tolerance,
                           fsfm_log *log);
#endif
