/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sweep/sweep_submit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "io/file.h"
#include "jobs/submit/batch.h"
#include "jobs/sweep/sweep_child.h"
#include "jobs/sweep/sweep_list.h"
#include "jobs/sweep/sweep_request.h"

#define SCONTROL_TIMEOUT_S 10.0
#define ENDING_WAIT_S 45.0 /* SLURM itself leaves a task 30 s (KillWait) */

typedef struct {
    const fsfm_sweep *sweep;
    const fsfm_sweep_submit_options *options;
    fsfm_batch_request request;
    int64_t threads;  /* run.threads, where no run says it; 0: as they are */
    int left, *run;   /* those that are submitted */
    int first, count; /* of them, in the array at hand */
    char before[256]; /* the array that comes before this one, if they may not be at work together; "" */
    char *self;
    char here[FSFM_SWEEP_PATH], logs[FSFM_SWEEP_PATH]; /* absolute */
    char script[FSFM_SWEEP_PATH];
} submission;

/* Behind the # of a line. */
static void put_directives(FILE *stream, const submission *s)
{
    const fsfm_sweep_submit_options *options = s->options;
    fputs(" --- choices of `fsfm sweep submit` ---\n", stream);
    fsfm_batch_put_request(stream, &s->request);
    if (options->at_once && s->before[0]) fprintf(stream, "#SBATCH --dependency=afterany:%s\n", s->before);
    for (int i = 0; i < options->extra_count; i++) fprintf(stream, "#SBATCH %s\n", options->extra[i]);
}

/* fsfm sweep run SWEEP.yaml key=value ... */
static void put_command(FILE *stream, const submission *s)
{
    fsfm_batch_put_quoted(stream, s->self);
    fputs(" sweep run ", stream);
    fsfm_batch_put_quoted(stream, s->sweep->file);
    for (int i = 0; i < s->options->override_count; i++) {
        fputc(' ', stream);
        fsfm_batch_put_quoted(stream, s->options->overrides[i]);
    }
    if (s->threads) fprintf(stream, " run.threads=%" PRId64, s->threads);
}

static void put_ids(FILE *stream, const submission *s)
{
    for (int i = 0; i < s->count; i++)
        fprintf(stream, "%s%s", i ? " " : "", s->sweep->run[s->run[s->first + i]].id);
}

static void put_value(FILE *stream, const submission *s, const char *name, size_t length)
{
    static const char *const names[] = {"NAME", "ARRAY", "LOGS", "SBATCH", "IDS", "COMMAND", "FOLDER"};
    size_t which = 0;
    while (which < sizeof names / sizeof *names &&
           (strlen(names[which]) != length || strncmp(names[which], name, length) != 0))
        which++;
    switch (which) {
    case 0: fsfm_batch_put_quoted(stream, s->sweep->name); break;
    case 1:
        fprintf(stream, "0-%d", s->count - 1);
        if (s->options->at_once) fprintf(stream, "%%%" PRId64, s->options->at_once);
        break;
    case 2: fputs(s->logs, stream); break;
    case 3: put_directives(stream, s); break;
    case 4: put_ids(stream, s); break;
    case 5: put_command(stream, s); break;
    case 6: fsfm_batch_put_quoted(stream, s->here); break;
    default: FSFM_ASSERT(which < sizeof names / sizeof *names); /* jobs/slurm/sweep.sbatch has another */
    }
}

/* The script with its {{NAMES}} filled in; owned. */
static fsfm_status make_script(const submission *s, char **out, size_t *size_bytes, fsfm_error *err)
{
    const char *at = fsfm_sweep_script, *open;
    *out = NULL;
    FILE *stream = open_memstream(out, size_bytes);
    if (!stream) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a script");
    while ((open = strstr(at, "{{"))) {
        const char *close = strstr(open, "}}");
        FSFM_ASSERT(close);
        fwrite(at, 1, (size_t)(open - at), stream);
        put_value(stream, s, open + 2, (size_t)(close - open - 2));
        at = close + 2;
    }
    fputs(at, stream);
    if (fclose(stream) == 0) return FSFM_OK;
    free(*out);
    *out = NULL;
    return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a script");
}

/* So that the same run is not submitted again while the job waits. */
static fsfm_status note_jobs(const submission *s, const char *job, fsfm_error *err)
{
    for (int i = 0; i < s->count; i++) {
        const fsfm_sweep_run *run = &s->sweep->run[s->run[s->first + i]];
        char folder[FSFM_SWEEP_PATH], path[FSFM_SWEEP_PATH], text[96];
        FSFM_TRY(fsfm_path_join(folder, sizeof folder, run->folder, "sweep", err));
        FSFM_TRY(fsfm_folder_make(folder, err));
        FSFM_TRY(fsfm_path_join(path, sizeof path, folder, "job", err));
        snprintf(text, sizeof text, "%.*s_%d\n", (int)strcspn(job, ";"), job, i);
        FSFM_TRY(fsfm_file_write(path, text, strlen(text), err));
    }
    return FSFM_OK;
}

static int count_ending(const fsfm_sweep *sweep, const fsfm_run_status *status)
{
    int count = 0;
    for (int run = 0; run < sweep->run_count; run++) count += status[run].is_ending;
    return count;
}

/* A task that is being ended will be gone, or wait again where it is requeued: which, shows when it is over.
 */
static fsfm_status look_when_settled(const submission *s, fsfm_log *log, fsfm_run_status **status,
                                     fsfm_error *err)
{
    const double end_s = fsfm_clock_monotonic_s() + ENDING_WAIT_S;
    const struct timespec look_again = {1, 0};
    bool is_told = false;
    for (;;) {
        FSFM_TRY(fsfm_sweep_look(s->sweep, true, status, err));
        const int ending = count_ending(s->sweep, *status);
        if (ending == 0 || fsfm_clock_monotonic_s() >= end_s) return FSFM_OK;
        if (!is_told) fsfm_log_line(log, "wait      SLURM is ending %d of the runs", ending);
        is_told = true;
        free(*status);
        nanosleep(&look_again, NULL);
    }
}

/* The runs that are left, and which are not, told. */
static fsfm_status choose(submission *s, fsfm_log *log, fsfm_error *err)
{
    fsfm_run_status *status = NULL;
    char summary[256];
    s->run = calloc((size_t)s->sweep->run_count, sizeof *s->run);
    if (!s->run) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %d runs", s->sweep->run_count);
    FSFM_TRY(look_when_settled(s, log, &status, err));
    for (int run = 0; run < s->sweep->run_count; run++) {
        const fsfm_run_state state = status[run].state;
        const bool is_taken =
            (state == FSFM_RUN_RUNNING || state == FSFM_RUN_QUEUED) && !status[run].is_ending;
        const bool is_left = state != FSFM_RUN_DONE && !is_taken &&
                             !(state == FSFM_RUN_FAILED && s->options->skips_failed) &&
                             !s->sweep->run[run].refusal;
        if (s->sweep->run[run].refusal)
            fsfm_log_line(log, "failed    %s  %s", s->sweep->run[run].id, s->sweep->run[run].refusal);
        if (is_left) s->run[s->left++] = run;
    }
    fsfm_log_line(log, "%s", fsfm_sweep_summary(s->sweep, status, summary));
    free(status);
    return FSFM_OK;
}

static fsfm_status find_places(submission *s, fsfm_error *err)
{
    char folder[FSFM_SWEEP_PATH];
    FSFM_TRY(fsfm_child_self(&s->self, err));
    if (!getcwd(s->here, sizeof s->here))
        return fsfm_fail(err, FSFM_ERR_IO, "the working folder: %s", strerror(errno));
    if (s->sweep->folder[0] == '/')
        FSFM_TRY(fsfm_path_join(folder, sizeof folder, s->sweep->folder, "", err));
    else
        FSFM_TRY(fsfm_path_join(folder, sizeof folder, s->here, s->sweep->folder, err));
    FSFM_TRY(fsfm_path_join(s->logs, sizeof s->logs, folder, "slurm", err));
    if (strpbrk(s->logs, "\"%\\"))
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "run.dir: expected a path without \", %% and \\ for SLURM, found %s",
                         s->sweep->folder);
    return fsfm_folder_make(s->logs, err);
}

/* A new file, and that for good: a task that cannot be requeued submits it again. */
static fsfm_status write_script(submission *s, const char *text, size_t size_bytes, fsfm_error *err)
{
    char folder[FSFM_SWEEP_PATH], name[FSFM_TEXT_SIZE + 32];
    FSFM_TRY(fsfm_path_join(folder, sizeof folder, s->sweep->folder, "slurm", err));
    for (int number = 1;; number++) {
        snprintf(name, sizeof name, "%s-%d.sbatch", s->sweep->name, number);
        FSFM_TRY(fsfm_path_join(s->script, sizeof s->script, folder, name, err));
        const int fd = open(s->script, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            close(fd);
            return fsfm_file_write(s->script, text, size_bytes, err);
        }
        if (errno != EEXIST)
            return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot be made: %s", s->script, strerror(errno));
    }
}

static fsfm_status submit_array(submission *s, fsfm_log *log, fsfm_error *err)
{
    char *text = NULL, job[256];
    size_t size_bytes = 0;
    FSFM_TRY(make_script(s, &text, &size_bytes, err));
    fsfm_status st = FSFM_OK;
    if (s->options->is_dry) {
        fsfm_log_line(log, "%d task%s would be submitted", s->count, s->count == 1 ? "" : "s");
        fwrite(text, 1, size_bytes, stdout);
    } else
        st = write_script(s, text, size_bytes, err);
    free(text);
    if (st != FSFM_OK || s->options->is_dry) return st;
    FSFM_TRY(fsfm_batch_submit(s->script, "`fsfm sweep run` runs here", job, err));
    fsfm_log_line(log, "submitted %d task%s as job %s, %s", s->count, s->count == 1 ? "" : "s", job,
                  s->script);
    snprintf(s->before, sizeof s->before, "%.*s", (int)strcspn(job, ";"), job);
    return note_jobs(s, job, err);
}

/* As many arrays as SLURM's limit makes of them. */
static fsfm_status submit(submission *s, fsfm_log *log, fsfm_error *err)
{
    const int tasks_max = fsfm_slurm_array_tasks_max(SCONTROL_TIMEOUT_S);
    FSFM_TRY(find_places(s, err));
    FSFM_TRY(fsfm_sweep_fill_request(s->sweep, s->run, s->left, &s->request, &s->threads, log, err));
    for (s->first = 0; s->first < s->left; s->first += s->count) {
        s->count = s->left - s->first < tasks_max ? s->left - s->first : tasks_max;
        FSFM_TRY(submit_array(s, log, err));
    }
    return FSFM_OK;
}

fsfm_status fsfm_sweep_submit(const fsfm_sweep *sweep, const fsfm_sweep_submit_options *options,
                              fsfm_log *log, fsfm_error *err)
{
    submission s = {.sweep = sweep, .options = options, .request = options->request};
    fsfm_status st = choose(&s, log, err);
    if (st == FSFM_OK && s.left == 0)
        fsfm_log_line(log, "nothing is left to submit");
    else if (st == FSFM_OK)
        st = submit(&s, log, err);
    free(s.run);
    free(s.self);
    return st;
}
