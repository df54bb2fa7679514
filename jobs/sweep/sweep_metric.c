/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sweep/sweep_metric.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json_scan.h"
#include "jobs/nearest.h"
#include "jobs/sweep/sweep.h"

enum { PATH_BYTES = 4096 };

static const char *const names[] = {"loss",
                                    "loss_rec_m",
                                    "loss_rec_fr",
                                    "loss_sim",
                                    "grad_norm",
                                    "images_per_s",
                                    "eval.loss",
                                    "eval.loss_rec_m",
                                    "eval.loss_rec_fr",
                                    "eval.loss_sim",
                                    "train.loss",
                                    "train.loss_rec_m",
                                    "train.loss_rec_fr",
                                    "train.loss_sim",
                                    "train.grad_norm",
                                    "train.images_per_s",
                                    NULL};

fsfm_status fsfm_sweep_check_metric(const char *metric, fsfm_error *err)
{
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], metric) == 0) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_ARG, "%.60s: unknown metric; nearest known metric: %s", metric,
                     fsfm_nearest_word(metric, names));
}

bool fsfm_metric_is_better_high(const char *metric)
{
    return strstr(metric, "images_per_s") != NULL;
}

/* Numbers in the order of the records. */
typedef struct {
    double *value;
    size_t count, room;
} series;

static bool append(series *s, double value)
{
    if (s->count == s->room) {
        const size_t room = s->room ? 2 * s->room : 256;
        double *grown = realloc(s->value, room * sizeof *grown);
        if (!grown) return false;
        s->value = grown;
        s->room = room;
    }
    s->value[s->count++] = value;
    return true;
}

static double mean_of_last_tenth(const series *s)
{
    const size_t count = s->count < 10 ? 1 : s->count / 10;
    double sum = 0.0;
    for (size_t i = s->count - count; i < s->count; i++) sum += s->value[i];
    return sum / (double)count;
}

/* Lines of other kinds, and a half one at the end, are passed over. */
static bool read_records(FILE *stream, const char *field, bool wants_train, bool wants_eval, series *train,
                         series *eval)
{
    char *line = NULL, kind[16];
    size_t room = 0;
    bool is_good = true;
    for (ssize_t n; is_good && (n = getline(&line, &room, stream)) > 0;) {
        const size_t size_bytes = (size_t)n;
        double value;
        if (!fsfm_json_find_text(line, size_bytes, "kind", kind, sizeof kind)) continue;
        const bool is_train = strcmp(kind, "train") == 0, is_eval = strcmp(kind, "eval") == 0;
        if (!(is_train && wants_train) && !(is_eval && wants_eval)) continue;
        if (fsfm_json_find_real(line, size_bytes, field, &value))
            is_good = append(is_train ? train : eval, value);
    }
    free(line);
    return is_good;
}

fsfm_status fsfm_run_metric_read(const char *run_folder, const char *metric, fsfm_run_metric *out,
                                 fsfm_error *err)
{
    char path[PATH_BYTES];
    const char *dot = strchr(metric, '.'), *field = dot ? dot + 1 : metric;
    series train = {0}, eval = {0};
    *out = (fsfm_run_metric){.value = NAN, .kind = "train"};
    FSFM_TRY(fsfm_path_join(path, sizeof path, run_folder, "metrics.jsonl", err));
    FILE *stream = fopen(path, "re");
    if (!stream && errno == ENOENT) return FSFM_OK;
    if (!stream) return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    fsfm_status st = FSFM_OK;
    if (!read_records(stream, field, !dot || metric[0] == 't', !dot || metric[0] == 'e', &train, &eval))
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "%s: out of memory for its records", path);
    else if (ferror(stream))
        st = fsfm_fail(err, FSFM_ERR_IO, "%s: cannot be read", path);
    fclose(stream);
    if (st == FSFM_OK && eval.count > 0) {
        out->value = eval.value[eval.count - 1];
        out->kind = "eval";
    } else if (st == FSFM_OK && train.count > 0) {
        out->value = mean_of_last_tenth(&train);
    }
    free(train.value);
    free(eval.value);
    return st;
}

int64_t fsfm_run_steps(const char *run_folder)
{
    enum { TAIL_BYTES = 1 << 16 };
    char path[PATH_BYTES], kind[16], *line = NULL;
    size_t room = 0;
    int64_t steps = 0, step = 0;
    fsfm_error err;
    if (fsfm_path_join(path, sizeof path, run_folder, "metrics.jsonl", &err) != FSFM_OK) return 0;
    FILE *stream = fopen(path, "re");
    if (!stream) return 0;
    if (fseeko(stream, -TAIL_BYTES, SEEK_END) != 0) rewind(stream); /* it is shorter */
    for (ssize_t n; (n = getline(&line, &room, stream)) > 0;)
        if (fsfm_json_find_text(line, (size_t)n, "kind", kind, sizeof kind) && strcmp(kind, "train") == 0 &&
            fsfm_json_find_int(line, (size_t)n, "step", &step))
            steps = step + 1;
    free(line);
    fclose(stream);
    return steps;
}
