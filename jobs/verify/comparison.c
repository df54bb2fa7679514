/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/verify/comparison.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>

const fsfm_tolerances fsfm_tolerances_fp32 = {
    .loss = 1e-5,
    .outputs = 1e-4,
    .gradient_l2 = 1e-3,
    .gradient_sample = 1e-3,
    .path_loss = 3e-5,
    .path_norm = 3e-5,
    .path_schedule = 1e-12,
    .final_sample = 2e-5,
    .final_l2 = 1e-5,
};

const fsfm_tolerances fsfm_tolerances_bf16 = {
    .loss = 1e-2,
    .outputs = 2e-2,
    .cosine = 1e-3,
    .gradient_l2 = 5e-2,
    .path_loss = 2e-2,
    .path_norm = 5e-2,
    .path_norm_is_relative = true,
    .path_schedule = 1e-12,
    .final_l2 = 3e-2,
};

void fsfm_comparison_note(fsfm_comparison *comparison, double error, const char *fmt, ...)
{
    comparison->compared++;
    if (comparison->compared > 1 && error <= comparison->worst)
        return; /* NaN is not <= anything: it is kept */
    if (isnan(comparison->worst)) return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(comparison->where, sizeof comparison->where, fmt, args);
    va_end(args);
    comparison->worst = error;
}

double fsfm_compare_arrays(const float *got, const float *want, int64_t count)
{
    double largest = 0.0, worst = 0.0;
    for (int64_t i = 0; i < count; i++) {
        const double difference = fabs((double)got[i] - (double)want[i]);
        if (!(difference <= worst)) worst = difference;
        if (isnan(worst)) return NAN;
        largest = fmax(largest, fabs((double)want[i]));
    }
    return largest > 0.0 ? worst / largest : worst;
}

double fsfm_compare_numbers(double got, double want, double floor)
{
    return fabs(got - want) / fmax(fabs(want), floor);
}

bool fsfm_comparison_print(const fsfm_comparison *comparison, const char *name, double tolerance,
                           fsfm_log *log)
{
    const bool is_ok = comparison->compared > 0 && comparison->worst <= tolerance; /* false for NaN */
    fsfm_log_line(log, "%-26s worst error %.2e, tolerance %.0e, %s (%" PRId64 " compared, worst at %s)", name,
                  comparison->worst, tolerance, is_ok ? "ok" : "FAIL", comparison->compared,
                  comparison->compared > 0 ? comparison->where : "nothing");
    return is_ok;
}
