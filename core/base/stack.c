/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/stack.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"

enum { FRAMES_MAX = 48, HANDLER_FRAMES = 2 };

/* Mutable and global, as a signal handler gets nothing else. */
static struct {
    pthread_t thread;
    pid_t id;
    bool is_watched;
    void *frames[FRAMES_MAX];
    atomic_int count; /* of frames; 0: none were taken */
} watched;

static int stack_signal(void)
{
    return SIGRTMIN + 7;
}

static void take_frames(int number)
{
    (void)number;
    atomic_store(&watched.count, backtrace(watched.frames, FRAMES_MAX));
}

void fsfm_stack_watch(void)
{
    struct sigaction action = {.sa_handler = take_frames, .sa_flags = SA_RESTART};
    sigset_t set;
    void *frame;
    (void)!backtrace(&frame, 1); /* loads and allocates, which a handler may not */
    watched.thread = pthread_self();
    watched.id = gettid();
    sigemptyset(&action.sa_mask);
    sigaction(stack_signal(), &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, stack_signal());
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    watched.is_watched = true;
}

void fsfm_stack_unwatch(void)
{
    watched.is_watched = false;
    signal(stack_signal(), SIG_IGN);
}

/* The first line of a file in /proc about the thread that begins with key; "" where there is none. */
static void read_line(const char *name, const char *key, char *out, size_t size_bytes)
{
    char path[64], line[256];
    out[0] = '\0';
    snprintf(path, sizeof path, "/proc/self/task/%ld/%s", (long)watched.id, name);
    FILE *file = fopen(path, "re");
    if (!file) return;
    while (!out[0] && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0) snprintf(out, size_bytes, "%s", line + strlen(key));
    fclose(file);
    out[strcspn(out, "\n")] = '\0';
}

static void describe_kernel(char *out, size_t size_bytes)
{
    char state[64], place[128];
    read_line("status", "State:\t", state, sizeof state);
    read_line("wchan", "", place, sizeof place);
    snprintf(out, size_bytes, "no stack: the thread is in the kernel, state %s%s%s\n", state,
             strcmp(place, "0") != 0 && place[0] ? ", in " : "", strcmp(place, "0") != 0 ? place : "");
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void describe_frames(int count, char *out, size_t size_bytes)
{
    size_t used = 0;
    for (int i = HANDLER_FRAMES; i < count && used < size_bytes; i++) {
        const char *address = watched.frames[i];
        Dl_info info = {0};
        int length = 0;
        if (!dladdr(address, &info) || !info.dli_fname)
            length = snprintf(out + used, size_bytes - used, "#%d %p\n", i - HANDLER_FRAMES,
                              (const void *)address);
        else
            length =
                snprintf(out + used, size_bytes - used, "#%d %s+0x%zx (%s)\n", i - HANDLER_FRAMES,
                         info.dli_sname ? info.dli_sname : "?",
                         (size_t)(address - (const char *)(info.dli_sname ? info.dli_saddr : info.dli_fbase)),
                         last_part(info.dli_fname));
        used += (size_t)length;
    }
}

void fsfm_stack_take(char *out, size_t size_bytes)
{
    const double until_s = fsfm_clock_monotonic_s() + 1.0;
    const struct timespec pause = {0, 10000000};
    int count = 0;
    out[0] = '\0';
    if (!watched.is_watched) return;
    atomic_store(&watched.count, 0);
    pthread_kill(watched.thread, stack_signal());
    while (!(count = atomic_load(&watched.count)) && fsfm_clock_monotonic_s() < until_s)
        nanosleep(&pause, NULL);
    if (count)
        describe_frames(count, out, size_bytes);
    else
        describe_kernel(out, size_bytes);
}
