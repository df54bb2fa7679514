/* SPDX-License-Identifier: Apache-2.0
 * core/base/log.h - what a person reads while a command runs: lines, and a bar that renews itself on a
 * terminal. */
#ifndef FSFM_CORE_BASE_LOG_H
#define FSFM_CORE_BASE_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A log with out NULL says nothing: ranks other than 0 have such a one. May be used from several threads. */
typedef struct {
    FILE *out; /* borrowed */
    bool is_terminal;
    bool bar_shown; /* the cursor stands behind a bar */
    pthread_mutex_t lock;
} fsfm_log;

void fsfm_log_open(fsfm_log *log, FILE *out); /* out may be NULL */
/* One line; a newline is added. A bar on the terminal moves below it. */
void fsfm_log_line(fsfm_log *log, const char *fmt, ...) FSFM_PRINTF(2, 3);
/* On a terminal: replaces the bar by "[####    ] text", share in [0, 1]. Elsewhere: nothing. */
void fsfm_log_bar(fsfm_log *log, double share, const char *fmt, ...) FSFM_PRINTF(3, 4);
/* Ends the bar's line, if there is one. */
void fsfm_log_close(fsfm_log *log);

/* "1:02:03", "4 min 10 s", "12 s": a duration for people; returns out (at least 32 bytes). */
const char *fsfm_log_duration(double seconds, char *out);

#ifdef __cplusplus
}
#endif
#endif
