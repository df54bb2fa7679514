/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep/sweep_child.h - a run as a process of its own. */
#ifndef FSFM_JOBS_SWEEP_SWEEP_CHILD_H
#define FSFM_JOBS_SWEEP_SWEEP_CHILD_H

#include <stdbool.h>

#include "core/base/status.h"

/* Runs argv (ended by NULL) to its end, its output appended to the file log. *code: what it exits with, or
 * 128 + N where signal N ended it. Signals that fsfm_stop_signal() sees meanwhile reach it as USR1, which
 * asks runs and launchers alike to save and stop; the fourth ends it. It is told the same when this process
 * dies. has_launcher: a process group of its own, as launchers take Ctrl-C for an order to kill. */
FSFM_MUST_USE
fsfm_status fsfm_child_run(char *const *argv, const char *log, bool has_launcher, int *code, fsfm_error *err);
/* The path of this program; owned. */
FSFM_MUST_USE
fsfm_status fsfm_child_self(char **out, fsfm_error *err);
#endif
