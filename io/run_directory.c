/* SPDX-License-Identifier: Apache-2.0 */
#include "io/run_directory.h"

#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/metrics_file.h"
#include "io/run_lock.h"

enum { PATH_BYTES = 4096 };

struct fsfm_run_directory {
    char *path;
    fsfm_run_lock *lock;
    fsfm_metrics_file *metrics;
};

static const fsfm_run_lock_timing lock_timing = {.renew_s = 10.0, .stale_s = 60.0, .grace_s = 2.0};

fsfm_status fsfm_run_directory_open(const char *path, fsfm_run_directory **out, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    *out = NULL;
    fsfm_run_directory *run = calloc(1, sizeof *run);
    if (!run || !(run->path = strdup(path)))
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "run directory %s: no memory", path);
    if (st == FSFM_OK && (st = fsfm_folder_make(path, err)) != FSFM_OK) fsfm_context(err, "run directory");
    if (st == FSFM_OK) st = fsfm_run_lock_take(path, &lock_timing, &run->lock, err);
    if (st == FSFM_OK)
        *out = run;
    else
        fsfm_run_directory_close(&run);
    return st;
}

const char *fsfm_run_directory_path(const fsfm_run_directory *run)
{
    return run->path;
}

fsfm_status fsfm_run_directory_open_metrics(fsfm_run_directory *run, int64_t first_step, bool is_evaluated,
                                            fsfm_error *err)
{
    char path[PATH_BYTES];
    FSFM_TRY(fsfm_path_join(path, sizeof path, run->path, "metrics.jsonl", err));
    fsfm_metrics_file_close(&run->metrics);
    return fsfm_metrics_file_open(path, (fsfm_metrics_start){first_step, is_evaluated}, &run->metrics, err);
}

/* A run that slept so long that another took its place must not write between its records. */
static fsfm_status fail_lost(const fsfm_run_directory *run, fsfm_error *err)
{
    return fsfm_fail(err, FSFM_ERR_IO,
                     "run directory %s: its lock was taken over or removed; another run may be using it",
                     run->path);
}

static fsfm_status check_lock(const fsfm_run_directory *run, fsfm_error *err)
{
    return fsfm_run_lock_is_lost(run->lock) ? fail_lost(run, err) : FSFM_OK;
}

fsfm_status fsfm_run_directory_check(fsfm_run_directory *run, bool looks, fsfm_error *err)
{
    if (looks && fsfm_run_lock_look(run->lock)) return fail_lost(run, err);
    return check_lock(run, err);
}

fsfm_json *fsfm_metrics_begin(fsfm_run_directory *run, const char *kind, int64_t step)
{
    FSFM_ASSERT(run->metrics);
    return fsfm_metrics_file_begin(run->metrics, kind, step);
}

fsfm_status fsfm_metrics_end(fsfm_run_directory *run, fsfm_error *err)
{
    const fsfm_status st = check_lock(run, err);
    if (st == FSFM_OK) return fsfm_metrics_file_end(run->metrics, err);
    fsfm_metrics_file_drop(run->metrics);
    return st;
}

fsfm_status fsfm_run_state_write(const char *folder, const char *status, int exit_code, int64_t step,
                                 fsfm_error *err)
{
    char path[PATH_BYTES], text[256];
    fsfm_json json = {.stream = fmemopen(text, sizeof text, "w"), .needs_comma = false};
    if (!json.stream) return fsfm_fail(err, FSFM_ERR_MEMORY, "run directory %s: no memory", folder);
    fsfm_json_object_begin(&json, NULL);
    fsfm_json_text(&json, "status", status);
    fsfm_json_int(&json, "exit_code", exit_code);
    fsfm_json_int(&json, "step", step);
    fsfm_json_object_end(&json);
    fputc('\n', json.stream);
    const bool fits = fflush(json.stream) == 0;
    const long size_bytes = ftell(json.stream);
    fclose(json.stream);
    FSFM_ASSERT(fits && size_bytes > 0);
    FSFM_TRY(fsfm_path_join(path, sizeof path, folder, "state.json", err));
    return fsfm_file_write(path, text, (size_t)size_bytes, err);
}

fsfm_status fsfm_run_directory_state(fsfm_run_directory *run, const char *status, int exit_code, int64_t step,
                                     fsfm_error *err)
{
    FSFM_TRY(check_lock(run, err));
    return fsfm_run_state_write(run->path, status, exit_code, step, err);
}

void fsfm_run_directory_close(fsfm_run_directory **run)
{
    if (!*run) return;
    fsfm_metrics_file_close(&(*run)->metrics);
    fsfm_run_lock_release(&(*run)->lock);
    free((*run)->path);
    free(*run);
    *run = NULL;
}
