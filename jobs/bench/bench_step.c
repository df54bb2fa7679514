/* SPDX-License-Identifier: Apache-2.0
 * jobs/bench/bench_step.c - `fsfm bench step`: images a second of whole optimiser steps, against what the
 * machine's products and memory give at best. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/median.h"
#include "jobs/bench/bench.h"
#include "jobs/bench/bench_report.h"
#include "jobs/command.h"
#include "jobs/settings.h"
#include "mpi/step_bench.h"

enum { WARMUP_STEPS = 2 };
#define DEFAULT_PRESET "vit_b16"

/* The figures, from the times. */
typedef struct {
    const fsfm_settings *settings;
    const char *preset;
    const char *machine_file; /* NULL: not to be written */
    bool shows_profile;
    int64_t steps;
    fsfm_step_bench seen;
    double step_best_s, step_median_s;
    double images_per_s_best, images_per_s_median;
    double gflop_per_image, gflops, gemm_share;
    fsfm_bench_operation *operations; /* owned; NULL: no profile */
    int operation_count;
    double other_ms, other_share; /* of a step's time: between the operations */
} result;

static const char *precision_name(const result *r)
{
    return r->seen.precision == FSFM_PRECISION_BF16 ? "bf16" : "fp32";
}

static fsfm_status add_up_profile(result *r, fsfm_error *err)
{
    const fsfm_device_peaks of_rank = {r->seen.peaks.gemm_gflops / r->seen.ranks,
                                       r->seen.peaks.memory_gb_s / r->seen.ranks};
    double mean_s = 0;
    if (!r->seen.profile) return FSFM_OK;
    for (int64_t s = 0; s < r->steps; s++) mean_s += r->seen.step_s[s] / (double)r->steps;
    r->operations = calloc((size_t)r->seen.profile_count, sizeof *r->operations);
    if (!r->operations) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a profile");
    r->operation_count = fsfm_bench_operations(r->seen.profile, r->seen.profile_count, r->steps, mean_s,
                                               &of_rank, r->operations);
    r->other_ms = 1e3 * mean_s;
    for (int i = 0; i < r->operation_count; i++) r->other_ms -= r->operations[i].ms;
    r->other_share = 1e-3 * r->other_ms / mean_s;
    return FSFM_OK;
}

static fsfm_status add_up(result *r, fsfm_error *err)
{
    const double images = (double)r->settings->train.global_batch;
    r->step_best_s = fsfm_bench_min(r->seen.step_s, r->steps);
    r->step_median_s = fsfm_median(r->seen.step_s, r->steps);
    r->images_per_s_best = images / r->step_best_s;
    r->images_per_s_median = images / r->step_median_s;
    r->gflop_per_image = 1e-9 * r->seen.flops.step;
    r->gflops = r->images_per_s_median * r->gflop_per_image;
    r->gemm_share = r->gflops / r->seen.peaks.gemm_gflops;
    return add_up_profile(r, err);
}

static void print_json_operation(fsfm_json *json, const fsfm_bench_operation *operation)
{
    fsfm_json_object_begin(json, NULL);
    fsfm_json_text(json, "operation", operation->name);
    fsfm_json_real(json, "calls", operation->calls);
    fsfm_json_real(json, "ms", operation->ms);
    fsfm_json_real(json, "share", operation->share);
    fsfm_json_real(json, "gflops", operation->gflops);
    fsfm_json_real(json, "gb_s", operation->gb_s);
    fsfm_json_real(json, "roof_share", operation->roof_share);
    fsfm_json_object_end(json);
}

static void print_json(const result *r)
{
    const fsfm_step_bench *seen = &r->seen;
    fsfm_json json = {.stream = stdout};
    fsfm_json_object_begin(&json, NULL);
    fsfm_json_text(&json, "preset", r->preset);
    fsfm_json_int(&json, "batch", r->settings->train.global_batch);
    fsfm_json_int(&json, "micro_batch", seen->micro_batch);
    fsfm_json_text(&json, "precision", precision_name(r));
    fsfm_json_int(&json, "ranks", seen->ranks);
    fsfm_json_int(&json, "threads", seen->threads);
    fsfm_json_text(&json, "device", seen->device);
    if (seen->slow_products[0]) fsfm_json_text(&json, "slow_products", seen->slow_products);
    fsfm_json_int(&json, "steps", r->steps);
    fsfm_json_real(&json, "images_per_s_best", r->images_per_s_best);
    fsfm_json_real(&json, "images_per_s_median", r->images_per_s_median);
    fsfm_json_real(&json, "step_ms_best", 1e3 * r->step_best_s);
    fsfm_json_real(&json, "step_ms_median", 1e3 * r->step_median_s);
    fsfm_json_real(&json, "gflop_per_image", r->gflop_per_image);
    fsfm_json_real(&json, "gflops", r->gflops);
    fsfm_json_real(&json, "gemm_peak_gflops", seen->peaks.gemm_gflops);
    fsfm_json_real(&json, "gemm_share", r->gemm_share);
    fsfm_json_real(&json, "memory_peak_gb_s", seen->peaks.memory_gb_s);
    fsfm_json_real(&json, "peak_rss_mib", (double)seen->peak_rss_bytes / (1 << 20));
    if (r->shows_profile) {
        fsfm_json_list_begin(&json, "profile");
        for (int i = 0; i < r->operation_count; i++) print_json_operation(&json, &r->operations[i]);
        fsfm_json_list_end(&json);
        fsfm_json_real(&json, "profile_other_ms", r->other_ms);
    }
    fsfm_json_object_end(&json);
    putchar('\n');
}

/* Nothing is said of the speed of what takes no time that could be measured. */
static void print_operation(const fsfm_bench_operation *operation)
{
    char gflops[16] = "";
    if (isfinite(operation->gflops)) snprintf(gflops, sizeof gflops, "%.1f", operation->gflops);
    printf("%-18s %7.0f %9.2f %6.1f %% %8s %8.1f %5.0f %%\n", operation->name, operation->calls,
           operation->ms, 100 * operation->share, gflops, operation->gb_s, 100 * operation->roof_share);
}

static void print_profile(const result *r)
{
    printf("\n%-18s %7s %9s %8s %8s %8s %7s\n", "operation", "calls", "ms", "time", "GFLOP/s", "GB/s",
           "roof");
    for (int i = 0; i < r->operation_count; i++) print_operation(&r->operations[i]);
    printf("%-18s %7s %9.2f %6.1f %%\n", "between them", "", r->other_ms, 100 * r->other_share);
    printf("calls and time of one step, on rank 0; roof: of what both peaks allow (above 100 %%: from "
           "caches)\n");
}

static void print_text(const result *r)
{
    const fsfm_step_bench *seen = &r->seen;
    const int64_t batch = r->settings->train.global_batch;
    printf("device      %s\n", seen->device);
    if (seen->slow_products[0])
        printf("products    %s (M x N x K) by a plain kernel, slower: no fast one takes them\n",
               seen->slow_products);
    printf("step        %s, %s: %" PRId64 " images = %d rank%s x %" PRId64 " x %" PRId64
           "; %d steps to warm up, %" PRId64 " timed\n",
           r->preset, precision_name(r), batch, seen->ranks, seen->ranks == 1 ? "" : "s",
           seen->local_batch / seen->micro_batch, seen->micro_batch, (int)WARMUP_STEPS, r->steps);
    printf("images/s    %.2f median, %.2f best (%.0f ms a step)\n", r->images_per_s_median,
           r->images_per_s_best, 1e3 * r->step_median_s);
    printf("GFLOP/s     %.1f at %.2f GFLOP an image: %.0f %% of %.1f, the products' peak here and now\n",
           r->gflops, r->gflop_per_image, 100 * r->gemm_share, seen->peaks.gemm_gflops);
    printf("memory      %.0f MiB resident at most; peak rate %.1f GB/s\n",
           (double)seen->peak_rss_bytes / (1 << 20), seen->peaks.memory_gb_s);
    if (r->shows_profile) print_profile(r);
}

/* Options of the command that are keys of a configuration: set where they are given, or where a bench has a
 * default of its own. */
static fsfm_status load_settings(const fsfm_arguments *arguments, fsfm_settings *settings, fsfm_error *err)
{
    static const fsfm_settings_word known[] = {
        {"--preset", "model.preset", DEFAULT_PRESET}, {"--batch", "train.global_batch", "16"},
        {"--precision", "train.precision", NULL},     {"--micro-batch", "train.micro_batch", NULL},
        {"--threads", "run.threads", NULL},           {"--recompute", "train.recompute", NULL},
    };
    enum { KNOWN = sizeof known / sizeof *known };
    fsfm_settings_word given[KNOWN];
    int count = 0;
    for (int i = 0; i < KNOWN; i++) {
        given[count] = known[i];
        given[count].value = fsfm_arguments_get(arguments, known[i].option, known[i].value);
        if (given[count].value) count++;
    }
    return fsfm_settings_from_options(given, count, settings, err);
}

static fsfm_status measure(fsfm_comm *comm, result *r, fsfm_error *err)
{
    const fsfm_train_job job = fsfm_settings_job(r->settings);
    const fsfm_step_bench_setup setup = {.job = &job,
                                         .warmup = WARMUP_STEPS,
                                         .steps = r->steps,
                                         .profiles = r->shows_profile || r->machine_file};
    fsfm_log log;
    fsfm_log_open(&log, fsfm_comm_rank(comm) == 0 ? stderr : NULL);
    const fsfm_status st = fsfm_step_bench_run(comm, &setup, &log, &r->seen, err);
    fsfm_log_close(&log);
    return st == FSFM_OK ? add_up(r, err) : st;
}

static fsfm_status write_machine(const result *r, fsfm_error *err)
{
    if (!r->machine_file) return FSFM_OK;
    return fsfm_bench_write_machine(r->machine_file, r->preset, &r->seen, r->steps, r->step_median_s, err);
}

static fsfm_status run(fsfm_comm *comm, int argc, char **argv, fsfm_error *err)
{
    static const char *const valued[] = {"--preset",    "--batch",         "--precision",
                                         "--steps",     "--micro-batch",   "--threads",
                                         "--recompute", "--write-machine", NULL};
    static const char *const flags[] = {"--profile", "--json", NULL};
    fsfm_arguments arguments;
    result r = {.settings = NULL};
    FSFM_TRY(fsfm_arguments_parse(argc, argv, valued, flags, &arguments, err));
    if (arguments.word_count > 0)
        return fsfm_fail(err, FSFM_ERR_ARG, "bench step: expected options, found '%.60s'",
                         arguments.words[0]);
    FSFM_TRY(fsfm_arguments_int(&arguments, "--steps", 5, 1, 100000, &r.steps, err));
    fsfm_settings *settings = malloc(sizeof *settings);
    if (!settings) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for settings");
    fsfm_status st = load_settings(&arguments, settings, err);
    r.settings = settings;
    r.preset = fsfm_arguments_get(&arguments, "--preset", DEFAULT_PRESET);
    r.machine_file = fsfm_arguments_get(&arguments, "--write-machine", NULL);
    r.shows_profile = fsfm_arguments_has(&arguments, "--profile");
    if (st == FSFM_OK) st = measure(comm, &r, err);
    if (st == FSFM_OK)
        st = fsfm_comm_agree(comm, fsfm_comm_rank(comm) == 0 ? write_machine(&r, err) : FSFM_OK, err);
    if (st == FSFM_OK && fsfm_comm_rank(comm) == 0) {
        if (fsfm_arguments_has(&arguments, "--json"))
            print_json(&r);
        else
            print_text(&r);
    }
    free(r.operations);
    fsfm_step_bench_free(&r.seen);
    free(settings);
    return st;
}

fsfm_status fsfm_bench_step(int argc, char **argv, fsfm_error *err)
{
    fsfm_comm *comm = NULL;
    FSFM_TRY(fsfm_comm_start(&comm, err));
    return fsfm_command_end(&comm, run(comm, argc, argv, err), err);
}
