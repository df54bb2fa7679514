/* SPDX-License-Identifier: Apache-2.0
 * jobs/submit.c - `fsfm submit`: the batch script of a pretraining run, with tasks, memory and time from its
 * plan. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "io/file.h"
#include "io/run_lock.h"
#include "io/slurm_job.h"
#include "jobs/command.h"
#include "jobs/plan/forecast.h"
#include "jobs/settings.h"
#include "jobs/submit/batch.h"
#include "jobs/submit/request.h"
#include "jobs/sweep/sweep_child.h"

enum { PATH_BYTES = 4096, COUNT_MAX = 1 << 20, QUARTER_MIN = 15 };

#define TIME_MARGIN 1.2       /* of the predicted time */
#define TIME_START_HOURS 0.25 /* start, evaluations, pictures */
#define TIME_MOST_HOURS 24.0  /* of a job; longer runs go on by being requeued */
#define SQUEUE_TIMEOUT_S 10.0
#define LOCK_STALE_S 60.0

typedef struct {
    const fsfm_arguments *arguments;
    const fsfm_settings *settings;
    fsfm_log *log;
    fsfm_batch_request request;
    int64_t threads, micro_batch; /* chosen here, and so that the run is as planned given to it; 0: not */
    char *self;
    char here[PATH_BYTES], folder[PATH_BYTES]; /* absolute: where we are, and run.dir */
    char script[PATH_BYTES], job[PATH_BYTES];
} submission;

/* In quarters of an hour. */
static void choose_time(submission *s, double hours)
{
    fsfm_batch_request *r = &s->request;
    const char *given = fsfm_arguments_get(s->arguments, "--time", NULL);
    if (given)
        snprintf(r->time, sizeof r->time, "%s", given);
    else if (!isnan(hours)) {
        const double wanted = fmin(hours * TIME_MARGIN + TIME_START_HOURS, TIME_MOST_HOURS);
        const int quarters = (int)ceil(wanted * 60 / QUARTER_MIN);
        snprintf(r->time, sizeof r->time, "%02d:%02d:00", quarters / 4, quarters % 4 * QUARTER_MIN);
    }
}

static fsfm_status read_request(submission *s, fsfm_error *err)
{
    const fsfm_arguments *a = s->arguments;
    const int64_t threads = s->settings->run.threads;
    fsfm_batch_request *r = &s->request;
    FSFM_TRY(fsfm_arguments_int(a, "--nodes", 1, 1, COUNT_MAX, &r->nodes, err));
    FSFM_TRY(fsfm_arguments_int(a, "--gpus-per-node", 0, 1, 1024, &r->gpus_per_node, err));
    FSFM_TRY(fsfm_arguments_int(a, "--ranks-per-node", r->gpus_per_node ? r->gpus_per_node : 1, 1, 4096,
                                &r->ranks_per_node, err));
    const int64_t cpus = threads != FSFM_AUTO ? threads : r->gpus_per_node ? FSFM_BATCH_GPU_CPUS : 0;
    FSFM_TRY(fsfm_arguments_int(a, "--cpus-per-rank", cpus, 1, 1024, &r->cpus_per_rank, err));
    if (r->nodes * r->ranks_per_node > COUNT_MAX)
        return fsfm_fail(err, FSFM_ERR_ARG, "--nodes: expected at most %d ranks, found %" PRId64, COUNT_MAX,
                         r->nodes * r->ranks_per_node);
    return FSFM_OK;
}

/* The threads that a rank will have, where that is known. */
static void choose_threads(submission *s, fsfm_settings *settings)
{
    if (settings->run.threads != FSFM_AUTO || !s->request.cpus_per_rank) return;
    settings->run.threads = s->threads = s->request.cpus_per_rank;
}

/* Hours of the run, where they are known: what this machine reaches says nothing of several like it, and how
 * fast a GPU is only its name says. */
static fsfm_status plan_time(submission *s, fsfm_comm *comm, const fsfm_forecast_setup *setup, fsfm_log *log,
                             double *hours, fsfm_error *err)
{
    const fsfm_batch_request *r = &s->request;
    *hours = NAN;
    if (!setup->gpu && (r->gpus_per_node || r->nodes > 1)) return FSFM_OK;
    fsfm_forecast *forecast = calloc(1, sizeof *forecast);
    if (!forecast) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a plan");
    const fsfm_status st = fsfm_forecast_make(comm, setup, log, forecast, err);
    if (st == FSFM_OK && forecast->time.is_known) *hours = forecast->time.hours;
    fsfm_forecast_free(forecast);
    free(forecast);
    return st;
}

static void tell_choices(const submission *s, const fsfm_train_plan *plan, double hours)
{
    const fsfm_batch_request *r = &s->request;
    fsfm_log_line(
        s->log, "tasks     %" PRId64 " node%s x %" PRId64 ", %" PRId64 " steps of %" PRId64 " images",
        r->nodes, r->nodes == 1 ? "" : "s", r->ranks_per_node, plan->steps, s->settings->train.global_batch);
    fsfm_log_line(s->log, "memory    %.0f MiB a node", r->memory_mib);
    if (s->micro_batch && !r->cpus_per_rank)
        fsfm_log_line(s->log,
                      "batch     train.micro_batch=%" PRId64
                      " is for a rank with %d processors, as here: say "
                      "--cpus-per-rank if nodes have others",
                      s->micro_batch, plan->threads);
    fsfm_log_line(
        s->log, "time      %s%s a job%s", r->time[0] ? r->time : "24:00:00",
        r->time[0] || !isnan(hours) ? "" : ", as it is not known how long the run takes (--gpu, --time);",
        "; what is left then goes on by itself");
}

static fsfm_status choose(submission *s, fsfm_comm *comm, fsfm_error *err)
{
    const fsfm_batch_request *r = &s->request;
    fsfm_log silent;
    fsfm_train_plan plan;
    double hours = NAN;
    fsfm_forecast_setup setup = {.settings = s->settings,
                                 .ranks = (int)(r->nodes * r->ranks_per_node),
                                 .gpu = fsfm_arguments_get(s->arguments, "--gpu", NULL)};
    FSFM_TRY(fsfm_arguments_int(s->arguments, "--samples", 0, 1, INT64_MAX, &setup.samples, err));
    if (setup.gpu && !r->gpus_per_node)
        return fsfm_fail(err, FSFM_ERR_ARG, "--gpu: expected --gpus-per-node with it, found none");
    fsfm_log_open(&silent, NULL);
    fsfm_status st =
        fsfm_batch_plan_memory(&s->request, s->settings, setup.samples, comm, &silent, &plan, err);
    if (st == FSFM_OK) st = plan_time(s, comm, &setup, &silent, &hours, err);
    fsfm_log_close(&silent);
    if (st != FSFM_OK) return st;
    if (!r->gpus_per_node && fsfm_batch_chooses_micro_batch(s->settings)) s->micro_batch = plan.micro_batch;
    choose_time(s, hours);
    tell_choices(s, &plan, hours);
    return FSFM_OK;
}

static void put_directives(FILE *stream, const submission *s)
{
    const char *name = strrchr(s->folder, '/');
    fsfm_batch_put_request(stream, &s->request);
    fprintf(stream, "#SBATCH --job-name=\"%s\"\n#SBATCH --output=\"%s/slurm-%%j.out\"\n",
            name && name[1] ? name + 1 : "fsfm", s->folder);
    for (int i = 0; i < s->arguments->option_count; i++)
        if (strcmp(s->arguments->options[i].name, "--sbatch") == 0)
            fprintf(stream, "#SBATCH %s\n", s->arguments->options[i].value);
}

static void put_command(FILE *stream, const submission *s)
{
    fputs("cd ", stream);
    fsfm_batch_put_quoted(stream, s->here);
    fputs(" || exit 2\nFSFM=${FSFM:-", stream);
    fsfm_batch_put_quoted(stream, s->self);
    fputs("}\nset --", stream);
    for (int i = 0; i < s->arguments->word_count; i++) {
        fputc(' ', stream);
        fsfm_batch_put_quoted(stream, s->arguments->words[i]);
    }
    if (s->threads) fprintf(stream, " run.threads=%" PRId64, s->threads);
    if (s->micro_batch) fprintf(stream, " train.micro_batch=%" PRId64, s->micro_batch);
    fputc('\n', stream);
}

/* The script up to behind a line, from what is left of it. */
static void copy_to(FILE *stream, const char *line, const char **at)
{
    const char *found = strstr(*at, line);
    FSFM_ASSERT(found);
    found += strlen(line);
    fwrite(*at, 1, (size_t)(found - *at), stream);
    *at = found;
}

/* The script with our lines in their places; owned. */
static fsfm_status make_script(const submission *s, char **out, size_t *size_bytes, fsfm_error *err)
{
    const char *at = fsfm_pretrain_script;
    *out = NULL;
    FILE *stream = open_memstream(out, size_bytes);
    if (!stream) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a script");
    copy_to(stream, "# --- options of `fsfm submit` ---\n", &at);
    put_directives(stream, s);
    copy_to(stream, "# --- command of `fsfm submit` ---\n", &at);
    put_command(stream, s);
    fputs(at, stream);
    if (fclose(stream) == 0) return FSFM_OK;
    free(*out);
    *out = NULL;
    return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a script");
}

static fsfm_status find_places(submission *s, fsfm_error *err)
{
    const char *dir = s->settings->run.dir;
    if (!dir[0])
        return fsfm_fail(err, FSFM_ERR_ARG, "run.dir: expected the folder of the run, found nothing");
    FSFM_TRY(fsfm_child_self(&s->self, err));
    if (!getcwd(s->here, sizeof s->here))
        return fsfm_fail(err, FSFM_ERR_IO, "the working folder: %s", strerror(errno));
    if (dir[0] == '/')
        snprintf(s->folder, sizeof s->folder, "%s", dir);
    else
        FSFM_TRY(fsfm_path_join(s->folder, sizeof s->folder, s->here, dir, err));
    for (size_t n = strlen(s->folder); n > 1 && s->folder[n - 1] == '/'; n--) s->folder[n - 1] = '\0';
    if (strpbrk(s->folder, "\"%\\\n"))
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "run.dir: expected a path without \", %% and \\ for SLURM, found %s", dir);
    FSFM_TRY(fsfm_path_join(s->script, sizeof s->script, dir, "pretrain.sbatch", err));
    return fsfm_path_join(s->job, sizeof s->job, dir, "job", err);
}

/* A run that waits or runs is not submitted again: the second job would find its folder in use. */
static fsfm_status check_free(const submission *s, fsfm_error *err)
{
    char holder[384], job[32];
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    if (fsfm_run_lock_is_held(s->settings->run.dir, LOCK_STALE_S, holder))
        return fsfm_fail(err, FSFM_ERR_IO, "run directory %s is in use by %s", s->settings->run.dir, holder);
    if (!fsfm_file_exists(s->job) || fsfm_file_read(s->job, &bytes, &size_bytes, err) != FSFM_OK)
        return FSFM_OK;
    snprintf(job, sizeof job, "%.*s", (int)(size_bytes < 31 ? size_bytes : 31), (const char *)bytes);
    job[strcspn(job, "\n")] = '\0';
    free(bytes);
    if (!fsfm_slurm_job_is_there(job, SQUEUE_TIMEOUT_S)) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_IO, "run directory %s: job %s waits or runs for it (scancel %s ends it)",
                     s->settings->run.dir, job, job);
}

static fsfm_status hand_over(submission *s, bool is_dry, fsfm_error *err)
{
    char *text = NULL, answer[256];
    size_t size_bytes = 0;
    FSFM_TRY(make_script(s, &text, &size_bytes, err));
    fsfm_status st = fsfm_folder_make(s->settings->run.dir, err);
    if (st == FSFM_OK) st = fsfm_file_write(s->script, text, size_bytes, err);
    if (st == FSFM_OK && is_dry) fwrite(text, 1, size_bytes, stdout);
    free(text);
    if (st != FSFM_OK || is_dry) return st;
    FSFM_TRY(fsfm_batch_submit(s->script, "`fsfm pretrain` runs here", answer, err));
    answer[strcspn(answer, ";")] = '\0';
    fsfm_log_line(s->log, "submitted job %s, %s", answer, s->script);
    strcat(answer, "\n");
    return fsfm_file_write(s->job, answer, strlen(answer), err);
}

static fsfm_status submit(submission *s, fsfm_comm *comm, fsfm_settings *settings, fsfm_error *err)
{
    const fsfm_arguments *a = s->arguments;
    const bool is_dry = fsfm_arguments_has(a, "--dry-run");
    char warning[256] = "";
    if (a->word_count < 1)
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "submit: expected a configuration: fsfm submit CONFIG.yaml [key=value ...]");
    FSFM_TRY(fsfm_settings_load(a->words[0], a->word_count - 1, a->words + 1, settings, warning, err));
    if (warning[0]) fsfm_log_line(s->log, "warning: %s", warning);
    FSFM_TRY(read_request(s, err));
    choose_threads(s, settings);
    FSFM_TRY(find_places(s, err));
    if (!is_dry) FSFM_TRY(check_free(s, err));
    FSFM_TRY(choose(s, comm, err));
    return hand_over(s, is_dry, err);
}

static int run(int argc, char **argv, fsfm_error *err)
{
    static const char *const valued[] = {"--nodes",         "--ranks-per-node", "--gpus-per-node",
                                         "--cpus-per-rank", "--time",           "--gpu",
                                         "--samples",       "--sbatch",         NULL};
    static const char *const flags[] = {"--dry-run", NULL};
    fsfm_arguments arguments;
    fsfm_comm *comm = NULL;
    fsfm_log log;
    fsfm_settings *settings = calloc(1, sizeof *settings);
    submission *s = calloc(1, sizeof *s);
    fsfm_status st = settings && s ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a submission");
    if (st == FSFM_OK) st = fsfm_arguments_parse(argc, argv, valued, flags, &arguments, err);
    if (st == FSFM_OK) st = fsfm_comm_start(&comm, err);
    if (st == FSFM_OK) {
        fsfm_log_open(&log, fsfm_arguments_has(&arguments, "--dry-run") ? stderr : stdout);
        s->arguments = &arguments;
        s->settings = settings;
        s->log = &log;
        st = submit(s, comm, settings, err);
        fsfm_log_close(&log);
        fsfm_comm_stop(&comm);
        free(s->self);
    }
    free(s);
    free(settings);
    return fsfm_exit_code(st);
}

const fsfm_command fsfm_command_submit = {
    .name = "submit",
    .usage = "submit CONFIG.yaml [--nodes N] [--gpus-per-node G] [--time T] [--dry-run] [key=value ...]",
    .summary = "pretrain as a SLURM job, which stops and goes on by itself",
    .help =
        "Writes run.dir/pretrain.sbatch, with tasks, memory and time from the run's plan, and hands it "
        "to sbatch.\n"
        "The job saves and stops near the end of its time, when it is preempted or told to, and puts "
        "itself back\n"
        "into the queue until the run is done. On processors the plan's train.micro_batch is given to "
        "it, so that\n"
        "it fits the memory that was asked for. What it prints is in run.dir/slurm-JOB.out. Partition and "
        "account:\n"
        "SBATCH_PARTITION, SBATCH_ACCOUNT, ... in the environment, or --sbatch; modules: FSFM_SETUP, a "
        "file that the\n"
        "job sources (the script says what else).\n"
        "--nodes N           (1)\n"
        "--gpus-per-node G   a rank a GPU; without it a rank a node, on its processors\n"
        "--ranks-per-node N  another number of them\n"
        "--cpus-per-rank N   (run.threads, which becomes N else; 8 with GPUs; else the whole node)\n"
        "--time T            of a job; else predicted with some to spare, at most 24 hours\n"
        "--gpu NAME          h100, a100, h200 or a file, as `plan` knows them, to predict the time\n"
        "--samples N         of a training set that is not here yet\n"
        "--sbatch OPTION     one more option of sbatch, as --sbatch=--partition=gpu; may be repeated\n"
        "--dry-run           write and print the script alone\n",
    .run = run,
};
