/* SPDX-License-Identifier: Apache-2.0
 * jobs/bench/bench.h - the parts of `fsfm bench`. Each gets the arguments behind its name and prints what it
 * measured; FSFM_ERR_ARG is wrong usage. */
#ifndef FSFM_JOBS_BENCH_BENCH_H
#define FSFM_JOBS_BENCH_BENCH_H

#include "core/base/status.h"
#include "mpi/step_bench.h"

FSFM_MUST_USE
fsfm_status fsfm_bench_step(int argc, char **argv, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_bench_reader(int argc, char **argv, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_bench_allreduce(int argc, char **argv, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_bench_checkpoint(int argc, char **argv, fsfm_error *err);

/* Writes a checkpoint of the preset's size in a folder of dir (NULL: TMPDIR, else /tmp) once: megabytes a
 * second, with all that makes it safe. */
FSFM_MUST_USE
fsfm_status fsfm_bench_checkpoint_rate(const char *preset, const char *dir, double *mb_s, fsfm_error *err);
/* bench_machine.c: --write-machine. Adds what a step with a profile (steps of step_s seconds in the median)
 * and a checkpoint reached to the file at path. */
FSFM_MUST_USE
fsfm_status fsfm_bench_write_machine(const char *path, const char *preset, const fsfm_step_bench *seen,
                                     int64_t steps, double step_s, fsfm_error *err);
#endif
