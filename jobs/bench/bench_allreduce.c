/* SPDX-License-Identifier: Apache-2.0
 * jobs/bench/bench_allreduce.c - `fsfm bench allreduce`: how long the sum of gradients over ranks takes, by
 * its size. The very reduction of a step, without a backward pass to hide behind. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/median.h"
#include "core/base/number.h"
#include "core/model/parameters.h"
#include "io/chart.h"
#include "jobs/bench/bench.h"
#include "jobs/bench/bench_report.h"
#include "jobs/command.h"
#include "jobs/settings.h"
#include "mpi/exchange_time.h"
#include "mpi/reduce.h"

enum { SIZES_MAX = 32, WARMUP_RUNS = 2, RUNS_MIN = 5, RUNS_MAX = 50, BAR = 24 };
static const double size_s = 0.5; /* what the runs of a size take together, about */
/* From a message that is all latency to more than the gradients of ViT-S. */
static const char default_sizes[] = "0.00390625,0.015625,0.0625,0.25,1,4,16,64,256";

typedef struct {
    double mib;
    int64_t runs;
    double best_s, median_s;
    bool is_preset; /* the gradients of the preset */
} measurement;

typedef struct {
    fsfm_comm *comm;
    fsfm_device *dev;
    fsfm_reduction kind;
    int64_t bucket_mib;
    const char *preset, *picture; /* NULL: none */
    measurement sizes[SIZES_MAX + 1];
    int count;
} sweep;

static double size_bytes(const measurement *m)
{
    return m->mib * (1 << 20);
}

/* Bytes that every rank's link carries each way at least: what the time of any algorithm is compared by. */
static double bus_gb_s(const sweep *s, const measurement *m, double seconds)
{
    return 1e-9 * fsfm_exchange_ring_bytes(fsfm_comm_size(s->comm), size_bytes(m)) / seconds;
}

static fsfm_status time_runs(fsfm_reduce *reduce, measurement *m, fsfm_error *err)
{
    double seconds[RUNS_MAX] = {0}, warm_s = 0;
    for (int i = 0; i < WARMUP_RUNS; i++) FSFM_TRY(fsfm_reduce_time(reduce, &warm_s, err));
    m->runs = (int64_t)fmin(RUNS_MAX, fmax(RUNS_MIN, size_s / fmax(warm_s, 1e-6))); /* alike on all ranks */
    for (int64_t i = 0; i < m->runs; i++) FSFM_TRY(fsfm_reduce_time(reduce, &seconds[i], err));
    m->best_s = fsfm_bench_min(seconds, m->runs);
    m->median_s = fsfm_median(seconds, m->runs);
    return FSFM_OK;
}

static fsfm_status measure_size(const sweep *s, measurement *m, fsfm_error *err)
{
    const int64_t floats = (int64_t)ceil(size_bytes(m) / sizeof(float));
    const size_t array_bytes = (size_t)floats * sizeof(float);
    fsfm_reduce *reduce = NULL;
    void *gradients = NULL;
    fsfm_status st = s->dev->ops->alloc(s->dev, array_bytes, &gradients, err);
    if (st == FSFM_OK) st = s->dev->ops->zero(s->dev, gradients, array_bytes, err);
    const fsfm_reduce_setup setup = {.comm = s->comm,
                                     .dev = s->dev,
                                     .gradients_dev = gradients,
                                     .count = floats,
                                     .kind = s->kind,
                                     .bucket_mib = s->bucket_mib,
                                     .slices = fsfm_comm_size(s->comm)};
    st = fsfm_comm_agree(s->comm, st, err);
    if (st == FSFM_OK) st = fsfm_reduce_open(&setup, &reduce, err);
    if (st == FSFM_OK) st = time_runs(reduce, m, err);
    fsfm_reduce_close(&reduce);
    s->dev->ops->free(s->dev, gradients);
    return st;
}

static void print_json(const sweep *s)
{
    fsfm_json json = {.stream = stdout};
    char library[128];
    fsfm_json_object_begin(&json, NULL);
    fsfm_json_int(&json, "ranks", fsfm_comm_size(s->comm));
    fsfm_json_text(&json, "mpi", fsfm_comm_library(library, sizeof library));
    fsfm_json_text(&json, "device", s->dev->name);
    fsfm_json_text(&json, "reduction", s->kind == FSFM_REDUCTION_FAST ? "fast" : "exact");
    fsfm_json_int(&json, "bucket_mib", s->bucket_mib);
    fsfm_json_list_begin(&json, "sizes");
    for (int i = 0; i < s->count; i++) {
        const measurement *m = &s->sizes[i];
        fsfm_json_object_begin(&json, NULL);
        fsfm_json_real(&json, "mib", m->mib);
        fsfm_json_text(&json, "preset", m->is_preset ? s->preset : NULL);
        fsfm_json_int(&json, "runs", m->runs);
        fsfm_json_real(&json, "seconds_best", m->best_s);
        fsfm_json_real(&json, "seconds_median", m->median_s);
        fsfm_json_real(&json, "algorithm_gb_s_median", 1e-9 * size_bytes(m) / m->median_s);
        fsfm_json_real(&json, "bus_gb_s_best", bus_gb_s(s, m, m->best_s));
        fsfm_json_real(&json, "bus_gb_s_median", bus_gb_s(s, m, m->median_s));
        fsfm_json_object_end(&json);
    }
    fsfm_json_list_end(&json);
    fsfm_json_object_end(&json);
    putchar('\n');
}

static const char *size_name(const measurement *m, char out[32])
{
    if (m->mib < 1)
        snprintf(out, 32, "%.4g KiB", m->mib * 1024);
    else
        snprintf(out, 32, "%.4g MiB", m->mib);
    return out;
}

static void print_text(const sweep *s)
{
    char text[128];
    double most = 0;
    if (s->count == 0) {
        printf("one rank: there is nothing to sum (start it with mpirun -n N, or with srun)\n");
        return;
    }
    for (int i = 0; i < s->count; i++) most = fmax(most, bus_gb_s(s, &s->sizes[i], s->sizes[i].median_s));
    printf("%s, %d ranks, %s, %s reduction", fsfm_comm_library(text, sizeof text), fsfm_comm_size(s->comm),
           s->dev->name, s->kind == FSFM_REDUCTION_FAST ? "fast" : "exact");
    if (s->kind == FSFM_REDUCTION_FAST) printf(" in buckets of %" PRId64 " MiB", s->bucket_mib);
    printf("\n%12s %6s %12s %12s %12s %12s\n", "size", "runs", "best ms", "median ms", "size GB/s",
           "bus GB/s");
    for (int i = 0; i < s->count; i++) {
        const measurement *m = &s->sizes[i];
        const double bus = bus_gb_s(s, m, m->median_s);
        printf("%12s %6" PRId64 " %12.3f %12.3f %12.2f %12.2f  ", size_name(m, text), m->runs,
               1e3 * m->best_s, 1e3 * m->median_s, 1e-9 * size_bytes(m) / m->median_s, bus);
        for (int c = 0; c < (int)lround(BAR * bus / most); c++) putchar('#');
        printf("%s%s\n", m->is_preset ? " gradients of " : "", m->is_preset ? s->preset : "");
    }
    printf("by the median: size / time, and bus bandwidth, 2 (ranks - 1) / ranks x size / time\n");
}

static fsfm_status draw(const sweep *s, fsfm_error *err)
{
    char title[160], library[96], names[SIZES_MAX + 1][32];
    const char *labels[SIZES_MAX + 1];
    fsfm_chart *chart = NULL;
    for (int i = 0; i < s->count; i++) labels[i] = size_name(&s->sizes[i], names[i]);
    snprintf(title, sizeof title, "sum of gradients, %d ranks, %s", fsfm_comm_size(s->comm),
             fsfm_comm_library(library, sizeof library));
    FSFM_TRY(fsfm_chart_create(title, "size", "bus bandwidth, GB/s", s->count, labels, &chart, err));
    const int median = fsfm_chart_add_series(chart, "median"), best = fsfm_chart_add_series(chart, "best");
    for (int i = 0; i < s->count; i++) {
        const measurement *m = &s->sizes[i];
        fsfm_chart_set(chart, median, i, bus_gb_s(s, m, m->median_s), NAN);
        fsfm_chart_set(chart, best, i, bus_gb_s(s, m, m->best_s), NAN);
    }
    const fsfm_status st = fsfm_chart_write(chart, s->picture, err);
    fsfm_chart_free(&chart);
    return st;
}

/* "1,4,16": sizes in MiB. */
static fsfm_status parse_sizes(const char *text, sweep *s, fsfm_error *err)
{
    char *copy = strdup(text), *rest = copy;
    fsfm_status st = copy ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the value of --mib");
    for (const char *word; st == FSFM_OK && (word = strsep(&rest, ","));) {
        double mib = 0;
        if (s->count == SIZES_MAX)
            st = fsfm_fail(err, FSFM_ERR_ARG, "--mib: expected at most %d sizes", SIZES_MAX);
        else if (!fsfm_number_real(word, &mib) || mib < 0.001 || mib > 16384)
            st = fsfm_fail(err, FSFM_ERR_ARG, "--mib: expected numbers from 0.001 to 16384, found '%.60s'",
                           word);
        else
            s->sizes[s->count++].mib = mib;
    }
    free(copy);
    return st;
}

static int compare_sizes(const void *a, const void *b)
{
    const double x = ((const measurement *)a)->mib, y = ((const measurement *)b)->mib;
    return (x > y) - (x < y);
}

/* The size of a preset's gradients, in its place among the others. */
static fsfm_status add_preset(sweep *s, fsfm_error *err)
{
    const fsfm_settings_word word = {"--preset", "model.preset", s->preset};
    fsfm_parameters parameters = {0};
    if (!s->preset) return FSFM_OK;
    fsfm_settings *settings = malloc(sizeof *settings);
    if (!settings) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for settings");
    fsfm_status st = fsfm_settings_from_options(&word, 1, settings, err);
    if (st == FSFM_OK) st = fsfm_parameters_list(&settings->model, &parameters, err);
    free(settings);
    FSFM_TRY(st);
    measurement *m = &s->sizes[s->count++];
    m->mib = (double)parameters.total_floats * sizeof(float) / (1 << 20);
    m->is_preset = true;
    fsfm_parameters_free(&parameters);
    qsort(s->sizes, (size_t)s->count, sizeof *s->sizes, compare_sizes);
    return FSFM_OK;
}

static fsfm_status parse(int argc, char **argv, sweep *s, bool *as_json, fsfm_error *err)
{
    static const char *const valued[] = {"--mib", "--preset", "--reduction", "--bucket-mib", "--out", NULL};
    static const char *const flags[] = {"--json", NULL};
    fsfm_arguments arguments;
    FSFM_TRY(fsfm_arguments_parse(argc, argv, valued, flags, &arguments, err));
    if (arguments.word_count > 0)
        return fsfm_fail(err, FSFM_ERR_ARG, "bench allreduce: expected options, found '%.60s'",
                         arguments.words[0]);
    const char *kind = fsfm_arguments_get(&arguments, "--reduction", "fast");
    if (strcmp(kind, "fast") != 0 && strcmp(kind, "exact") != 0)
        return fsfm_fail(err, FSFM_ERR_ARG, "--reduction: expected fast or exact, found '%.60s'", kind);
    s->kind = kind[0] == 'e' ? FSFM_REDUCTION_EXACT : FSFM_REDUCTION_FAST;
    *as_json = fsfm_arguments_has(&arguments, "--json");
    FSFM_TRY(fsfm_arguments_int(&arguments, "--bucket-mib", 32, 1, 4096, &s->bucket_mib, err));
    s->preset = fsfm_arguments_get(&arguments, "--preset", NULL);
    s->picture = fsfm_arguments_get(&arguments, "--out", NULL);
    FSFM_TRY(parse_sizes(fsfm_arguments_get(&arguments, "--mib", default_sizes), s, err));
    return add_preset(s, err);
}

static fsfm_status run(fsfm_comm *comm, int argc, char **argv, fsfm_error *err)
{
    sweep s = {.comm = comm};
    bool as_json = false;
    char note[160];
    FSFM_TRY(parse(argc, argv, &s, &as_json, err));
    const fsfm_device_options options = {
        .kind = FSFM_DEVICE_AUTO, .threads = 1, .index = fsfm_comm_local_rank(comm)};
    fsfm_status st = fsfm_device_open(&options, &s.dev, note, err);
    st = fsfm_comm_agree(comm, st, err);
    if (fsfm_comm_size(comm) == 1) s.count = 0;
    for (int i = 0; i < s.count && st == FSFM_OK; i++) st = measure_size(&s, &s.sizes[i], err);
    if (st == FSFM_OK && fsfm_comm_rank(comm) == 0) {
        if (as_json)
            print_json(&s);
        else
            print_text(&s);
    }
    if (st == FSFM_OK && s.picture && s.count > 0)
        st = fsfm_comm_agree(comm, fsfm_comm_rank(comm) == 0 ? draw(&s, err) : FSFM_OK, err);
    fsfm_device_close(&s.dev);
    return st;
}

fsfm_status fsfm_bench_allreduce(int argc, char **argv, fsfm_error *err)
{
    fsfm_comm *comm = NULL;
    FSFM_TRY(fsfm_comm_start(&comm, err));
    return fsfm_command_end(&comm, run(comm, argc, argv, err), err);
}
