/* SPDX-License-Identifier: Apache-2.0
 * jobs/bench/bench_machine.c - what `fsfm bench step` measured, as the rates that `fsfm plan` predicts from.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/median.h"
#include "jobs/bench/bench.h"
#include "jobs/bench/bench_report.h"
#include "jobs/machine/local_machine.h"
#include "mpi/exchange_time.h"

/* Seconds of a step on rank 0. */
typedef struct {
    double products, attention, optimizer, rows, all;
} kind_times;

static bool begins_with(const char *name, const char *word)
{
    return strncmp(name, word, strlen(word)) == 0;
}

static kind_times sort_times(const fsfm_step_bench *seen, int64_t steps)
{
    static const char *const of_optimizer[] = {"adamw", "norm_squared", "zero", "add"};
    kind_times t = {0};
    for (int i = 0; i < seen->profile_count; i++) {
        const fsfm_profile_entry *e = &seen->profile[i];
        double *kind = &t.rows;
        if (begins_with(e->name, "linear")) kind = &t.products;
        if (begins_with(e->name, "attention")) kind = &t.attention;
        for (size_t k = 0; k < sizeof of_optimizer / sizeof *of_optimizer; k++)
            if (strcmp(e->name, of_optimizer[k]) == 0) kind = &t.optimizer;
        *kind += e->seconds / (double)steps;
        t.all += e->seconds / (double)steps;
    }
    return t;
}

/* Rates by the very counts that a plan divides by them. The profile's times are of the mean step; what is
 * kept is of the median one. */
static void describe(const fsfm_step_bench *seen, int64_t steps, double step_s, fsfm_local_step *out)
{
    const fsfm_work_sums sums = seen->sums;
    const double micros = (double)(seen->local_batch / seen->micro_batch), ranks = seen->ranks;
    const kind_times t = sort_times(seen, steps);
    double mean_s = 0;
    for (int64_t s = 0; s < steps; s++) mean_s += seen->step_s[s] / (double)steps;
    const double giga = 1e-9 * mean_s / step_s;
    /* What operations leave of the median step is the sum over ranks, as far as it shows, and what is
     * between. */
    double sums_s[FSFM_STEP_BENCH_SUMS];
    memcpy(sums_s, seen->sum_s, sizeof sums_s);
    const double rest_s = fmax(0.0, step_s - t.all * step_s / mean_s);
    const double sum_s = fmin(fsfm_median(sums_s, FSFM_STEP_BENCH_SUMS), rest_s);
    out->ranks = ranks;
    out->threads = seen->threads;
    out->micro_batch = (double)seen->micro_batch;
    out->gflop_per_image = 1e-9 * seen->flops.step;
    out->gemm_peak_gflops = seen->peaks.gemm_gflops / ranks;
    out->memory_peak_gb_s = seen->peaks.memory_gb_s / ranks;
    out->gemm_gflops = giga * micros * sums.product_flop / t.products;
    out->attention_gflops = giga * micros * sums.attention_flop / t.attention;
    out->rows_gb_s = giga * micros * sums.rows_bytes / t.rows;
    out->optimizer_gb_s = giga * sums.optimizer_bytes / t.optimizer;
    out->other_share = fmax(1e-6, (rest_s - sum_s) / (step_s - sum_s));
    if (sum_s > 0)
        out->sum_gb_s = 1e-9 * fsfm_exchange_ring_bytes(seen->ranks, (double)seen->sum_bytes) / sum_s;
}

fsfm_status fsfm_bench_write_machine(const char *path, const char *preset, const fsfm_step_bench *seen,
                                     int64_t steps, double step_s, fsfm_error *err)
{
    fsfm_local_machine machine;
    fsfm_local_step step = {.ranks = 0};
    FSFM_TRY(fsfm_local_machine_read(path, &machine, err));
    snprintf(step.preset, sizeof step.preset, "%s", preset);
    snprintf(step.precision, sizeof step.precision, "%s", fsfm_precision_name(seen->precision));
    snprintf(step.device, sizeof step.device, "%s", seen->device);
    describe(seen, steps, step_s, &step);
    fsfm_local_machine_put(&machine, &step);
    FSFM_TRY(fsfm_bench_checkpoint_rate(preset, NULL, &machine.checkpoint_mb_s, err));
    return fsfm_local_machine_write(&machine, err);
}
