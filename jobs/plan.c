/* SPDX-License-Identifier: Apache-2.0
 * jobs/plan.c - `fsfm plan`: what a configuration would take, before it is queued. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "jobs/command.h"
#include "jobs/plan/report.h"
#include "jobs/settings.h"

/* CONFIG and key=value among the words. What is odd but allowed is among the forecast's warnings. */
static fsfm_status load(const fsfm_arguments *arguments, fsfm_settings *settings, fsfm_error *err)
{
    char warning[256] = "";
    if (arguments->word_count < 1)
        return fsfm_fail(err, FSFM_ERR_ARG, "plan: expected a configuration: fsfm %s",
                         fsfm_command_plan.usage);
    return fsfm_settings_load(arguments->words[0], arguments->word_count - 1, arguments->words + 1, settings,
                              warning, err);
}

static fsfm_status make(fsfm_comm *comm, const fsfm_arguments *arguments, const fsfm_settings *settings,
                        fsfm_log *log, fsfm_forecast *forecast, fsfm_error *err)
{
    fsfm_forecast_setup setup = {.settings = settings,
                                 .gpu = fsfm_arguments_get(arguments, "--gpu", NULL),
                                 .machine_file = fsfm_arguments_get(arguments, "--machine", NULL)};
    int64_t ranks = 0;
    if (setup.gpu && setup.machine_file)
        return fsfm_fail(err, FSFM_ERR_ARG, "--machine: expected this or --gpu, found both");
    FSFM_TRY(fsfm_arguments_int(arguments, "--ranks", fsfm_comm_size(comm), 1, 1 << 20, &ranks, err));
    FSFM_TRY(fsfm_arguments_int(arguments, "--samples", 0, 1, INT64_MAX, &setup.samples, err));
    setup.ranks = (int)ranks;
    return fsfm_forecast_make(comm, &setup, log, forecast, err);
}

static fsfm_status run(fsfm_comm *comm, int argc, char **argv, fsfm_error *err)
{
    static const char *const valued[] = {"--ranks", "--samples", "--gpu", "--machine", NULL};
    static const char *const flags[] = {"--json", NULL};
    const bool is_first = fsfm_comm_rank(comm) == 0;
    fsfm_arguments arguments;
    fsfm_log log;
    FSFM_TRY(fsfm_arguments_parse(argc, argv, valued, flags, &arguments, err));
    fsfm_settings *settings = malloc(sizeof *settings);
    fsfm_forecast *forecast = calloc(1, sizeof *forecast);
    fsfm_status st = settings && forecast ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a plan");
    fsfm_log_open(&log, is_first ? stderr : NULL);
    if (st == FSFM_OK) st = load(&arguments, settings, err);
    if (st == FSFM_OK) st = make(comm, &arguments, settings, &log, forecast, err);
    fsfm_log_close(&log);
    if (st == FSFM_OK && is_first) {
        if (fsfm_arguments_has(&arguments, "--json"))
            fsfm_forecast_print_json(forecast);
        else
            fsfm_forecast_print_text(forecast);
    }
    if (forecast) fsfm_forecast_free(forecast);
    free(forecast);
    free(settings);
    return st;
}

static int plan_run(int argc, char **argv, fsfm_error *err)
{
    fsfm_comm *comm = NULL;
    fsfm_status st = fsfm_comm_start(&comm, err);
    if (st != FSFM_OK) return fsfm_exit_code(st);
    return fsfm_exit_code(fsfm_command_end(&comm, run(comm, argc, argv, err), err));
}

const fsfm_command fsfm_command_plan = {
    .name = "plan",
    .usage = "plan CONFIG.yaml [--ranks N] [--samples N] [--gpu h100|a100|h200|FILE.yaml] [--machine FILE] "
             "[--json] [key=value ...]",
    .summary = "what a run would take: the shape of its steps, memory, disk and time",
    .help =
        "Reads the configuration as pretrain does and says, without running anything: parameters, GFLOP of\n"
        "an image's step, micro-batch and accumulation (train.micro_batch auto as pretrain would resolve "
        "it),\n"
        "steps, samples that an epoch leaves out, peak learning rate, size and number of checkpoints, "
        "memory\n"
        "by part, predicted time by part, images/s and hours, and what is odd about it.\n"
        "--ranks N: N ranks, all on a machine like this one, sharing its memory and processors (default 1);\n"
        "  with --gpu a GPU each, on as many nodes as it takes.\n"
        "--samples N: a training set of N raw faces that need not exist; else data.path is opened.\n"
        "--gpu: memory and time on such GPUs, from configs/machines/NAME.yaml or a file like it: peaks of "
        "the\n"
        "  data sheet and shares that are expected. A model: nothing in it was measured.\n"
        "--machine FILE: without --gpu, what `fsfm bench step --write-machine FILE` measured on this "
        "machine\n"
        "  (default configs/machines/local.yaml beside the program); without such a file no time is known.\n"
        "Memory without --gpu is the resident memory of pretrain on the CPU; on several ranks, shared\n"
        "segments of the MPI library count in each.\n",
    .run = plan_run,
};
