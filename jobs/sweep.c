/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep.c - `fsfm sweep`: many runs that differ in some keys, and what comes of them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/command.h"
#include "jobs/nearest.h"
#include "jobs/sweep/sweep.h"
#include "jobs/sweep/sweep_list.h"
#include "jobs/sweep/sweep_report.h"
#include "jobs/sweep/sweep_run.h"
#include "jobs/sweep/sweep_submit.h"
#include "mpi/stop.h"

enum { LAUNCHER_WORDS = 64, COUNT_MAX = 1 << 20, BUSY_WAIT_S = 300 };

/* What every part gets. */
typedef struct {
    const fsfm_arguments *arguments;
    fsfm_sweep sweep;
    fsfm_log log;
} part_input;

static fsfm_status print_plan(part_input *in, int *code, fsfm_error *err)
{
    *code = FSFM_EXIT_DONE;
    return fsfm_sweep_print(&in->sweep, true, fsfm_arguments_has(in->arguments, "--json"), err);
}

static fsfm_status print_status(part_input *in, int *code, fsfm_error *err)
{
    *code = FSFM_EXIT_DONE;
    return fsfm_sweep_print(&in->sweep, false, fsfm_arguments_has(in->arguments, "--json"), err);
}

/* "--ranks N" and "--launcher WORDS" as words, ended by NULL. text, owned by the caller, holds them. */
static fsfm_status find_launcher(const fsfm_arguments *arguments, char *words[LAUNCHER_WORDS + 1],
                                 char **text, fsfm_error *err)
{
    const char *launcher = fsfm_arguments_get(arguments, "--launcher", NULL);
    int64_t ranks = 0;
    int count = 0;
    char mpirun[48];
    FSFM_TRY(fsfm_arguments_int(arguments, "--ranks", 0, 1, COUNT_MAX, &ranks, err));
    if (launcher && ranks)
        return fsfm_fail(err, FSFM_ERR_ARG, "--ranks: expected this or --launcher, found both");
    snprintf(mpirun, sizeof mpirun, "mpirun -n %" PRId64, ranks);
    *text = strdup(launcher ? launcher : ranks ? mpirun : "");
    if (!*text) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the launcher");
    char *rest = *text;
    for (char *word; (word = strsep(&rest, " "));) {
        if (!*word) continue;
        if (count == LAUNCHER_WORDS)
            return fsfm_fail(err, FSFM_ERR_ARG, "--launcher: expected at most %d words", LAUNCHER_WORDS);
        words[count++] = word;
    }
    words[count] = NULL;
    return FSFM_OK;
}

static fsfm_status run_runs(part_input *in, int *code, fsfm_error *err)
{
    char *launcher[LAUNCHER_WORDS + 1] = {NULL}, *text = NULL;
    const char *only = fsfm_arguments_get(in->arguments, "--run", NULL),
               *size = getenv("OMPI_COMM_WORLD_SIZE");
    int64_t wait_s = 0;
    fsfm_sweep_run_options options = {
        .only = -1, .skips_failed = fsfm_arguments_has(in->arguments, "--skip-failed"), .launcher = launcher};
    if (size && strcmp(size, "1") != 0)
        return fsfm_fail(
            err, FSFM_ERR_ARG,
            "sweep run: expected one process, which starts the ranks of each run (--ranks N), found "
            "%s of them",
            size);
    if (only) FSFM_TRY(fsfm_sweep_find(&in->sweep, only, &options.only, err));
    FSFM_TRY(fsfm_arguments_int(in->arguments, "--wait", only ? BUSY_WAIT_S : 0, 0, COUNT_MAX, &wait_s, err));
    options.wait_s = (double)wait_s;
    fsfm_status st = find_launcher(in->arguments, launcher, &text, err);
    if (st == FSFM_OK) st = fsfm_sweep_run_all(&in->sweep, &options, &in->log, code, err);
    free(text);
    return st;
}

static fsfm_status submit_runs(part_input *in, int *code, fsfm_error *err)
{
    const fsfm_arguments *a = in->arguments;
    fsfm_sweep_submit_options options = {.skips_failed = fsfm_arguments_has(a, "--skip-failed"),
                                         .is_dry = fsfm_arguments_has(a, "--dry-run"),
                                         .override_count = a->word_count - 2,
                                         .overrides = a->words + 2};
    fsfm_batch_request *r = &options.request;
    snprintf(r->time, sizeof r->time, "%s", fsfm_arguments_get(a, "--time", ""));
    FSFM_TRY(fsfm_arguments_int(a, "--nodes", 1, 1, COUNT_MAX, &r->nodes, err));
    FSFM_TRY(fsfm_arguments_int(a, "--gpus-per-node", 0, 1, 1024, &r->gpus_per_node, err));
    FSFM_TRY(fsfm_arguments_int(a, "--ranks-per-node", r->gpus_per_node ? r->gpus_per_node : 1, 1, 4096,
                                &r->ranks_per_node, err));
    FSFM_TRY(fsfm_arguments_int(a, "--cpus-per-rank", 0, 1, 1024, &r->cpus_per_rank, err));
    if (r->nodes * r->ranks_per_node > COUNT_MAX)
        return fsfm_fail(err, FSFM_ERR_ARG, "--nodes: expected at most %d ranks, found %" PRId64, COUNT_MAX,
                         r->nodes * r->ranks_per_node);
    FSFM_TRY(fsfm_arguments_int(a, "--at-once", 0, 1, COUNT_MAX, &options.at_once, err));
    for (int i = 0; i < a->option_count; i++) {
        if (strcmp(a->options[i].name, "--sbatch") != 0) continue;
        if (options.extra_count == FSFM_SUBMIT_EXTRA_MAX)
            return fsfm_fail(err, FSFM_ERR_ARG, "--sbatch: expected it at most %d times",
                             FSFM_SUBMIT_EXTRA_MAX);
        options.extra[options.extra_count++] = a->options[i].value;
    }
    *code = FSFM_EXIT_DONE;
    return fsfm_sweep_submit(&in->sweep, &options, &in->log, err);
}

static fsfm_status report_runs(part_input *in, int *code, fsfm_error *err)
{
    const char *metric = fsfm_arguments_get(in->arguments, "--metric", in->sweep.metric);
    const bool as_json = fsfm_arguments_has(in->arguments, "--json");
    char csv[FSFM_SWEEP_PATH];
    fsfm_sweep_report report;
    if (fsfm_sweep_check_metric(metric, err) != FSFM_OK) return fsfm_context(err, "--metric");
    FSFM_TRY(fsfm_sweep_report_make(&in->sweep, metric, &report, err));
    fsfm_status st = fsfm_sweep_report_csv(&report, csv, err);
    if (st == FSFM_OK && as_json) fsfm_sweep_report_json(&report, csv);
    if (st == FSFM_OK && !as_json) {
        st = fsfm_sweep_report_table(&report, err);
        putchar('\n');
        fsfm_log_line(&in->log, "table     %s", csv);
    }
    if (st == FSFM_OK) st = fsfm_sweep_report_plots(&report, &in->log, err);
    if (st == FSFM_OK) st = fsfm_sweep_report_masks(&report, &in->log, err);
    fsfm_sweep_report_free(&report);
    *code = FSFM_EXIT_DONE;
    return st;
}

static const char *const plan_options[] = {NULL}, *const plan_flags[] = {"--json", NULL};
static const char *const run_options[] = {"--run", "--ranks", "--launcher", "--wait", NULL},
                         *const run_flags[] = {"--skip-failed", NULL};
static const char *const submit_options[] = {"--nodes",         "--ranks-per-node",
                                             "--gpus-per-node", "--cpus-per-rank",
                                             "--at-once",       "--time",
                                             "--sbatch",        NULL},
                         *const submit_flags[] = {"--skip-failed", "--dry-run", NULL};
static const char *const report_options[] = {"--metric", NULL};

static const struct {
    const char *name;
    const char *const *options, *const *flags;
    fsfm_status (*run)(part_input *in, int *code, fsfm_error *err);
} parts[] = {
    {"plan", plan_options, plan_flags, print_plan},        {"run", run_options, run_flags, run_runs},
    {"submit", submit_options, submit_flags, submit_runs}, {"status", plan_options, plan_flags, print_status},
    {"report", report_options, plan_flags, report_runs},
};
enum { PARTS = sizeof parts / sizeof *parts };

static fsfm_status run_part(int part, int argc, char **argv, int *code, fsfm_error *err)
{
    fsfm_arguments arguments;
    part_input in = {.arguments = &arguments};
    char warning[256] = "";
    FSFM_TRY(fsfm_arguments_parse(argc, argv, parts[part].options, parts[part].flags, &arguments, err));
    if (arguments.word_count < 2)
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "sweep: expected a sweep: fsfm sweep %s SWEEP.yaml [key=value ...]",
                         parts[part].name);
    FSFM_TRY(fsfm_sweep_load(arguments.words[1], arguments.word_count - 2, arguments.words + 2, &in.sweep,
                             warning, err));
    const bool prints =
        fsfm_arguments_has(&arguments, "--json") || fsfm_arguments_has(&arguments, "--dry-run");
    fsfm_log_open(&in.log, prints ? stderr : stdout);
    if (warning[0]) fprintf(stderr, "warning: %s\n", warning);
    const fsfm_status st = parts[part].run(&in, code, err);
    fsfm_log_close(&in.log);
    fsfm_sweep_free(&in.sweep);
    return st;
}

static int run(int argc, char **argv, fsfm_error *err)
{
    const char *names[PARTS + 1] = {NULL};
    int code = FSFM_EXIT_FAILED;
    for (int i = 0; i < PARTS; i++) {
        names[i] = parts[i].name;
        if (argc < 1 || strcmp(argv[0], names[i]) != 0) continue;
        if (parts[i].run == run_runs) fsfm_stop_catch_signals(); /* before there are other threads */
        const fsfm_status st = run_part(i, argc, argv, &code, err);
        return st == FSFM_OK ? code : fsfm_exit_code(st);
    }
    if (argc < 1)
        fsfm_fail(err, FSFM_ERR_ARG, "sweep: expected plan, run, submit, status or report, found nothing");
    else
        fsfm_fail(err, FSFM_ERR_ARG, "sweep: %.60s: unknown part; nearest known part: %s", argv[0],
                  fsfm_nearest_word(argv[0], names));
    return FSFM_EXIT_USAGE;
}

const fsfm_command fsfm_command_sweep = {
    .name = "sweep",
    .usage = "sweep plan|run|submit|status|report SWEEP.yaml [options] [key=value ...]",
    .summary = "many runs that differ in some keys: run them, submit them, rank them",
    .help =
        "SWEEP.yaml:\n"
        "  base: FILE           the configuration that all runs begin with, seen from the sweep's folder\n"
        "  set: {KEY: VALUE}    for all runs (may be left out)\n"
        "  grid: {KEY: [VALUE, ...], ...}    every combination; or\n"
        "  runs: [{KEY: VALUE, ...}, ...]    these\n"
        "  metric: NAME         what the report ranks by: loss (default), loss_rec_m, loss_rec_fr, "
        "loss_sim,\n"
        "                       grad_norm, images_per_s; eval.NAME or train.NAME for one kind of record\n"
        "key=value holds for every run. run.dir is the folder above them all: each run lies in run.dir/ID, "
        "and\n"
        "its ID is a hash of what it computes. So a run that is done is never done again, whichever sweep "
        "asks,\n"
        "and every part can be repeated at any time, also while runs are running.\n\n"
        "plan [--json]      the runs, and what `run` would do with each\n"
        "                   A run that a value of its own makes impossible is failed from the start, the "
        "others "
        "go on.\n"
        "run                one after another, each as a process of its own: what it prints is in\n"
        "                   run.dir/ID/output.log. Runs that are done, or that somebody else is at, are "
        "left\n"
        "                   alone; stopped and broken-off ones go on; failed ones are tried again.\n"
        "  --ranks N        each run under mpirun -n N\n"
        "  --launcher WORDS each run under these words (\"srun --mpi=pmix\")\n"
        "  --run ID         this run alone; the exit code is its own, or 75 while somebody else is at it\n"
        "  --wait SECONDS   so long for a run that somebody else is at (0; 300 with --run)\n"
        "  --skip-failed    leave failed runs as they are\n"
        "  Signals and the time limit stop the run at hand with a checkpoint: exit code 75, and the same\n"
        "  command goes on. A file run.dir/STOP stops before the next run. 1: some runs failed.\n"
        "submit             one SLURM array of the runs that are left: run.dir/slurm/NAME-N.sbatch through "
        "sbatch\n"
        "  --nodes N, --ranks-per-node N (one a GPU, or 1), --gpus-per-node N, --cpus-per-rank N, --time T\n"
        "                   Processors by run.threads (8 with GPUs, else the whole node), memory by the plan "
        "of "
        "the run\n"
        "                   that needs most; --sbatch=--mem=SIZE for another.\n"
        "  --at-once N      tasks that may run at the same time\n"
        "                   More runs than a SLURM array may have tasks (MaxArraySize) are several arrays, "
        "one "
        "after\n"
        "                   another with --at-once.\n"
        "  --sbatch OPTION  one more option of sbatch, as --sbatch=--partition=gpu; may be repeated\n"
        "  --dry-run        print the script alone\n"
        "  --skip-failed    leave failed runs as they are\n"
        "status [--json]    how far each run is, and why some failed\n"
        "report [--metric NAME] [--json]\n"
        "                   runs ranked, with mean and deviation over run.seed, as a table; run.dir/NAME.csv "
        "with\n"
        "                   a line a run; a plot for every swept key; a contact sheet of the masks\n",
    .run = run,
};
