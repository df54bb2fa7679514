/* SPDX-License-Identifier: Apache-2.0
 * jobs/bench.c - `fsfm bench`: measures the parts of a run, each beside what the machine gives at best. */
#include <string.h>

#include "jobs/bench/bench.h"
#include "jobs/command.h"
#include "jobs/nearest.h"

static const struct {
    const char *name;
    fsfm_status (*run)(int argc, char **argv, fsfm_error *err);
} parts[] = {
    {"step", fsfm_bench_step},
    {"reader", fsfm_bench_reader},
    {"allreduce", fsfm_bench_allreduce},
    {"checkpoint", fsfm_bench_checkpoint},
};
enum { PARTS = sizeof parts / sizeof *parts };

static int run(int argc, char **argv, fsfm_error *err)
{
    const char *names[PARTS + 1] = {NULL};
    for (int i = 0; i < PARTS; i++) {
        names[i] = parts[i].name;
        if (argc > 0 && strcmp(argv[0], names[i]) == 0)
            return fsfm_exit_code(parts[i].run(argc - 1, argv + 1, err));
    }
    if (argc < 1)
        fsfm_fail(err, FSFM_ERR_ARG, "bench: expected step, reader, allreduce or checkpoint, found nothing");
    else
        fsfm_fail(err, FSFM_ERR_ARG, "bench: %.60s: unknown part; nearest known part: %s", argv[0],
                  fsfm_nearest_word(argv[0], names));
    return FSFM_EXIT_USAGE;
}

const fsfm_command fsfm_command_bench = {
    .name = "bench",
    .usage = "bench step|reader|allreduce|checkpoint [options] [--json]",
    .summary = "measure steps, reading, the sum over ranks and checkpoints on this machine",
    .help =
        "step [--preset P] [--batch B] [--precision fp32|bf16] [--steps N] [--micro-batch N] [--threads T]\n"
        "     [--recompute none|gelu|block|auto] [--profile] [--write-machine FILE]\n"
        "  Whole optimiser steps as pretrain does them, on random images: images/s (best and median of N = "
        "5\n"
        "  steps after 2), GFLOP/s by the products that the exact savings leave, the share of the products'\n"
        "  peak (oneDNN's best rate over the step's five largest shapes, measured in the same run), "
        "resident\n"
        "  memory. B (16) images a step over all ranks: under mpirun the figures are those of all ranks\n"
        "  together. --profile: time, GFLOP/s, GB/s and share of the roof of every operation. "
        "--write-machine:\n"
        "  adds what was reached, and a checkpoint's rate, to FILE for `fsfm plan`, which looks for\n"
        "  configs/machines/local.yaml; one entry for each preset, precision, ranks and threads.\n"
        "reader DATASET [--threads T] [--order random|sequential]\n"
        "  Images/s of the reader, and of bare pread of the same bytes. file_opens in --json: how many "
        "shards\n"
        "  were opened for it, each when its first sample was asked for.\n"
        "allreduce [--mib A,B,...] [--preset P] [--reduction fast|exact] [--bucket-mib N] [--out PNG]\n"
        "  Time and bus bandwidth of the sum of gradients against its size, from 4 KiB to 256 MiB and at "
        "what P\n"
        "  has; under mpirun or srun. --out: the curve as a picture.\n"
        "checkpoint [--preset P] [--dir DIR] [--runs N]\n"
        "  Writes, verifies and reads a checkpoint of the preset's size in a temporary folder of DIR.\n"
        "Every part takes --json. Measure on an idle machine.\n",
    .run = run,
};
