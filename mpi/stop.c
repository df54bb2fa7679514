/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/stop.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"

static const int signals[] = {SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGINT};
enum { SIGNALS = sizeof signals / sizeof signals[0] };

/* What was taken off the queue so far; the one mutable global. */
static int first_signal, signal_count;

static bool is_ignored(int number)
{
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static sigset_t caught_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < SIGNALS; i++)
        if (signals[i] != SIGHUP || !is_ignored(SIGHUP)) sigaddset(&set, signals[i]); /* nohup means it */
    return set;
}

/* No handler: the system would call it on the stack of a thread that computes, where a library may
 * keep data below the stack pointer (generated kernels do: runs crashed). Blocked signals wait until somebody
 * looks. */
void fsfm_stop_catch_signals(void)
{
    const sigset_t set = caught_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void take_waiting(void)
{
    const sigset_t set = caught_signals();
    const struct timespec at_once = {0, 0};
    for (int number = 0; (number = sigtimedwait(&set, NULL, &at_once)) > 0 || errno == EINTR;) {
        if (number < 0) continue;
        if (!first_signal) first_signal = number;
        signal_count++;
    }
}

void fsfm_stop_release_signals(void)
{
    const sigset_t set = caught_signals();
    take_waiting();
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    first_signal = signal_count = 0;
}

int fsfm_stop_signal(void)
{
    take_waiting();
    return first_signal;
}

int fsfm_stop_signal_count(void)
{
    take_waiting();
    return signal_count;
}

static double seconds_of(const char *variable)
{
    const char *text = getenv(variable);
    char *end = NULL;
    double value = 0;
    if (!text || !text[0]) return 0;
    value = strtod(text, &end);
    return *end || !isfinite(value) || value < 0 ? 0 : value;
}

void fsfm_stop_open(fsfm_stop *stop, const char *folder)
{
    memset(stop, 0, sizeof *stop);
    stop->looked_s = -INFINITY;
    stop->end_unix_s = seconds_of("FSFM_END_TIME");
    if (stop->end_unix_s <= 0) stop->end_unix_s = seconds_of("SLURM_JOB_END_TIME");
    if (folder && snprintf(stop->file, sizeof stop->file, "%s/STOP", folder) >= (int)sizeof stop->file)
        stop->file[0] = 0;
}

fsfm_stop_reason fsfm_stop_asked(fsfm_stop *stop, double reserve_s)
{
    const double now_s = fsfm_clock_monotonic_s();
    if (fsfm_stop_signal()) return FSFM_STOP_SIGNAL;
    if (stop->file[0] && now_s - stop->looked_s >= 1.0) {
        stop->looked_s = now_s;
        stop->file_seen = access(stop->file, F_OK) == 0;
    }
    if (stop->file_seen) return FSFM_STOP_FILE;
    if (stop->end_unix_s > 0 && stop->end_unix_s - fsfm_clock_unix_s() < reserve_s) return FSFM_STOP_TIME;
    return FSFM_STOP_NO;
}

const char *fsfm_stop_describe(fsfm_stop_reason reason, int number)
{
    switch (reason) {
    case FSFM_STOP_NO: return "nothing";
    case FSFM_STOP_TIME: return "the time limit";
    case FSFM_STOP_FILE: return "the file STOP";
    case FSFM_STOP_SIGNAL: break;
    }
    switch (number) {
    case SIGTERM: return "signal TERM";
    case SIGUSR1: return "signal USR1";
    case SIGUSR2: return "signal USR2";
    case SIGHUP: return "signal HUP";
    case SIGINT: return "signal INT";
    default: return "a signal to another rank";
    }
}

void fsfm_stop_remove_file(fsfm_stop *stop)
{
    if (stop->file[0] && stop->file_seen) unlink(stop->file);
}
