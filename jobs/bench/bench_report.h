/* SPDX-License-Identifier: Apache-2.0
 * jobs/bench/bench_report.h - what the parts of `fsfm bench` share: figures from times. */
#ifndef FSFM_JOBS_BENCH_BENCH_REPORT_H
#define FSFM_JOBS_BENCH_BENCH_REPORT_H

#include <stdint.h>

#include "core/device/profile.h"

/* Of values (count >= 1). */
double fsfm_bench_min(const double *values, int64_t count);
double fsfm_bench_max(const double *values, int64_t count);

/* One operation of a profile against the machine. NAN where it does no such work. */
typedef struct {
    const char *name;
    double calls, ms;    /* a step */
    double share;        /* of the step's time */
    double gflops, gb_s; /* of its products; of all its arrays */
    double roof_share; /* of the speed that the products' peak and the memory's allow: time at them / time */
} fsfm_bench_operation;
/* Fills out (count) with the operations that were called in steps of step_s seconds each, slowest first;
 * returns how many. */
int fsfm_bench_operations(const fsfm_profile_entry *entries, int count, int64_t steps, double step_s,
                          const fsfm_device_peaks *peaks, fsfm_bench_operation *out);
#endif
