/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sweep/sweep_run.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "io/file.h"
#include "io/run_lock.h"
#include "jobs/command.h"
#include "jobs/sweep/sweep_child.h"
#include "jobs/sweep/sweep_state.h"
#include "mpi/stop.h"

#define ORPHAN_WAIT_S 30.0 /* a run whose sweep died saves and stops by itself */
#define LOOK_S 5.0         /* between looks at most, while waiting */

enum { WORDS_MAX = 64 };

static const fsfm_run_lock_timing lock_timing = {
    .renew_s = 10.0, .stale_s = FSFM_SWEEP_STALE_S, .grace_s = 0.0};

/* What became of an attempt at a run. */
typedef enum { ATTEMPT_DONE, ATTEMPT_FAILED, ATTEMPT_STOPPED, ATTEMPT_BUSY } attempt;

typedef struct {
    const fsfm_sweep *sweep;
    const fsfm_sweep_run_options *options;
    fsfm_log *log;
    fsfm_stop stop;
    char *self;       /* this program */
    bool *is_settled; /* (runs) nothing is left to be done for it here */
    int done, failed, busy;
    int last_code; /* of the last process */
} sweep_work;

static void tell(sweep_work *w, int run, const char *what, const char *detail)
{
    char text[512];
    fsfm_log_line(w->log, "%-9s %d/%d  %s  %s%s%s", what, run + 1, w->sweep->run_count, w->sweep->run[run].id,
                  fsfm_sweep_describe(w->sweep, run, text, sizeof text), *detail ? ": " : "", detail);
}

static bool is_asked_to_stop(sweep_work *w)
{
    return fsfm_stop_asked(&w->stop, 1.0) != FSFM_STOP_NO;
}

/* LAUNCHER... fsfm pretrain RUN/sweep/config.yaml: the file has every key, so that a change of the sweep or
 * of its base while it runs changes nothing. */
static fsfm_status start(sweep_work *w, const fsfm_sweep_run *run, const char *log, int *code,
                         fsfm_error *err)
{
    char config[FSFM_SWEEP_PATH], *argv[WORDS_MAX + 4];
    char pretrain[] = "pretrain";
    int words = 0;
    const bool has_launcher = w->options->launcher && w->options->launcher[0];
    FSFM_TRY(fsfm_run_file(run, "config.yaml", config, err));
    FSFM_TRY(fsfm_file_write(config, run->config, strlen(run->config), err));
    for (int i = 0; has_launcher && w->options->launcher[i]; i++) {
        if (words == WORDS_MAX)
            return fsfm_fail(err, FSFM_ERR_ARG, "--launcher: expected at most %d words", WORDS_MAX);
        argv[words++] = w->options->launcher[i];
    }
    argv[words++] = w->self;
    argv[words++] = pretrain;
    argv[words++] = config;
    argv[words] = NULL;
    return fsfm_child_run(argv, log, has_launcher, code, err);
}

/* Tells one state.json from another, which is written whole under a new inode. */
static bool state_identity(const fsfm_sweep_run *run, struct stat *out)
{
    char path[FSFM_SWEEP_PATH];
    fsfm_error err;
    memset(out, 0, sizeof *out);
    return fsfm_path_join(path, sizeof path, run->folder, "state.json", &err) == FSFM_OK &&
           stat(path, out) == 0;
}

/* Launchers may lose the code, and then state.json has it, if this process wrote it. */
static int true_code(const fsfm_sweep_run *run, const struct stat *before, int code, char status[16])
{
    struct stat now;
    int written = -1;
    fsfm_run_read_state(run->folder, status, &written);
    const bool is_new = state_identity(run, &now) &&
                        (now.st_ino != before->st_ino || now.st_mtim.tv_sec != before->st_mtim.tv_sec ||
                         now.st_mtim.tv_nsec != before->st_mtim.tv_nsec);
    return code != 0 && is_new && written == FSFM_EXIT_REQUEUE ? FSFM_EXIT_REQUEUE : code;
}

static void explain(const char *log, int64_t offset, int code, char *out, size_t size_bytes)
{
    char line[300];
    fsfm_log_reason(log, offset, line, sizeof line);
    if (code > 128)
        snprintf(out, size_bytes, "ended by signal %d (%s)%s%s", code - 128, strsignal(code - 128),
                 *line ? "; last line: " : "", line);
    else if (*line)
        snprintf(out, size_bytes, "%s", line);
    else
        snprintf(out, size_bytes, "exit code %d, and nothing in its log", code);
}

static int64_t size_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (int64_t)info.st_size : 0;
}

/* The run's lock is free and its sweep's is ours. */
static attempt compute(sweep_work *w, int number, fsfm_error *err)
{
    const fsfm_sweep_run *run = &w->sweep->run[number];
    char log[FSFM_SWEEP_PATH], outcome[FSFM_SWEEP_PATH], reason[400], status[16], took[32];
    struct stat before;
    const double start_s = fsfm_clock_monotonic_s();
    int code = FSFM_EXIT_FAILED;
    if (fsfm_path_join(log, sizeof log, run->folder, "output.log", err) != FSFM_OK ||
        fsfm_run_file(run, "outcome.json", outcome, err) != FSFM_OK)
        return ATTEMPT_FAILED;
    const int64_t offset = size_of(log);
    unlink(outcome);
    state_identity(run, &before);
    tell(w, number, "run", log);
    if (start(w, run, log, &code, err) != FSFM_OK) return ATTEMPT_FAILED;
    code = w->last_code = true_code(run, &before, code, status);
    fsfm_log_duration(fsfm_clock_monotonic_s() - start_s, took);
    if (code == FSFM_EXIT_DONE && strcmp(status, "done") == 0) {
        tell(w, number, "done", took);
        return ATTEMPT_DONE;
    }
    if (code == FSFM_EXIT_REQUEUE) {
        tell(w, number, "stopped", took);
        return ATTEMPT_STOPPED;
    }
    explain(log, offset, code, reason, sizeof reason);
    fsfm_fail(err, FSFM_ERR_FORMAT, "%s", reason);
    return ATTEMPT_FAILED;
}

/* Until nobody holds the lock of a folder; false when time runs out. */
static bool wait_until_free(sweep_work *w, int number, const char *folder, double end_s)
{
    char holder[384];
    double pause_s = 0.1; /* each look may ask SLURM */
    bool is_told = false;
    while (fsfm_run_lock_is_held(folder, FSFM_SWEEP_STALE_S, holder)) {
        if (fsfm_clock_monotonic_s() >= end_s || is_asked_to_stop(w)) return false;
        if (!is_told) tell(w, number, "wait", holder);
        is_told = true;
        nanosleep(&(struct timespec){(time_t)pause_s, (long)(fmod(pause_s, 1.0) * 1e9)}, NULL);
        pause_s = fmin(1.5 * pause_s, LOOK_S);
    }
    return true;
}

/* The sweep's lock of a run, in folder, which tells other sweeps that somebody is at it. ATTEMPT_DONE: it is
 * ours. */
static attempt take_lock(sweep_work *w, int number, const char *folder, fsfm_run_lock **lock, fsfm_error *err)
{
    const double end_s = fsfm_clock_monotonic_s() + w->options->wait_s;
    char holder[384];
    while (wait_until_free(w, number, folder, end_s)) {
        if (fsfm_run_lock_take(folder, &lock_timing, lock, err) == FSFM_OK) return ATTEMPT_DONE;
        if (!fsfm_run_lock_is_held(folder, FSFM_SWEEP_STALE_S, holder)) return ATTEMPT_FAILED;
    }
    return ATTEMPT_BUSY;
}

static attempt compute_locked(sweep_work *w, int number, fsfm_error *err)
{
    const fsfm_sweep_run *run = &w->sweep->run[number];
    char folder[FSFM_SWEEP_PATH], status[16];
    fsfm_run_lock *lock = NULL;
    if (fsfm_path_join(folder, sizeof folder, run->folder, "sweep", err) != FSFM_OK ||
        fsfm_folder_make(folder, err) != FSFM_OK)
        return ATTEMPT_FAILED;
    attempt end = take_lock(w, number, folder, &lock, err);
    if (!lock) return end;
    /* A run that goes on although its sweep died was told to stop, which takes it a step and a checkpoint. */
    const double orphan_end_s = fsfm_clock_monotonic_s() + fmax(ORPHAN_WAIT_S, w->options->wait_s);
    end = ATTEMPT_BUSY;
    if (wait_until_free(w, number, run->folder, orphan_end_s)) {
        fsfm_run_read_state(run->folder, status, NULL);
        end = strcmp(status, "done") == 0 ? ATTEMPT_DONE : compute(w, number, err);
    }
    if (end == ATTEMPT_FAILED) {
        fsfm_error trouble;
        if (fsfm_run_write_outcome(run, w->last_code, err->message, &trouble) != FSFM_OK)
            fsfm_log_line(w->log, "%s", trouble.message);
    }
    fsfm_run_lock_release(&lock);
    return end;
}

static attempt try_run(sweep_work *w, int number)
{
    const fsfm_run_status status = fsfm_run_look(&w->sweep->run[number], NULL);
    fsfm_error err = {FSFM_OK, ""};
    if (status.state == FSFM_RUN_DONE) return ATTEMPT_DONE;
    w->last_code = FSFM_EXIT_FAILED;
    if (status.state == FSFM_RUN_FAILED && (w->options->skips_failed || w->sweep->run[number].refusal)) {
        w->last_code = status.exit_code;
        tell(w, number, "failed", status.reason);
        return ATTEMPT_FAILED;
    }
    const attempt end = compute_locked(w, number, &err);
    if (end == ATTEMPT_FAILED) tell(w, number, "failed", err.message);
    return end;
}

/* Once over all that is not settled; *moved where a process of ours ran, in which time others may have ended.
 */
static attempt pass(sweep_work *w, bool *moved)
{
    *moved = false;
    w->busy = 0;
    for (int run = 0; run < w->sweep->run_count; run++) {
        if (w->is_settled[run] || (w->options->only >= 0 && run != w->options->only)) continue;
        if (is_asked_to_stop(w)) return ATTEMPT_STOPPED;
        const attempt end = try_run(w, run);
        if (end == ATTEMPT_STOPPED) return end;
        w->busy += end == ATTEMPT_BUSY;
        w->done += end == ATTEMPT_DONE;
        w->failed += end == ATTEMPT_FAILED;
        w->is_settled[run] = end != ATTEMPT_BUSY;
        *moved = *moved || end != ATTEMPT_BUSY;
    }
    return ATTEMPT_DONE;
}

static void tell_others(sweep_work *w)
{
    for (int run = 0; run < w->sweep->run_count; run++) {
        if (w->is_settled[run] || (w->options->only >= 0 && run != w->options->only)) continue;
        const fsfm_run_status status = fsfm_run_look(&w->sweep->run[run], NULL);
        char text[448];
        snprintf(text, sizeof text, "left to %s", *status.reason ? status.reason : "another sweep");
        tell(w, run, "running", text);
    }
}

static int end_code(sweep_work *w, attempt end, fsfm_error *err)
{
    const int asked = w->options->only >= 0 ? 1 : w->sweep->run_count;
    if (end == ATTEMPT_STOPPED) {
        const char *reason = fsfm_stop_describe(fsfm_stop_asked(&w->stop, 1.0), fsfm_stop_signal());
        fsfm_stop_remove_file(&w->stop);
        fsfm_log_line(w->log, "stopped by %s; the same command goes on",
                      strcmp(reason, "nothing") == 0 ? "its run" : reason);
        return FSFM_EXIT_REQUEUE;
    }
    tell_others(w);
    fsfm_log_line(w->log, "%d run%s: %d done, %d failed, %d with others", asked, asked == 1 ? "" : "s",
                  w->done, w->failed, w->busy);
    if (w->options->only >= 0 && w->busy) return FSFM_EXIT_REQUEUE;
    if (w->failed == 0) return FSFM_EXIT_DONE;
    fsfm_fail(err, FSFM_ERR_FORMAT, "%d of %d runs failed; `fsfm sweep status` has the reasons", w->failed,
              asked);
    return w->options->only >= 0 ? w->last_code : FSFM_EXIT_FAILED;
}

fsfm_status fsfm_sweep_run_all(const fsfm_sweep *sweep, const fsfm_sweep_run_options *options, fsfm_log *log,
                               int *exit_code, fsfm_error *err)
{
    sweep_work w = {.sweep = sweep, .options = options, .log = log};
    attempt end = ATTEMPT_DONE;
    *exit_code = FSFM_EXIT_FAILED;
    FSFM_TRY(fsfm_folder_make(sweep->folder, err));
    FSFM_TRY(fsfm_child_self(&w.self, err));
    w.is_settled = calloc((size_t)sweep->run_count, sizeof *w.is_settled);
    if (!w.is_settled) {
        free(w.self);
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %d runs", sweep->run_count);
    }
    fsfm_stop_open(&w.stop, sweep->folder);
    for (bool moved = true; moved && end != ATTEMPT_STOPPED;) {
        end = pass(&w, &moved);
        if (w.busy == 0) break;
    }
    *exit_code = end_code(&w, end, err);
    free(w.is_settled);
    free(w.self);
    return FSFM_OK;
}
