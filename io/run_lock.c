/* SPDX-License-Identifier: Apache-2.0
 * A candidate writes its line into a file of its own and gives that file the name of the lock: by link()
 * where there is no lock, which fails where there is one; by rename() over a stale one, for which it first
 * creates "the mark" of that lock, a file named by its token, which only one candidate can create. Ages are
 * differences of file times in one folder, so the clocks of the machines do not matter. */
#include "io/run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "io/lock_holder.h"

enum { PATH_BYTES = 4096 };

struct fsfm_run_lock {
    char folder[PATH_BYTES - 64], path[PATH_BYTES], candidate[PATH_BYTES];
    int fd; /* of our file, whatever its name */
    fsfm_lock_holder self;
    fsfm_run_lock_timing timing;
    atomic_bool is_lost;
    pthread_t thread;
    bool has_thread, should_stop; /* should_stop: under mutex */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
};

/* A lock that somebody holds. */
typedef struct {
    bool exists, is_readable;
    double age_s; /* since it was renewed */
    fsfm_lock_holder holder;
} found_lock;

static double seconds(struct timespec t)
{
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void sleep_s(double time_s)
{
    struct timespec t = {.tv_sec = (time_t)time_s};
    t.tv_nsec = (long)((time_s - (double)t.tv_sec) * 1e9);
    nanosleep(&t, NULL);
}

static fsfm_status fail_system(const fsfm_run_lock *lock, const char *what, fsfm_error *err)
{
    return fsfm_fail(err, FSFM_ERR_IO, "run directory %s: %s: %s", lock->folder, what, strerror(errno));
}

static bool write_line(const fsfm_run_lock *lock, int fd)
{
    char line[FSFM_LOCK_LINE_BYTES];
    const size_t size_bytes = fsfm_lock_holder_write(&lock->self, line);
    const ssize_t n = size_bytes ? pwrite(fd, line, size_bytes, 0) : -1;
    if (n >= 0 && (size_t)n != size_bytes) errno = ENOSPC;
    return size_bytes > 0 && n == (ssize_t)size_bytes && fsync(fd) == 0;
}

/* Seconds since the file was changed, by the clock that dates our own file too. */
static bool measure_age(const fsfm_run_lock *lock, int fd, double *age_s)
{
    struct stat ours, theirs;
    if (futimens(lock->fd, NULL) != 0 || fstat(lock->fd, &ours) != 0 || fstat(fd, &theirs) != 0) return false;
    *age_s = seconds(ours.st_mtim) - seconds(theirs.st_mtim);
    return true;
}

/* Opened anew each time: over NFS that is what brings the true age. */
static fsfm_status look(const fsfm_run_lock *lock, found_lock *out, fsfm_error *err)
{
    char line[FSFM_LOCK_LINE_BYTES];
    fsfm_status st = FSFM_OK;
    memset(out, 0, sizeof *out);
    const int fd = open(lock->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? FSFM_OK : fail_system(lock, "cannot read its lock", err);
    const ssize_t n = pread(fd, line, sizeof line, 0);
    if (n < 0 || !measure_age(lock, fd, &out->age_s)) st = fail_system(lock, "cannot read its lock", err);
    close(fd);
    out->exists = true;
    out->is_readable = n > 0 && fsfm_lock_holder_read(line, (size_t)n, &out->holder);
    if (!out->is_readable) snprintf(out->holder.token, sizeof out->holder.token, "unreadable");
    return st;
}

static bool is_stale(const fsfm_run_lock *lock, const found_lock *found)
{
    if (found->age_s >= lock->timing.stale_s) return true;
    return found->is_readable && fsfm_lock_holder_is_gone(&found->holder, &lock->self, NULL);
}

/* Whether the lock at path is our file. */
static bool is_ours(const fsfm_run_lock *lock)
{
    struct stat ours, named;
    return fstat(lock->fd, &ours) == 0 && stat(lock->path, &named) == 0 && ours.st_ino == named.st_ino &&
           ours.st_dev == named.st_dev;
}

static void mark_path(const fsfm_run_lock *lock, const char *token, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%s/.lock-%s", lock->folder, token);
}

/* Makes the mark of the lock with this token, which lets one process alone replace or remove that lock.
 * EEXIST: another has it; a mark that a dead process left behind is removed, for the next try. 0 or an errno.
 */
static int make_mark(const fsfm_run_lock *lock, const char *token)
{
    char path[PATH_BYTES];
    double age_s = 0.0;
    mark_path(lock, token, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    const int reason = errno;
    if (reason == EEXIST && (fd = open(path, O_RDONLY | O_CLOEXEC)) >= 0) {
        if (measure_age(lock, fd, &age_s) && age_s >= lock->timing.stale_s) unlink(path);
        close(fd);
    }
    return reason;
}

static void remove_mark(const fsfm_run_lock *lock, const char *token)
{
    char path[PATH_BYTES];
    mark_path(lock, token, path);
    unlink(path);
}

/* Where there is no lock: true if we have it now. Not every file system has links. */
static bool claim_free(fsfm_run_lock *lock)
{
    struct stat ours;
    if (link(lock->candidate, lock->path) == 0) return true;
    const int reason = errno;
    /* Over NFS the answer of a link that was made can be lost, and asking again then gives EEXIST. */
    if (fstat(lock->fd, &ours) == 0 && ours.st_nlink == 2 && is_ours(lock)) return true;
    if (reason != EPERM && reason != EOPNOTSUPP && reason != ENOSYS) return false;
    const int fd = open(lock->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    if (!write_line(lock, fd)) {
        unlink(lock->path);
        close(fd);
        return false;
    }
    close(lock->fd);
    lock->fd = fd;
    return true;
}

/* Over a stale one. It is looked at again under its mark: it may be another's by now, or its holder may have
 * woken. */
static fsfm_status claim_stale(fsfm_run_lock *lock, const found_lock *stale, bool *taken, fsfm_error *err)
{
    found_lock now;
    const char *token = stale->holder.token;
    *taken = false;
    const int reason = make_mark(lock, token);
    if (reason == EEXIST) return FSFM_OK;
    if (reason != 0) {
        errno = reason;
        return fail_system(lock, "cannot take over its lock", err);
    }
    fsfm_status st = look(lock, &now, err);
    const bool was_silent = stale->age_s >= lock->timing.stale_s;
    if (st == FSFM_OK && now.exists && strcmp(now.holder.token, token) == 0 &&
        (!was_silent || now.age_s >= lock->timing.stale_s)) {
        if (rename(lock->candidate, lock->path) != 0)
            st = fail_system(lock, "cannot take over its lock", err);
        else
            *taken = is_ours(lock);
    }
    remove_mark(lock, token);
    return st;
}

static fsfm_status fail_in_use(const fsfm_run_lock *lock, const found_lock *found, fsfm_error *err)
{
    const fsfm_lock_holder *h = &found->holder;
    const long age_s = found->age_s > 0.0 ? (long)(found->age_s + 0.5) : 0;
    if (!found->is_readable)
        return fsfm_fail(
            err, FSFM_ERR_IO,
            "run directory %s is in use by somebody whose lock cannot be read, renewed %ld s ago; wait %.0f "
            "s or choose another run.dir",
            lock->folder, age_s, lock->timing.stale_s);
    return fsfm_fail(
        err, FSFM_ERR_IO,
        "run directory %s is in use by host %s, pid %lld%s%s%s, renewed %ld s ago; wait for it or choose "
        "another run.dir",
        lock->folder, h->host, (long long)h->pid, h->job[0] ? " (job " : "", h->job, h->job[0] ? ")" : "",
        age_s);
}

static fsfm_status claim(fsfm_run_lock *lock, fsfm_error *err)
{
    const double end_s = fsfm_clock_monotonic_s() + lock->timing.grace_s;
    for (;;) {
        found_lock found;
        FSFM_TRY(look(lock, &found, err));
        if (!found.exists) {
            if (claim_free(lock)) return FSFM_OK;
            if (errno != EEXIST && errno != ENOENT) return fail_system(lock, "cannot make its lock", err);
        } else if (is_stale(lock, &found)) {
            bool taken = false;
            FSFM_TRY(claim_stale(lock, &found, &taken, err));
            if (taken) return FSFM_OK;
        } else if (!found.is_readable || !fsfm_lock_holder_is_here(&found.holder, &lock->self) ||
                   fsfm_clock_monotonic_s() >= end_s)
            return fail_in_use(lock, &found, err);
        sleep_s(0.02);
    }
}

/* A folder that cannot be looked at now is no sign that another has the lock. */
static bool is_others(const fsfm_run_lock *lock)
{
    struct stat ours, named;
    if (fstat(lock->fd, &ours) != 0) return false;
    if (stat(lock->path, &named) != 0) return errno == ENOENT;
    return ours.st_ino != named.st_ino || ours.st_dev != named.st_dev;
}

static void renew(fsfm_run_lock *lock)
{
    if (is_others(lock))
        atomic_store(&lock->is_lost, true);
    else if (!write_line(lock, lock->fd))
        futimens(lock->fd, NULL); /* a full disk may refuse the line; the time of the file is what counts */
}

static void *renew_regularly(void *argument)
{
    fsfm_run_lock *lock = argument;
    pthread_mutex_lock(&lock->mutex);
    while (!lock->should_stop && !atomic_load(&lock->is_lost)) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        const double at_s = seconds(until) + lock->timing.renew_s;
        until.tv_sec = (time_t)at_s;
        until.tv_nsec = (long)((at_s - (double)until.tv_sec) * 1e9);
        int reason = 0;
        while (!lock->should_stop && reason != ETIMEDOUT)
            reason = pthread_cond_timedwait(&lock->wake, &lock->mutex, &until);
        if (lock->should_stop) break;
        pthread_mutex_unlock(&lock->mutex);
        renew(lock);
        pthread_mutex_lock(&lock->mutex);
    }
    pthread_mutex_unlock(&lock->mutex);
    return NULL;
}

/* Signals go to the threads that expect them. */
static fsfm_status start_thread(fsfm_run_lock *lock, fsfm_error *err)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    const int reason = pthread_create(&lock->thread, NULL, renew_regularly, lock);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    lock->has_thread = reason == 0;
    if (reason == 0) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_IO, "run directory %s: cannot start a thread: %s", lock->folder,
                     strerror(reason));
}

static void init_waiting(fsfm_run_lock *lock)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&lock->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&lock->wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

fsfm_status fsfm_run_lock_take(const char *folder, const fsfm_run_lock_timing *timing, fsfm_run_lock **out,
                               fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    *out = NULL;
    fsfm_run_lock *lock = calloc(1, sizeof *lock);
    if (!lock) return fsfm_fail(err, FSFM_ERR_MEMORY, "run directory %s: no memory for its lock", folder);
    init_waiting(lock);
    lock->timing = *timing;
    fsfm_lock_holder_self(&lock->self);
    const int length = snprintf(lock->folder, sizeof lock->folder, "%s", folder);
    snprintf(lock->path, sizeof lock->path, "%s/lock", lock->folder);
    snprintf(lock->candidate, sizeof lock->candidate, "%s/.lock-new-%s", lock->folder, lock->self.token);
    lock->fd = -1;
    if (length >= (int)sizeof lock->folder)
        st = fsfm_fail(err, FSFM_ERR_ARG, "run directory %.200s...: the path is too long", folder);
    else if ((lock->fd = open(lock->candidate, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) < 0 ||
             !write_line(lock, lock->fd))
        st = fail_system(lock, "cannot be written", err);
    if (st == FSFM_OK) st = claim(lock, err);
    if (lock->fd >= 0) unlink(lock->candidate);
    const bool taken = st == FSFM_OK;
    if (taken) st = start_thread(lock, err);
    if (st != FSFM_OK && !taken && lock->fd >= 0) {
        close(lock->fd);
        lock->fd = -1; /* nothing to give back */
    }
    if (st == FSFM_OK)
        *out = lock;
    else
        fsfm_run_lock_release(&lock);
    return st;
}

bool fsfm_run_lock_is_lost(fsfm_run_lock *lock)
{
    return atomic_load(&lock->is_lost);
}

bool fsfm_run_lock_look(fsfm_run_lock *lock)
{
    if (is_others(lock)) atomic_store(&lock->is_lost, true);
    return fsfm_run_lock_is_lost(lock);
}

/* Under its mark, as somebody may be taking it over at this moment. */
void fsfm_run_lock_release(fsfm_run_lock **lock)
{
    fsfm_run_lock *l = *lock;
    if (!l) return;
    if (l->has_thread) {
        pthread_mutex_lock(&l->mutex);
        l->should_stop = true;
        pthread_cond_signal(&l->wake);
        pthread_mutex_unlock(&l->mutex);
        pthread_join(l->thread, NULL);
    }
    if (l->fd >= 0 && make_mark(l, l->self.token) == 0) {
        if (is_ours(l)) unlink(l->path);
        remove_mark(l, l->self.token);
    }
    if (l->fd >= 0) close(l->fd);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->mutex);
    free(l);
    *lock = NULL;
}

/* The line in the lock of folder; its length, or less than 1. False: there is no lock. */
static bool read_line(const char *folder, char line[FSFM_LOCK_LINE_BYTES], ssize_t *size_bytes,
                      double *renewed_s)
{
    char path[PATH_BYTES];
    struct stat info;
    if (snprintf(path, sizeof path, "%s/lock", folder) >= (int)sizeof path) return false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    *size_bytes = pread(fd, line, FSFM_LOCK_LINE_BYTES, 0);
    const bool has_age = fstat(fd, &info) == 0;
    close(fd);
    if (has_age) *renewed_s = seconds(info.st_mtim);
    return has_age;
}

bool fsfm_run_lock_is_held(const char *folder, double stale_s, char holder[384])
{
    return fsfm_run_lock_is_held_given(folder, stale_s, NULL, holder);
}

bool fsfm_run_lock_is_held_given(const char *folder, double stale_s, const fsfm_slurm_queue *queue,
                                 char holder[384])
{
    char line[FSFM_LOCK_LINE_BYTES];
    double renewed_s = 0.0;
    ssize_t n = 0;
    fsfm_lock_holder self, found;
    holder[0] = '\0';
    if (!read_line(folder, line, &n, &renewed_s) || fsfm_clock_unix_s() - renewed_s >= stale_s) return false;
    if (n <= 0 || !fsfm_lock_holder_read(line, (size_t)n, &found)) {
        snprintf(holder, 384, "somebody whose lock cannot be read");
        return true;
    }
    fsfm_lock_holder_self(&self);
    if (fsfm_lock_holder_is_gone(&found, &self, queue)) return false;
    snprintf(holder, 384, "host %s, pid %lld%s%s%s", found.host, (long long)found.pid,
             found.job[0] ? " (job " : "", found.job, found.job[0] ? ")" : "");
    return true;
}

void fsfm_run_lock_job(const char *folder, char job[64])
{
    char line[FSFM_LOCK_LINE_BYTES];
    double renewed_s = 0.0;
    ssize_t n = 0;
    fsfm_lock_holder found = {.job = ""};
    if (read_line(folder, line, &n, &renewed_s) && n > 0 && !fsfm_lock_holder_read(line, (size_t)n, &found))
        found.job[0] = '\0';
    snprintf(job, 64, "%s", found.job);
}
