/* SPDX-License-Identifier: Apache-2.0 */
#include "io/metrics_cut.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "io/json_scan.h"

/* At first_step itself the record of the checkpoint and what happened to the run there belong to the time
 * before. */
static bool stays_at_first_step(const char *line, size_t size_bytes)
{
    char kind[32] = "", event[32] = "";
    if (!fsfm_json_find_text(line, size_bytes, "kind", kind, sizeof kind)) return false;
    if (strcmp(kind, "checkpoint") == 0) return true;
    if (strcmp(kind, "event") != 0 || !fsfm_json_find_text(line, size_bytes, "event", event, sizeof event))
        return false;
    return strcmp(event, "start") == 0 || strcmp(event, "stop") == 0 || strcmp(event, "resume") == 0;
}

static bool is_evaluation(const char *line, size_t size_bytes)
{
    char kind[32] = "";
    return fsfm_json_find_text(line, size_bytes, "kind", kind, sizeof kind) && strcmp(kind, "eval") == 0;
}

static bool stays(const char *line, size_t size_bytes, const fsfm_metrics_start *start)
{
    const int64_t first_step = start->step;
    int64_t step = 0;
    if (size_bytes == 0 || line[size_bytes - 1] != '\n') return false;
    if (!fsfm_json_find_int(line, size_bytes, "step", &step)) return fsfm_json_is_object(line, size_bytes);
    if (step == first_step - 1 && !start->is_evaluated && is_evaluation(line, size_bytes)) return false;
    return step < first_step || (step == first_step && stays_at_first_step(line, size_bytes));
}

/* Copies the lines that stay to out (NULL: nowhere). *dropped counts the others. */
static fsfm_status copy_lines(FILE *in, FILE *out, const char *path, fsfm_metrics_start start,
                              int64_t *dropped, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    char *line = NULL;
    size_t room = 0;
    ssize_t size_bytes = 0;
    *dropped = 0;
    rewind(in);
    while (st == FSFM_OK && (size_bytes = getline(&line, &room, in)) > 0) {
        if (!stays(line, (size_t)size_bytes, &start))
            ++*dropped;
        else if (out && fwrite(line, 1, (size_t)size_bytes, out) != (size_t)size_bytes)
            st = fsfm_fail(err, FSFM_ERR_IO, "%s: cannot write: %s", path, strerror(errno));
    }
    if (st == FSFM_OK && !feof(in))
        st = fsfm_fail(err, FSFM_ERR_IO, "%s: cannot read: %s", path, strerror(errno));
    free(line);
    return st;
}

static fsfm_status replace(FILE *in, const char *path, const char *temporary, fsfm_metrics_start start,
                           fsfm_error *err)
{
    int64_t dropped = 0;
    FILE *out = fopen(temporary, "we");
    if (!out) return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot write: %s", temporary, strerror(errno));
    fsfm_status st = copy_lines(in, out, path, start, &dropped, err);
    if (st == FSFM_OK && (fflush(out) != 0 || fsync(fileno(out)) != 0))
        st = fsfm_fail(err, FSFM_ERR_IO, "%s: cannot write: %s", path, strerror(errno));
    fclose(out);
    if (st == FSFM_OK && rename(temporary, path) != 0)
        st = fsfm_fail(err, FSFM_ERR_IO, "%s: cannot replace: %s", path, strerror(errno));
    if (st != FSFM_OK) unlink(temporary);
    return st;
}

fsfm_status fsfm_metrics_cut(const char *path, fsfm_metrics_start start, fsfm_error *err)
{
    char temporary[4096];
    int64_t dropped = 0;
    FILE *in = fopen(path, "re");
    if (!in && errno == ENOENT) return FSFM_OK;
    if (!in) return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot read: %s", path, strerror(errno));
    fsfm_status st = copy_lines(in, NULL, path, start, &dropped, err);
    if (st == FSFM_OK && dropped > 0) {
        if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary)
            st = fsfm_fail(err, FSFM_ERR_ARG, "%s: the path is too long", path);
        else
            st = replace(in, path, temporary, start, err);
    }
    fclose(in);
    return st;
}
