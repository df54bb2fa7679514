/* SPDX-License-Identifier: Apache-2.0
 * jobs/bench/bench_checkpoint.c - `fsfm bench checkpoint`: how long a checkpoint of a preset's size takes to
 * write, with all that makes it safe, and to read. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/median.h"
#include "io/file.h"
#include "jobs/bench/bench.h"
#include "jobs/bench/bench_report.h"
#include "jobs/command.h"
#include "jobs/settings.h"
#include "mpi/checkpoint.h"

enum { RUNS_MAX = 100 };

typedef struct {
    const char *preset, *dir;
    int64_t runs;
    uint64_t size_bytes; /* of the file */
    double write_s[RUNS_MAX], read_s[RUNS_MAX];
} measurement;

/* A state as that of a run: weights as they start, and as much for target and moments. */
static fsfm_status fill(fsfm_checkpoint *checkpoint, const fsfm_parameters *parameters, fsfm_error *err)
{
    checkpoint->parameters = parameters;
    for (int s = 0; s < FSFM_STATES; s++) {
        checkpoint->floats[s] = s == FSFM_STATE_TARGET ? parameters->trunk_floats : parameters->total_floats;
        checkpoint->values[s] = calloc((size_t)checkpoint->floats[s], sizeof(float));
        if (!checkpoint->values[s])
            return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a checkpoint of %" PRId64 " floats",
                             checkpoint->floats[s]);
    }
    fsfm_parameters_init(parameters, 0, checkpoint->values[FSFM_STATE_ONLINE]);
    for (int s = FSFM_STATE_ONLINE + 1; s < FSFM_STATES; s++)
        memcpy(checkpoint->values[s], checkpoint->values[FSFM_STATE_ONLINE],
               (size_t)checkpoint->floats[s] * sizeof(float));
    return FSFM_OK;
}

static void free_values(fsfm_checkpoint *checkpoint)
{
    for (int s = 0; s < FSFM_STATES; s++) free(checkpoint->values[s]);
}

/* Writes, which re-reads and compares, and reads; the file is removed again. */
static fsfm_status run_once(fsfm_checkpoint *checkpoint, const char *path, double *write_s, double *read_s,
                            uint64_t *size_bytes, fsfm_error *err)
{
    char config[] = "";
    struct stat info;
    bool is_refused = false;
    double began_s = fsfm_clock_monotonic_s();
    checkpoint->config = config;
    checkpoint->bad_samples = NULL;
    FSFM_TRY(fsfm_checkpoint_write(checkpoint, path, err));
    *write_s = fsfm_clock_monotonic_s() - began_s;
    if (stat(path, &info) == 0) *size_bytes = (uint64_t)info.st_size;
    began_s = fsfm_clock_monotonic_s();
    const fsfm_status st = fsfm_checkpoint_read(checkpoint, path, NULL, NULL, &is_refused, err);
    *read_s = fsfm_clock_monotonic_s() - began_s;
    if (st == FSFM_OK) {
        free(checkpoint->config);
        free(checkpoint->bad_samples);
    }
    if (unlink(path) != 0 && st == FSFM_OK)
        return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot be removed: %s", path, strerror(errno));
    return st;
}

/* In a folder of its own, which is removed again. */
static fsfm_status run_all(fsfm_checkpoint *checkpoint, measurement *m, fsfm_error *err)
{
    char folder[FSFM_TEXT_SIZE], path[FSFM_TEXT_SIZE + 32];
    uint64_t free_bytes = 0;
    const uint64_t wanted_bytes = fsfm_checkpoint_size_bytes(checkpoint);
    FSFM_TRY(fsfm_path_join(folder, sizeof folder, m->dir, "fsfm-bench-XXXXXX", err));
    if (!mkdtemp(folder))
        return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot make a folder in it: %s", m->dir, strerror(errno));
    fsfm_status st = fsfm_path_join(path, sizeof path, folder, "checkpoint.h5", err);
    if (st == FSFM_OK) st = fsfm_folder_free_bytes(folder, &free_bytes, err);
    if (st == FSFM_OK && free_bytes < wanted_bytes)
        st = fsfm_fail(err, FSFM_ERR_IO,
                       "%s: the checkpoint needs %" PRIu64 " MiB, the disk has %" PRIu64 " MiB free", m->dir,
                       (wanted_bytes >> 20) + 1, free_bytes >> 20);
    for (int64_t i = 0; i < m->runs && st == FSFM_OK; i++)
        st = run_once(checkpoint, path, &m->write_s[i], &m->read_s[i], &m->size_bytes, err);
    rmdir(folder);
    return st;
}

static double mb_s(const measurement *m, double seconds)
{
    return 1e-6 * (double)m->size_bytes / seconds;
}

static void print_json(measurement *m)
{
    fsfm_json json = {.stream = stdout};
    const struct {
        const char *what;
        double *seconds;
    } parts[] = {{"write", m->write_s}, {"read", m->read_s}};
    fsfm_json_object_begin(&json, NULL);
    fsfm_json_text(&json, "preset", m->preset);
    fsfm_json_text(&json, "dir", m->dir);
    fsfm_json_int(&json, "bytes", (int64_t)m->size_bytes);
    fsfm_json_int(&json, "runs", m->runs);
    for (int i = 0; i < 2; i++) {
        char key[32];
        const double best_s = fsfm_bench_min(parts[i].seconds, m->runs);
        const double median_s = fsfm_median(parts[i].seconds, m->runs);
        snprintf(key, sizeof key, "%s_s_best", parts[i].what);
        fsfm_json_real(&json, key, best_s);
        snprintf(key, sizeof key, "%s_s_median", parts[i].what);
        fsfm_json_real(&json, key, median_s);
        snprintf(key, sizeof key, "%s_mb_s_best", parts[i].what);
        fsfm_json_real(&json, key, mb_s(m, best_s));
        snprintf(key, sizeof key, "%s_mb_s_median", parts[i].what);
        fsfm_json_real(&json, key, mb_s(m, median_s));
    }
    fsfm_json_object_end(&json);
    putchar('\n');
}

static void print_line(const measurement *m, const char *what, double *seconds)
{
    const double best_s = fsfm_bench_min(seconds, m->runs), median_s = fsfm_median(seconds, m->runs);
    printf("%-28s %8.3f %9.3f %10.0f %11.0f\n", what, median_s, best_s, mb_s(m, median_s), mb_s(m, best_s));
}

static void print_text(measurement *m)
{
    printf("checkpoint of %s: %.1f MB in %s, %" PRId64 " run%s\n", m->preset, 1e-6 * (double)m->size_bytes,
           m->dir, m->runs, m->runs == 1 ? "" : "s");
    printf("%-28s %8s %9s %10s %11s\n", "", "median s", "best s", "median MB/s", "best MB/s");
    print_line(m, "write, fsync, read, compare", m->write_s);
    print_line(m, "read, compare", m->read_s);
    printf("reading comes from the page cache where the file fits into it\n");
}

static fsfm_status measure(measurement *m, fsfm_error *err)
{
    const fsfm_settings_word word = {"--preset", "model.preset", m->preset};
    fsfm_settings *settings = malloc(sizeof *settings);
    fsfm_checkpoint checkpoint = {0};
    fsfm_parameters parameters = {0};
    fsfm_status st = settings ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for settings");
    if (st == FSFM_OK) st = fsfm_settings_from_options(&word, 1, settings, err);
    if (st == FSFM_OK) st = fsfm_parameters_list(&settings->model, &parameters, err);
    if (st == FSFM_OK) st = fill(&checkpoint, &parameters, err);
    if (st == FSFM_OK) st = run_all(&checkpoint, m, err);
    free_values(&checkpoint);
    fsfm_parameters_free(&parameters);
    free(settings);
    return st;
}

static const char *default_folder(void)
{
    const char *temporary = getenv("TMPDIR");
    return temporary && *temporary ? temporary : "/tmp";
}

fsfm_status fsfm_bench_checkpoint_rate(const char *preset, const char *dir, double *out, fsfm_error *err)
{
    measurement m = {.preset = preset, .dir = dir ? dir : default_folder(), .runs = 1};
    FSFM_TRY(measure(&m, err));
    *out = mb_s(&m, m.write_s[0]);
    return FSFM_OK;
}

fsfm_status fsfm_bench_checkpoint(int argc, char **argv, fsfm_error *err)
{
    static const char *const valued[] = {"--preset", "--dir", "--runs", NULL};
    static const char *const flags[] = {"--json", NULL};
    fsfm_arguments arguments;
    measurement m = {.size_bytes = 0};
    FSFM_TRY(fsfm_arguments_parse(argc, argv, valued, flags, &arguments, err));
    if (arguments.word_count > 0)
        return fsfm_fail(err, FSFM_ERR_ARG, "bench checkpoint: expected options, found '%.60s'",
                         arguments.words[0]);
    m.preset = fsfm_arguments_get(&arguments, "--preset", "vit_b16");
    m.dir = fsfm_arguments_get(&arguments, "--dir", default_folder());
    FSFM_TRY(fsfm_arguments_int(&arguments, "--runs", 3, 1, RUNS_MAX, &m.runs, err));
    FSFM_TRY(measure(&m, err));
    if (fsfm_arguments_has(&arguments, "--json"))
        print_json(&m);
    else
        print_text(&m);
    return FSFM_OK;
}
