/* SPDX-License-Identifier: Apache-2.0
 * jobs/verify.c - `fsfm verify`: recomputes a golden file through the step that pretrain runs. */
#include <inttypes.h>
#include <string.h>

#include "core/base/thread_pool.h"
#include "jobs/command.h"
#include "jobs/verify/verify_step.h"

static fsfm_status open_device(const fsfm_arguments *arguments, fsfm_log *log, fsfm_device **dev,
                               fsfm_error *err)
{
    const char *device = fsfm_arguments_get(arguments, "--device", "auto");
    const char *precision = fsfm_arguments_get(arguments, "--precision", "fp32");
    fsfm_device_kind kind = FSFM_DEVICE_AUTO;
    int64_t threads;
    char note[160];
    if (strcmp(device, "cpu") == 0)
        kind = FSFM_DEVICE_CPU;
    else if (strcmp(device, "cuda") == 0)
        kind = FSFM_DEVICE_CUDA;
    else if (strcmp(device, "auto") != 0)
        return fsfm_fail(err, FSFM_ERR_ARG, "--device: expected auto, cpu or cuda, found '%s'", device);
    if (strcmp(precision, "fp32") != 0 && strcmp(precision, "bf16") != 0)
        return fsfm_fail(err, FSFM_ERR_ARG, "--precision: expected fp32 or bf16, found '%s'", precision);
    FSFM_TRY(fsfm_arguments_int(arguments, "--threads", fsfm_processors_available(), 1, 1024, &threads, err));
    const fsfm_device_options options = {
        .kind = kind,
        .precision = precision[0] == 'b' ? FSFM_PRECISION_BF16 : FSFM_PRECISION_FP32,
        .threads = (int)threads,
    };
    FSFM_TRY(fsfm_device_open(&options, dev, note, err));
    if (note[0]) fsfm_log_line(log, "%s", note);
    return FSFM_OK;
}

static fsfm_status verify_case(fsfm_verification *v, fsfm_error *err)
{
    FSFM_TRY(fsfm_verify_step(v, err));
    v->is_plain = true;
    FSFM_TRY(fsfm_verify_step(v, err));
    v->is_plain = false;
    return v->golden->trajectory_steps > 0 ? fsfm_verify_trajectory(v, err) : FSFM_OK;
}

static fsfm_status read_records(const fsfm_arguments *arguments, fsfm_records *out, fsfm_error *err)
{
    const char *word = fsfm_arguments_get(arguments, "--cuda-graph", "auto");
    for (int i = 0; fsfm_records_names[i]; i++) {
        if (strcmp(word, fsfm_records_names[i]) != 0) continue;
        *out = (fsfm_records)i;
        return FSFM_OK;
    }
    return fsfm_fail(err, FSFM_ERR_ARG, "--cuda-graph: expected auto, on or off, found '%s'", word);
}

static fsfm_status verify_file(const char *path, fsfm_device *dev, fsfm_records records, fsfm_log *log,
                               fsfm_error *err)
{
    fsfm_golden_file *file = NULL;
    fsfm_golden_case golden = {0};
    fsfm_verification v = {.golden = &golden, .dev = dev, .log = log, .records = records};
    v.tolerances = dev->precision == FSFM_PRECISION_BF16 ? &fsfm_tolerances_bf16 : &fsfm_tolerances_fp32;
    FSFM_TRY(fsfm_golden_open(path, &file, err));
    fsfm_status st = fsfm_golden_case_read(file, &golden, err);
    if (st == FSFM_OK) {
        fsfm_log_line(log, "%s on %s", path, dev->name);
        st = verify_case(&v, err);
    }
    fsfm_golden_case_free(&golden);
    fsfm_golden_close(&file);
    if (st == FSFM_OK && v.failed > 0)
        st = fsfm_fail(err, FSFM_ERR_NUMERIC,
                       "%s: %" PRId64 " groups are beyond their tolerance (see FAIL above)", path, v.failed);
    if (st == FSFM_OK) fsfm_log_line(log, "%s: all groups ok", path);
    return st;
}

static int run(int argc, char **argv, fsfm_error *err)
{
    static const char *const valued[] = {"--device", "--precision", "--threads", "--cuda-graph", NULL};
    static const char *const flags[] = {NULL};
    fsfm_arguments arguments;
    fsfm_device *dev = NULL;
    fsfm_records records = FSFM_RECORDS_AUTO;
    fsfm_log log;
    fsfm_log_open(&log, stdout);
    fsfm_status st = fsfm_arguments_parse(argc, argv, valued, flags, &arguments, err);
    if (st == FSFM_OK && arguments.word_count < 1)
        st = fsfm_fail(err, FSFM_ERR_ARG, "expected a golden file: fsfm %s", fsfm_command_verify.usage);
    if (st == FSFM_OK) st = read_records(&arguments, &records, err);
    if (st == FSFM_OK) st = open_device(&arguments, &log, &dev, err);
    for (int i = 0; st == FSFM_OK && i < arguments.word_count; i++)
        st = verify_file(arguments.words[i], dev, records, &log, err);
    fsfm_device_close(&dev);
    fsfm_log_close(&log);
    return fsfm_exit_code(st);
}

const fsfm_command fsfm_command_verify = {
    .name = "verify",
    .usage = "verify GOLDEN.h5 ... [--device auto|cpu|cuda] [--precision fp32|bf16] [--threads N] "
             "[--cuda-graph auto|on|off]",
    .summary = "recompute golden files and compare losses, outputs, gradients and weights",
    .help =
        "One line a group: worst error, tolerance, ok or FAIL. The step runs twice, the second time without\n"
        "the exact savings, then the optimiser steps of the file's trajectory where it has one.\n"
        "Exit code 1 if anything is beyond its tolerance.",
    .run = run,
};
