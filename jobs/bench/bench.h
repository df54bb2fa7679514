/* SPDX-License-Identifier: Apache-2.0
 * jobs/bench/bench.h - the parts of `fsfm bench`. Each gets the arguments behind its name and prints what it
 * measured; FSFM_ERR_ARG is wrong usage. */
#ifndef FSFM_JOBS_BENCH_BENCH_H
#define FSFM_JOBS_BENCH_BENCH_H

#include "core/base/status.h"

FSFM_MUST_USE
fsfm_status fsfm_bench_step(int argc, char **argv, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_bench_reader(int argc, char **argv, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_bench_allreduce(int argc, char **argv, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_bench_checkpoint(int argc, char **argv, fsfm_error *err);
#endif
