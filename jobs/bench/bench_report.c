/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/bench/bench_report.h"

#include <math.h>
#include <stdlib.h>

double fsfm_bench_min(const double *values, int64_t count)
{
    double least = values[0];
    for (int64_t i = 1; i < count; i++) least = fmin(least, values[i]);
    return least;
}

double fsfm_bench_max(const double *values, int64_t count)
{
    double most = values[0];
    for (int64_t i = 1; i < count; i++) most = fmax(most, values[i]);
    return most;
}

static int compare_operations(const void *a, const void *b)
{
    const double x = ((const fsfm_bench_operation *)a)->ms, y = ((const fsfm_bench_operation *)b)->ms;
    return (x < y) - (x > y);
}

int fsfm_bench_operations(const fsfm_profile_entry *entries, int count, int64_t steps, double step_s,
                          const fsfm_device_peaks *peaks, fsfm_bench_operation *out)
{
    int found = 0;
    for (int i = 0; i < count; i++) {
        const fsfm_profile_entry *e = &entries[i];
        if (e->calls == 0) continue;
        const double per_step = 1.0 / (double)steps;
        const double roof_s =
            fmax(e->flop / (1e9 * peaks->gemm_gflops), e->bytes / (1e9 * peaks->memory_gb_s));
        out[found++] = (fsfm_bench_operation){
            .name = e->name,
            .calls = (double)e->calls * per_step,
            .ms = 1e3 * e->seconds * per_step,
            .share = e->seconds * per_step / step_s,
            .gflops = e->flop > 0 ? 1e-9 * e->flop / e->seconds : NAN,
            .gb_s = 1e-9 * e->bytes / e->seconds,
            .roof_share = roof_s / e->seconds,
        };
    }
    qsort(out, (size_t)found, sizeof *out, compare_operations);
    return found;
}
