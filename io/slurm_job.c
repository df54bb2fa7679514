/* SPDX-License-Identifier: Apache-2.0 */
#include "io/slurm_job.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"

extern char **environ;

/* Starts squeue for job, with both its outputs into the pipe, whose reading end is *out. */
static bool start_squeue(const char *job, pid_t *pid, int *out)
{
    char *const arguments[] = {(char *)"squeue", (char *)"-h", (char *)"-j", (char *)job,
                               (char *)"-o",     (char *)"%T", NULL};
    int ends[2];
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    bool started = posix_spawn_file_actions_init(&actions) == 0;
    if (started) {
        started = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) == 0 &&
                  posix_spawn_file_actions_adddup2(&actions, ends[1], 1) == 0 &&
                  posix_spawn_file_actions_adddup2(&actions, ends[1], 2) == 0 &&
                  posix_spawnp(pid, "squeue", &actions, NULL, arguments, environ) == 0;
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    if (started)
        *out = ends[0];
    else
        close(ends[0]);
    return started;
}

/* Reads until the writers are gone; false when time runs out first. Text that does not fit is dropped. */
static bool read_answer(int in, char *text, size_t room, double timeout_s)
{
    const double end_s = fsfm_clock_monotonic_s() + timeout_s;
    size_t used = 0;
    for (;;) {
        char some[256];
        struct pollfd ready = {.fd = in, .events = POLLIN};
        const double left_s = end_s - fsfm_clock_monotonic_s();
        if (left_s <= 0.0) return false;
        const int n = poll(&ready, 1, (int)(left_s * 1000.0) + 1);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        const ssize_t got = read(in, some, sizeof some);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return false;
        if (got == 0) break;
        const size_t kept = (size_t)got < room - 1 - used ? (size_t)got : room - 1 - used;
        memcpy(text + used, some, kept);
        used += kept;
    }
    text[used] = 0;
    return true;
}

typedef enum { JOB_UNKNOWN, JOB_GONE, JOB_THERE } job_state;

static job_state ask(const char *job, double timeout_s)
{
    char answer[1024] = "";
    pid_t pid = 0;
    int out = -1, state = 0;
    if (!job[0] || !start_squeue(job, &pid, &out)) return JOB_UNKNOWN;
    const bool answered = read_answer(out, answer, sizeof answer, timeout_s);
    close(out);
    if (!answered) kill(pid, SIGKILL);
    while (waitpid(pid, &state, 0) < 0 && errno == EINTR) {}
    if (!answered || !WIFEXITED(state)) return JOB_UNKNOWN;
    /* A job that ended a while ago is unknown to SLURM, which is an error to squeue; one that just ended is
     * an empty list. */
    if (WEXITSTATUS(state) == 0) return answer[strspn(answer, " \t\n")] == 0 ? JOB_GONE : JOB_THERE;
    return strstr(answer, "Invalid job id") ? JOB_GONE : JOB_UNKNOWN;
}

bool fsfm_slurm_job_is_gone(const char *job, double timeout_s)
{
    return ask(job, timeout_s) == JOB_GONE;
}

bool fsfm_slurm_job_is_there(const char *job, double timeout_s)
{
    return ask(job, timeout_s) == JOB_THERE;
}
