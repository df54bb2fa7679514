/* SPDX-License-Identifier: Apache-2.0
 * jobs/bench/bench_allreduce.c - `fsfm bench allreduce`: how long the sum of gradients over ranks takes, by
 * its size. The very reduction of a step, without a backward pass to hide behind. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/number.h"
#include "jobs/bench/bench.h"
#include "jobs/bench/bench_report.h"
#include "jobs/command.h"
#include "mpi/reduce.h"

enum { SIZES_MAX = 32, WARMUP_RUNS = 2, RUNS_MIN = 5, RUNS_MAX = 50 };
static const double size_s = 0.5; /* what the runs of a size take together, about */

typedef struct {
    double mib;
    int64_t runs;
    double best_s, median_s;
} measurement;

typedef struct {
    fsfm_comm *comm;
    fsfm_device *dev;
    fsfm_reduction kind;
    int64_t bucket_mib;
    measurement sizes[SIZES_MAX];
    int count;
} sweep;

/* Bytes that every rank's link carries each way at least: what the time of any algorithm is compared by. */
static double bus_gb_s(const sweep *s, const measurement *m, double seconds)
{
    const double ranks = fsfm_comm_size(s->comm);
    return ranks > 1 ? 2.0 * (ranks - 1.0) / ranks * m->mib * (1 << 20) / seconds * 1e-9 : NAN;
}

/* Seconds until the last rank has the sum. */
static fsfm_status time_once(const sweep *s, fsfm_reduce *reduce, int64_t floats, double *seconds,
                             fsfm_error *err)
{
    fsfm_learner_sums sums = {0};
    fsfm_status st = FSFM_OK;
    fsfm_comm_barrier(s->comm);
    const double began_s = fsfm_clock_monotonic_s();
    fsfm_reduce_begin(reduce);
    if (s->kind == FSFM_REDUCTION_FAST)
        fsfm_reduce_ready(reduce, 0, floats);
    else
        st = fsfm_reduce_slice(reduce, &sums, err);
    if (st == FSFM_OK) st = fsfm_reduce_gradients(reduce, err);
    const fsfm_status finished = fsfm_reduce_finish(reduce, &sums, err);
    *seconds = fsfm_clock_monotonic_s() - began_s;
    fsfm_comm_max_double(s->comm, seconds, 1);
    return fsfm_comm_agree(s->comm, st == FSFM_OK ? finished : st, err);
}

static fsfm_status time_runs(const sweep *s, fsfm_reduce *reduce, int64_t floats, measurement *m,
                             fsfm_error *err)
{
    double seconds[RUNS_MAX] = {0}, warm_s = 0;
    for (int i = 0; i < WARMUP_RUNS; i++) FSFM_TRY(time_once(s, reduce, floats, &warm_s, err));
    m->runs = (int64_t)fmin(RUNS_MAX, fmax(RUNS_MIN, size_s / fmax(warm_s, 1e-6))); /* alike on all ranks */
    for (int64_t i = 0; i < m->runs; i++) FSFM_TRY(time_once(s, reduce, floats, &seconds[i], err));
    m->best_s = fsfm_bench_min(seconds, m->runs);
    m->median_s = fsfm_bench_median(seconds, m->runs);
    return FSFM_OK;
}

static fsfm_status measure_size(const sweep *s, measurement *m, fsfm_error *err)
{
    const int64_t floats = (int64_t)ceil(m->mib * (1 << 20) / sizeof(float));
    const size_t size_bytes = (size_t)floats * sizeof(float);
    fsfm_reduce *reduce = NULL;
    void *gradients = NULL;
    fsfm_status st = s->dev->ops->alloc(s->dev, size_bytes, &gradients, err);
    if (st == FSFM_OK) st = s->dev->ops->zero(s->dev, gradients, size_bytes, err);
    const fsfm_reduce_setup setup = {.comm = s->comm,
                                     .dev = s->dev,
                                     .gradients_dev = gradients,
                                     .count = floats,
                                     .kind = s->kind,
                                     .bucket_mib = s->bucket_mib,
                                     .slices = fsfm_comm_size(s->comm)};
    st = fsfm_comm_agree(s->comm, st, err);
    if (st == FSFM_OK) st = fsfm_reduce_open(&setup, &reduce, err);
    if (st == FSFM_OK) st = time_runs(s, reduce, floats, m, err);
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
    fsfm_json_text(&json, "reduction", s->kind == FSFM_REDUCTION_FAST ? "fast" : "exact");
    fsfm_json_int(&json, "bucket_mib", s->bucket_mib);
    fsfm_json_list_begin(&json, "sizes");
    for (int i = 0; i < s->count; i++) {
        const measurement *m = &s->sizes[i];
        fsfm_json_object_begin(&json, NULL);
        fsfm_json_real(&json, "mib", m->mib);
        fsfm_json_int(&json, "runs", m->runs);
        fsfm_json_real(&json, "seconds_best", m->best_s);
        fsfm_json_real(&json, "seconds_median", m->median_s);
        fsfm_json_real(&json, "bus_gb_s_best", bus_gb_s(s, m, m->best_s));
        fsfm_json_real(&json, "bus_gb_s_median", bus_gb_s(s, m, m->median_s));
        fsfm_json_object_end(&json);
    }
    fsfm_json_list_end(&json);
    fsfm_json_object_end(&json);
    putchar('\n');
}

static void print_text(const sweep *s)
{
    const int ranks = fsfm_comm_size(s->comm);
    char library[128];
    printf("%s, %d rank%s, %s reduction", fsfm_comm_library(library, sizeof library), ranks,
           ranks == 1 ? "" : "s", s->kind == FSFM_REDUCTION_FAST ? "fast" : "exact");
    if (s->kind == FSFM_REDUCTION_FAST) printf(" in buckets of %" PRId64 " MiB", s->bucket_mib);
    printf("\n");
    if (ranks == 1)
        printf("one rank: nothing travels, so there is no bandwidth (start it with mpirun -n N)\n");
    printf("%10s %6s %12s %12s %12s %12s\n", "MiB", "runs", "best ms", "median ms", "best GB/s",
           "median GB/s");
    for (int i = 0; i < s->count; i++) {
        const measurement *m = &s->sizes[i];
        printf("%10g %6" PRId64 " %12.3f %12.3f", m->mib, m->runs, 1e3 * m->best_s, 1e3 * m->median_s);
        if (ranks > 1) printf(" %12.2f %12.2f", bus_gb_s(s, m, m->best_s), bus_gb_s(s, m, m->median_s));
        printf("\n");
    }
    if (ranks > 1) printf("GB/s: bus bandwidth, 2 (ranks - 1) / ranks x size / time\n");
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

static fsfm_status parse(int argc, char **argv, sweep *s, bool *as_json, fsfm_error *err)
{
    static const char *const valued[] = {"--mib", "--reduction", "--bucket-mib", NULL};
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
    return parse_sizes(fsfm_arguments_get(&arguments, "--mib", "0.25,1,4,16,64,256"), s, err);
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
    for (int i = 0; i < s.count && st == FSFM_OK; i++) st = measure_size(&s, &s.sizes[i], err);
    fsfm_device_close(&s.dev);
    if (st != FSFM_OK || fsfm_comm_rank(comm) != 0) return st;
    if (as_json)
        print_json(&s);
    else
        print_text(&s);
    return FSFM_OK;
}

fsfm_status fsfm_bench_allreduce(int argc, char **argv, fsfm_error *err)
{
    fsfm_comm *comm = NULL;
    FSFM_TRY(fsfm_comm_start(&comm, err));
    return fsfm_command_end(&comm, run(comm, argc, argv, err), err);
}
