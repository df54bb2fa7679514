/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sweep/sweep_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mpi/stop.h"

enum { PATH_BYTES = 4096, IMPATIENT = 4, CANNOT_START = 127 };

static const struct timespec look_again = {0, 50 * 1000 * 1000};

fsfm_status fsfm_child_self(char **out, fsfm_error *err)
{
    char path[PATH_BYTES];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    *out = NULL;
    if (n < 0) return fsfm_fail(err, FSFM_ERR_IO, "/proc/self/exe: cannot be read: %s", strerror(errno));
    path[n] = '\0';
    *out = strdup(path);
    return *out ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a path");
}

/* In the new process, which has one thread only; never returns. */
static void become(char *const *argv, int log_fd, bool has_launcher, pid_t parent, const char *excuse)
{
    sigset_t none;
    const int null_fd = open("/dev/null", O_RDONLY);
    sigemptyset(&none);
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    if (has_launcher) setpgid(0, 0);
    if (getppid() == parent && null_fd >= 0 && dup2(null_fd, 0) >= 0 && dup2(log_fd, 1) >= 0 &&
        dup2(log_fd, 2) >= 0) {
        sigprocmask(SIG_SETMASK, &none, NULL);
        execvp(argv[0], argv);
    }
    if (write(log_fd, excuse, strlen(excuse)) < 0) _exit(CANNOT_START);
    _exit(CANNOT_START);
}

static int code_of(int state)
{
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

/* A launcher ends its processes at TERM; a run takes that for one more request. */
static void pass_on(pid_t pid, int number, bool has_launcher)
{
    if (number < IMPATIENT)
        kill(pid, SIGUSR1);
    else
        kill(pid, has_launcher ? SIGTERM : SIGKILL);
}

static fsfm_status wait_for(pid_t pid, bool has_launcher, int *code, fsfm_error *err)
{
    int state = 0, passed_on = 0;
    for (;;) {
        const pid_t got = waitpid(pid, &state, WNOHANG);
        if (got == pid) break;
        if (got < 0 && errno != EINTR)
            return fsfm_fail(err, FSFM_ERR_IO, "a run's process cannot be waited for: %s", strerror(errno));
        for (; passed_on < fsfm_stop_signal_count(); passed_on++) pass_on(pid, passed_on + 1, has_launcher);
        nanosleep(&look_again, NULL);
    }
    *code = code_of(state);
    return FSFM_OK;
}

fsfm_status fsfm_child_run(char *const *argv, const char *log, bool has_launcher, int *code, fsfm_error *err)
{
    char excuse[PATH_BYTES];
    const pid_t parent = getpid();
    *code = CANNOT_START;
    const int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log_fd < 0) return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot be opened: %s", log, strerror(errno));
    snprintf(excuse, sizeof excuse, "fsfm: %.1000s: cannot be started\n", argv[0]);
    const pid_t pid = fork();
    if (pid == 0) become(argv, log_fd, has_launcher, parent, excuse);
    const int reason = errno;
    close(log_fd);
    if (pid < 0)
        return fsfm_fail(err, FSFM_ERR_IO, "a run's process cannot be started: %s", strerror(reason));
    return wait_for(pid, has_launcher, code, err);
}
