/* SPDX-License-Identifier: Apache-2.0 */
#include "io/lock_holder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "io/json_scan.h"

#define SQUEUE_TIMEOUT_S 10.0

/* The beginning of a small file, without its last newline; "" if there is none. */
static void read_start(const char *path, char *out, size_t room)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, out, room - 1) : 0;
    if (fd >= 0) close(fd);
    out[n > 0 ? n : 0] = 0;
    out[strcspn(out, "\n")] = 0;
}

/* Start of a process in ticks after boot; -1: there is none, or it has ended and waits for its parent. */
static int64_t process_start(int64_t pid)
{
    char path[64], text[1024], state = 0;
    long long start = -1;
    snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    read_start(path, text, sizeof text);
    /* The program's name stands in parentheses and may contain any: what follows the last one counts. */
    const char *rest = strrchr(text, ')');
    if (!rest ||
        sscanf(rest, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lld",
               &state, &start) != 2)
        return -1;
    return state == 'Z' || state == 'X' ? -1 : start;
}

static void copy_environment(const char *name, char *out, size_t room)
{
    const char *value = getenv(name);
    snprintf(out, room, "%s", value ? value : "");
    /* Anything else would need escapes in JSON. */
    out[strspn(out, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.+[]-")] = 0;
}

void fsfm_lock_holder_self(fsfm_lock_holder *out)
{
    struct stat space;
    struct timespec now = {0};
    char restarts[24];
    memset(out, 0, sizeof *out);
    if (gethostname(out->host, sizeof out->host - 1) != 0) snprintf(out->host, sizeof out->host, "unknown");
    read_start("/proc/sys/kernel/random/boot_id", out->boot, sizeof out->boot);
    if (stat("/proc/self/ns/pid", &space) == 0) out->pid_space = (int64_t)space.st_ino;
    out->pid = getpid();
    out->pid_start = process_start(out->pid);
    copy_environment("SLURM_JOB_ID", out->job, sizeof out->job);
    copy_environment("SLURM_RESTART_COUNT", restarts, sizeof restarts);
    out->job_restart = atoll(restarts);
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t moment = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    snprintf(out->token, sizeof out->token, "%016" PRIx64, XXH3_64bits_withSeed(out, sizeof *out, moment));
}

size_t fsfm_lock_holder_write(const fsfm_lock_holder *holder, char line[FSFM_LOCK_LINE_BYTES])
{
    fsfm_json json = {.stream = fmemopen(line, FSFM_LOCK_LINE_BYTES, "w"), .needs_comma = false};
    if (!json.stream) return 0;
    fsfm_json_object_begin(&json, NULL);
    fsfm_json_text(&json, "host", holder->host);
    fsfm_json_int(&json, "pid", holder->pid);
    fsfm_json_text(&json, "job", holder->job[0] ? holder->job : NULL);
    fsfm_json_int(&json, "job_restart", holder->job_restart);
    fsfm_json_int(&json, "renewed", (int64_t)fsfm_clock_unix_s());
    fsfm_json_text(&json, "boot", holder->boot);
    fsfm_json_int(&json, "pid_space", holder->pid_space);
    fsfm_json_int(&json, "pid_start", holder->pid_start);
    fsfm_json_text(&json, "token", holder->token);
    fsfm_json_object_end(&json);
    fputc('\n', json.stream);
    const bool fits = fflush(json.stream) == 0;
    const long size_bytes = ftell(json.stream);
    fclose(json.stream);
    return fits && size_bytes > 0 ? (size_t)size_bytes : 0;
}

bool fsfm_lock_holder_read(const char *bytes, size_t size_bytes, fsfm_lock_holder *out)
{
    memset(out, 0, sizeof *out);
    if (!fsfm_json_find_text(bytes, size_bytes, "job", out->job, sizeof out->job)) out->job[0] = 0;
    return fsfm_json_find_text(bytes, size_bytes, "token", out->token, sizeof out->token) &&
           fsfm_json_find_text(bytes, size_bytes, "host", out->host, sizeof out->host) &&
           fsfm_json_find_text(bytes, size_bytes, "boot", out->boot, sizeof out->boot) &&
           fsfm_json_find_int(bytes, size_bytes, "pid_space", &out->pid_space) &&
           fsfm_json_find_int(bytes, size_bytes, "pid", &out->pid) &&
           fsfm_json_find_int(bytes, size_bytes, "pid_start", &out->pid_start) &&
           fsfm_json_find_int(bytes, size_bytes, "job_restart", &out->job_restart) &&
           out->token[strspn(out->token, "0123456789abcdef")] == 0;
}

bool fsfm_lock_holder_is_here(const fsfm_lock_holder *holder, const fsfm_lock_holder *self)
{
    return strcmp(holder->host, self->host) == 0 && strcmp(holder->boot, self->boot) == 0 &&
           holder->pid_space == self->pid_space;
}

bool fsfm_lock_holder_is_gone(const fsfm_lock_holder *holder, const fsfm_lock_holder *self,
                              const fsfm_slurm_queue *queue)
{
    if (fsfm_lock_holder_is_here(holder, self)) {
        /* A process of somebody else may be hidden in /proc, but it is there. */
        if (kill((pid_t)holder->pid, 0) != 0) return errno == ESRCH;
        const int64_t start = process_start(holder->pid);
        /* Where /proc cannot be read, self has no start either. */
        return self->pid_start >= 0 && holder->pid_start >= 0 && start != holder->pid_start;
    }
    if (!holder->job[0]) return false;
    if (strcmp(holder->job, self->job) == 0) return holder->job_restart < self->job_restart;
    if (queue) return fsfm_slurm_queue_find(queue, holder->job) == FSFM_SLURM_GONE;
    return fsfm_slurm_job_is_gone(holder->job, SQUEUE_TIMEOUT_S);
}
