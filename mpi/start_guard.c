/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/start_guard.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/stack.h"
#include "mpi/heartbeats.h"

#define PERIOD_S 0.25
#define GRACE_S 5.0   /* of a rank that waits for others, for these to speak */
#define FIRST_S 5.0   /* where any may speak rank 0 speaks first: one line will do */
#define LINE_WAIT_S 3 /* for stderr, which may lie on the dead disk */

static void wait_for_change(fsfm_start_guard *guard)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const long nanoseconds = until.tv_nsec + (long)(PERIOD_S * 1e9);
    until.tv_sec += nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    pthread_cond_timedwait(&guard->changed, &guard->lock, &until);
}

/* As the watchdog's: a process that was stopped and goes on has not hung while it did not run. */
static void look(fsfm_start_guard *guard, double passed_s, bool *waits)
{
    const int64_t calls = guard->comm ? fsfm_comm_calls(guard->comm, waits) : 0;
    guard->stalled_s =
        calls != guard->calls ? 0 : guard->stalled_s + (passed_s < 2 * PERIOD_S ? passed_s : 2 * PERIOD_S);
    guard->calls = calls;
}

static bool has_hung(const fsfm_start_guard *guard, bool waits)
{
    const bool is_unclear = waits || !guard->comm; /* while MPI starts nobody knows who waits */
    const double grace_s =
        (waits ? GRACE_S : 0) + (is_unclear && fsfm_comm_launched_rank() != 0 ? FIRST_S : 0);
    return guard->stalled_s >= guard->timeout_s + grace_s;
}

static void *end_anyway(void *context)
{
    const fsfm_start_guard *guard = context;
    sleep(LINE_WAIT_S);
    _exit(guard->code);
}

static void end_process(fsfm_start_guard *guard, bool waits)
{
    pthread_t thread;
    char host[64] = "", *stack = calloc(1, FSFM_STACK_TEXT);
    gethostname(host, sizeof host - 1);
    (void)!pthread_create(&thread, NULL, end_anyway, guard);
    fprintf(stderr,
            "fsfm: rank %d (%s, process %ld) %s at the start, \"%s\". Nothing has gone on for %.0f s "
            "(run.hang_timeout_s)\n",
            fsfm_comm_launched_rank(), host, (long)getpid(), waits ? "waits for other ranks" : "hangs",
            guard->part, guard->timeout_s);
    if (stack) fsfm_stack_take(stack, FSFM_STACK_TEXT);
    fputs(stack ? stack : "", stderr);
    fflush(stderr);
    _exit(guard->code);
}

static void *watch(void *context)
{
    fsfm_start_guard *guard = context;
    sigset_t all;
    sigfillset(&all); /* signals are the training thread's */
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_mutex_lock(&guard->lock);
    while (!guard->is_over) {
        const double began_s = fsfm_clock_monotonic_s();
        bool waits = false;
        wait_for_change(guard);
        look(guard, fsfm_clock_monotonic_s() - began_s, &waits);
        if (!guard->is_over && has_hung(guard, waits)) end_process(guard, waits);
    }
    pthread_mutex_unlock(&guard->lock);
    return NULL;
}

void fsfm_start_guard_begin(fsfm_start_guard *guard, double timeout_s, int code)
{
    pthread_condattr_t monotonic;
    *guard = (fsfm_start_guard){.timeout_s = timeout_s, .code = code, .part = ""};
    if (timeout_s <= 0) return;
    pthread_mutex_init(&guard->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&guard->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    guard->has_thread = pthread_create(&guard->thread, NULL, watch, guard) == 0; /* else as without one */
    fsfm_stack_watch();
}

void fsfm_start_guard_tell(fsfm_start_guard *guard, const char *part, const fsfm_comm *comm)
{
    if (!guard->has_thread) return;
    pthread_mutex_lock(&guard->lock);
    guard->part = part;
    guard->comm = comm;
    guard->stalled_s = 0;
    pthread_mutex_unlock(&guard->lock);
}

void fsfm_start_guard_limit(fsfm_start_guard *guard, double timeout_s)
{
    if (timeout_s <= 0) fsfm_start_guard_end(guard);
    if (!guard->has_thread) return;
    pthread_mutex_lock(&guard->lock);
    guard->timeout_s = timeout_s;
    guard->stalled_s = 0;
    pthread_mutex_unlock(&guard->lock);
}

void fsfm_start_guard_end(fsfm_start_guard *guard)
{
    if (!guard || !guard->has_thread) return;
    pthread_mutex_lock(&guard->lock);
    guard->is_over = true;
    pthread_cond_signal(&guard->changed);
    pthread_mutex_unlock(&guard->lock);
    pthread_join(guard->thread, NULL);
    guard->has_thread = false;
}
