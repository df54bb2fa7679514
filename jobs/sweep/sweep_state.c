/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sweep/sweep_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "io/file.h"
#include "io/run_lock.h"
#include "io/yaml.h"
#include "jobs/command.h"

static const char *const names[FSFM_RUN_STATES] = {"waiting",    "queued", "running", "stopped",
                                                   "broken off", "failed", "done"};

const char *fsfm_run_state_name(fsfm_run_state state)
{
    return names[state];
}

fsfm_status fsfm_run_file(const fsfm_sweep_run *run, const char *name, char path[FSFM_SWEEP_PATH],
                          fsfm_error *err)
{
    char below[64];
    snprintf(below, sizeof below, "sweep/%s", name);
    return fsfm_path_join(path, FSFM_SWEEP_PATH, run->folder, below, err);
}

/* The JSON object in a file, whose texts may have escapes; NULL where there is none. */
static fsfm_yaml *read_object(const char *path)
{
    fsfm_yaml *yaml = NULL;
    fsfm_error err;
    if (!fsfm_file_exists(path) || fsfm_yaml_read(path, &yaml, &err) != FSFM_OK) return NULL;
    return yaml;
}

static const char *text_of(const fsfm_yaml *yaml, const char *key)
{
    const fsfm_yaml_node *node = yaml ? fsfm_yaml_get(fsfm_yaml_root(yaml), key) : NULL;
    return node && node->text ? node->text : "";
}

void fsfm_run_read_state(const char *folder, char status[16], int *exit_code)
{
    char path[FSFM_SWEEP_PATH];
    fsfm_error err;
    if (exit_code) *exit_code = -1;
    status[0] = '\0';
    if (fsfm_path_join(path, sizeof path, folder, "state.json", &err) != FSFM_OK) return;
    fsfm_yaml *yaml = read_object(path);
    snprintf(status, 16, "%s", text_of(yaml, "status"));
    if (exit_code && *text_of(yaml, "exit_code")) *exit_code = atoi(text_of(yaml, "exit_code"));
    fsfm_yaml_free(&yaml);
}

fsfm_status fsfm_run_write_outcome(const fsfm_sweep_run *run, int exit_code, const char *reason,
                                   fsfm_error *err)
{
    char path[FSFM_SWEEP_PATH], *text = NULL;
    size_t size_bytes = 0;
    FSFM_TRY(fsfm_run_file(run, "outcome.json", path, err));
    fsfm_json json = {.stream = open_memstream(&text, &size_bytes)};
    if (!json.stream) return fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory", path);
    fsfm_json_object_begin(&json, NULL);
    fsfm_json_int(&json, "exit_code", exit_code);
    fsfm_json_text(&json, "reason", reason);
    fsfm_json_real(&json, "time", fsfm_clock_unix_s());
    fsfm_json_object_end(&json);
    fputc('\n', json.stream);
    fsfm_status st = fclose(json.stream) == 0 ? fsfm_file_write(path, text, size_bytes, err)
                                              : fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory", path);
    free(text);
    return st;
}

/* Without the line's end and what begins each of the program's own messages. */
static void copy_line(const char *line, char *out, size_t size_bytes)
{
    if (strncmp(line, "fsfm: ", 6) == 0) line += 6;
    snprintf(out, size_bytes, "%s", line);
    out[strcspn(out, "\r\n")] = '\0';
}

void fsfm_log_reason(const char *path, int64_t offset, char *out, size_t size_bytes)
{
    char *line = NULL;
    size_t room = 0;
    bool has_error = false;
    out[0] = '\0';
    FILE *stream = fopen(path, "re");
    if (!stream) return;
    if (fseeko(stream, (off_t)offset, SEEK_SET) == 0)
        while (getline(&line, &room, stream) > 0) {
            const bool is_error = strncmp(line, "fsfm: ", 6) == 0;
            if (!is_error && (has_error || line[0] == '#' || line[strspn(line, " \t\r\n")] == '\0')) continue;
            copy_line(line, out, size_bytes);
            has_error = has_error || is_error;
        }
    free(line);
    fclose(stream);
}

static void set_state(fsfm_run_status *status, fsfm_run_state state, const char *reason)
{
    status->state = state;
    snprintf(status->reason, sizeof status->reason, "%s", reason);
}

/* Folders whose locks count: the run's, and that of a sweep which is about to start it or to say how it
 * ended.
 */
static bool lock_folders(const fsfm_sweep_run *run, char sweep[FSFM_SWEEP_PATH], const char *folder[2])
{
    fsfm_error err;
    folder[0] = run->folder;
    folder[1] = sweep;
    return fsfm_path_join(sweep, FSFM_SWEEP_PATH, run->folder, "sweep", &err) == FSFM_OK;
}

static bool is_ending(const fsfm_slurm_queue *queue, const char *job)
{
    return queue && *job && fsfm_slurm_queue_find(queue, job) == FSFM_SLURM_ENDING;
}

/* *ends: every holder's job is being ended. */
static bool is_held(const fsfm_sweep_run *run, const fsfm_slurm_queue *queue, char holder[384], bool *ends)
{
    char sweep[FSFM_SWEEP_PATH], job[64], text[384];
    const char *folder[2];
    bool is_any = false;
    *ends = true;
    if (!lock_folders(run, sweep, folder)) return false;
    for (int i = 0; i < 2; i++) {
        if (!fsfm_run_lock_is_held_given(folder[i], FSFM_SWEEP_STALE_S, queue, text)) continue;
        fsfm_run_lock_job(folder[i], job);
        *ends = *ends && is_ending(queue, job);
        if (!is_any) memcpy(holder, text, sizeof text);
        is_any = true;
        if (!queue) break; /* each look may ask SLURM */
    }
    return is_any;
}

/* What was submitted for the run; "" if nothing was. */
static void read_job(const fsfm_sweep_run *run, char job[64])
{
    char path[FSFM_SWEEP_PATH];
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    fsfm_error err;
    job[0] = '\0';
    if (fsfm_run_file(run, "job", path, &err) != FSFM_OK || !fsfm_file_exists(path) ||
        fsfm_file_read(path, &bytes, &size_bytes, &err) != FSFM_OK)
        return;
    snprintf(job, 64, "%.*s", (int)(size_bytes < 63 ? size_bytes : 63), (const char *)bytes);
    free(bytes);
    job[strcspn(job, "\n")] = '\0';
}

bool fsfm_run_add_jobs(const fsfm_sweep_run *run, fsfm_slurm_queue *queue)
{
    char sweep[FSFM_SWEEP_PATH], job[64], state[16];
    const char *folder[2];
    if (run->refusal) return true;
    fsfm_run_read_state(run->folder, state, NULL);
    if (strcmp(state, "done") == 0) return true;
    read_job(run, job);
    bool is_good = fsfm_slurm_queue_add(queue, job);
    for (int i = 0; is_good && lock_folders(run, sweep, folder) && i < 2; i++) {
        fsfm_run_lock_job(folder[i], job);
        is_good = fsfm_slurm_queue_add(queue, job);
    }
    return is_good;
}

/* A run whose process ended: by the sweep's record of it, else by its own. */
static void look_at_end(const fsfm_sweep_run *run, const char *state, int exit_code, fsfm_run_status *out)
{
    char path[FSFM_SWEEP_PATH], reason[sizeof out->reason];
    fsfm_error err;
    fsfm_yaml *outcome = fsfm_run_file(run, "outcome.json", path, &err) == FSFM_OK ? read_object(path) : NULL;
    if (outcome) {
        out->exit_code = atoi(text_of(outcome, "exit_code"));
        set_state(out, FSFM_RUN_FAILED, text_of(outcome, "reason"));
    } else if (strcmp(state, "failed") == 0) {
        reason[0] = '\0';
        if (fsfm_path_join(path, sizeof path, run->folder, "output.log", &err) == FSFM_OK)
            fsfm_log_reason(path, 0, reason, sizeof reason);
        out->exit_code = exit_code;
        set_state(out, FSFM_RUN_FAILED, reason);
    } else if (strcmp(state, "stopped") == 0) {
        set_state(out, FSFM_RUN_STOPPED, "");
    } else if (*state || (fsfm_path_join(path, sizeof path, run->folder, "output.log", &err) == FSFM_OK &&
                          fsfm_file_exists(path))) {
        set_state(out, FSFM_RUN_BROKEN_OFF, "");
    }
    fsfm_yaml_free(&outcome);
}

fsfm_run_status fsfm_run_look(const fsfm_sweep_run *run, const fsfm_slurm_queue *queue)
{
    fsfm_run_status out = {.state = FSFM_RUN_WAITING};
    struct stat info;
    char holder[384], job[64], state[16];
    int exit_code = -1;
    if (run->refusal) {
        set_state(&out, FSFM_RUN_FAILED, run->refusal);
        out.exit_code = FSFM_EXIT_USAGE;
        return out;
    }
    if (stat(run->folder, &info) != 0) return out;
    if (!S_ISDIR(info.st_mode)) {
        out.exit_code = 1;
        snprintf(out.reason, sizeof out.reason, "%.300s is not a folder", run->folder);
        out.state = FSFM_RUN_FAILED;
        return out;
    }
    fsfm_run_read_state(run->folder, state, &exit_code);
    if (strcmp(state, "done") == 0) {
        out.state = FSFM_RUN_DONE;
        return out;
    }
    if (is_held(run, queue, holder, &out.is_ending)) {
        set_state(&out, FSFM_RUN_RUNNING, holder);
        return out;
    }
    out.is_ending = false;
    look_at_end(run, state, exit_code, &out);
    if (!queue) return out;
    read_job(run, job);
    const fsfm_slurm_state found = *job ? fsfm_slurm_queue_find(queue, job) : FSFM_SLURM_UNKNOWN;
    if (found == FSFM_SLURM_ENDING || found == FSFM_SLURM_THERE) {
        set_state(&out, FSFM_RUN_QUEUED, "");
        snprintf(out.reason, sizeof out.reason, "job %s", job);
        out.is_ending = found == FSFM_SLURM_ENDING;
    }
    return out;
}
