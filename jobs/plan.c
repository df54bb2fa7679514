/* SPDX-License-Identifier: Apache-2.0
 * jobs/plan.c - `fsfm plan`: what a configuration would take, before it is queued. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/json.h"
#include "core/base/log.h"
#include "jobs/command.h"
#include "jobs/settings.h"
#include "mpi/train_plan.h"

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* Of all ranks, which share this machine. */
static uint64_t all_ranks_bytes(const fsfm_train_plan *plan)
{
    return plan->first.total + (uint64_t)(plan->ranks - 1) * plan->others.total;
}

static void print_json_memory(fsfm_json *json, const char *key, const fsfm_rank_memory *memory)
{
    char name[64];
    fsfm_json_object_begin(json, key);
    for (int i = 0; i < FSFM_MEMORY_PARTS; i++) {
        snprintf(name, sizeof name, "%s_mib", fsfm_memory_part_name((fsfm_memory_part)i));
        fsfm_json_real(json, name, mib(memory->part[i]));
    }
    fsfm_json_real(json, "total_mib", mib(memory->total));
    fsfm_json_object_end(json);
}

static void print_json(const fsfm_train_plan *plan)
{
    fsfm_json json = {.stream = stdout};
    fsfm_json_object_begin(&json, NULL);
    fsfm_json_text(&json, "device", plan->device);
    fsfm_json_int(&json, "ranks", plan->ranks);
    fsfm_json_int(&json, "threads", plan->threads);
    fsfm_json_int(&json, "parameters", plan->parameters);
    fsfm_json_real(&json, "gflop_per_image", 1e-9 * plan->flops.step);
    fsfm_json_int(&json, "local_batch", plan->local_batch);
    fsfm_json_int(&json, "micro_batch", plan->micro_batch);
    fsfm_json_int(&json, "accumulation", plan->micro_count);
    fsfm_json_int(&json, "samples", plan->samples);
    fsfm_json_int(&json, "dropped_samples", plan->dropped);
    fsfm_json_int(&json, "steps_per_epoch", plan->steps_per_epoch);
    fsfm_json_int(&json, "steps", plan->steps);
    fsfm_json_real(&json, "lr", plan->lr_peak);
    fsfm_json_int(&json, "checkpoint_bytes", (int64_t)plan->checkpoint_bytes);
    print_json_memory(&json, "memory", &plan->first);
    if (plan->ranks > 1) print_json_memory(&json, "memory_other_ranks", &plan->others);
    fsfm_json_real(&json, "all_ranks_mib", mib(all_ranks_bytes(plan)));
    fsfm_json_real(&json, "machine_mib", mib(plan->machine_bytes));
    fsfm_json_object_end(&json);
    putchar('\n');
}

static void print_memory(const fsfm_train_plan *plan)
{
    const bool has_others = plan->ranks > 1;
    printf("memory at the moment of most, MiB\n");
    if (has_others) printf("%-12s%8s %8s\n", "", "rank 0", "others");
    for (int i = 0; i <= FSFM_MEMORY_PARTS; i++) {
        const bool is_total = i == FSFM_MEMORY_PARTS;
        const uint64_t first = is_total ? plan->first.total : plan->first.part[i];
        const uint64_t others = is_total ? plan->others.total : plan->others.part[i];
        printf("%-12s%8.1f", is_total ? "total" : fsfm_memory_part_name((fsfm_memory_part)i), mib(first));
        if (has_others) printf(" %8.1f", mib(others));
        printf("\n");
    }
    if (has_others) printf("%-12s%8.1f\n", "all ranks", mib(all_ranks_bytes(plan)));
    printf("%-12s%8.1f%s\n", "machine", mib(plan->machine_bytes),
           all_ranks_bytes(plan) > plan->machine_bytes ? ": TOO LITTLE" : "");
}

static void print_text(const fsfm_train_plan *plan)
{
    printf("model       %.2f M parameters, %.2f GFLOP an image (forward %.2f, backward %.2f, target %.2f)\n",
           1e-6 * (double)plan->parameters, 1e-9 * plan->flops.step, 1e-9 * plan->flops.online_forward,
           1e-9 * plan->flops.online_backward, 1e-9 * plan->flops.target);
    printf("device      %s; %d rank%s\n", plan->device, plan->ranks, plan->ranks == 1 ? "" : "s");
    printf("batch       %" PRId64 " images = %d x %" PRId64 " x %" PRId64
           " (ranks, accumulation, micro-batch)\n",
           plan->local_batch * plan->ranks, plan->ranks, plan->micro_count, plan->micro_batch);
    printf("schedule    %" PRId64 " steps, %" PRId64 " an epoch of %" PRId64 " samples, of which %" PRId64
           " are left out; lr %g at its peak\n",
           plan->steps, plan->steps_per_epoch, plan->samples, plan->dropped, plan->lr_peak);
    printf("checkpoint  %.1f MB\n", 1e-6 * (double)plan->checkpoint_bytes);
    print_memory(plan);
}

/* CONFIG and key=value among the words. */
static fsfm_status load(const fsfm_arguments *arguments, fsfm_settings *settings, fsfm_log *log,
                        fsfm_error *err)
{
    char warning[256] = "";
    if (arguments->word_count < 1)
        return fsfm_fail(err, FSFM_ERR_ARG, "plan: expected a configuration: fsfm %s",
                         fsfm_command_plan.usage);
    FSFM_TRY(fsfm_settings_load(arguments->words[0], arguments->word_count - 1, arguments->words + 1,
                                settings, warning, err));
    if (warning[0]) fsfm_log_line(log, "warning: %s", warning);
    return FSFM_OK;
}

static fsfm_status make(fsfm_comm *comm, const fsfm_arguments *arguments, const fsfm_settings *settings,
                        fsfm_log *log, fsfm_train_plan *plan, fsfm_error *err)
{
    const fsfm_train_job job = fsfm_settings_job(settings);
    fsfm_train_plan_setup setup = {.job = &job};
    int64_t ranks = 0;
    FSFM_TRY(fsfm_arguments_int(arguments, "--ranks", fsfm_comm_size(comm), 1, 1 << 20, &ranks, err));
    FSFM_TRY(fsfm_arguments_int(arguments, "--samples", 0, 1, INT64_MAX, &setup.samples, err));
    setup.ranks = (int)ranks;
    return fsfm_train_plan_make(comm, &setup, log, plan, err);
}

static fsfm_status run(fsfm_comm *comm, int argc, char **argv, fsfm_error *err)
{
    static const char *const valued[] = {"--ranks", "--samples", NULL};
    static const char *const flags[] = {"--json", NULL};
    const bool is_first = fsfm_comm_rank(comm) == 0;
    fsfm_arguments arguments;
    fsfm_train_plan plan;
    fsfm_log log;
    FSFM_TRY(fsfm_arguments_parse(argc, argv, valued, flags, &arguments, err));
    fsfm_settings *settings = malloc(sizeof *settings);
    if (!settings) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for settings");
    fsfm_log_open(&log, is_first ? stderr : NULL);
    fsfm_status st = load(&arguments, settings, &log, err);
    if (st == FSFM_OK) st = make(comm, &arguments, settings, &log, &plan, err);
    fsfm_log_close(&log);
    free(settings);
    if (st != FSFM_OK || !is_first) return st;
    if (fsfm_arguments_has(&arguments, "--json"))
        print_json(&plan);
    else
        print_text(&plan);
    return FSFM_OK;
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
    .usage = "plan CONFIG.yaml [--ranks N] [--samples N] [--json] [key=value ...]",
    .summary = "what a run would take: the shape of its steps, and its memory by part",
    .help =
        "Reads the configuration as pretrain does and says, without running anything: parameters, GFLOP of\n"
        "an image's step, micro-batch and accumulation (train.micro_batch auto as pretrain would resolve "
        "it),\n"
        "steps, samples that an epoch leaves out, peak learning rate, size of a checkpoint, and the memory\n"
        "of a rank by part at the moment when it has most.\n"
        "--ranks N: N ranks, all on a machine like this one, sharing its memory and processors (default 1).\n"
        "--samples N: a training set of N raw faces that need not exist; else data.path is opened.\n"
        "Memory is the resident memory of pretrain on the CPU; on several ranks, shared segments of the MPI\n"
        "library count in each. Time, disk of all checkpoints and GPUs are not in it yet.\n",
    .run = plan_run,
};
