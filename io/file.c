/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, NAME_TRIES = 64 };

static fsfm_status fail_errno(fsfm_error *err, const char *path, const char *what)
{
    const int code = errno;
    return fsfm_fail(err, code == ENOMEM ? FSFM_ERR_MEMORY : FSFM_ERR_IO, "%s: %s: %s", path, what,
                     strerror(code));
}

static fsfm_status read_whole(int file, const char *path, uint8_t *bytes, size_t size_bytes, fsfm_error *err)
{
    for (size_t done = 0; done < size_bytes;) {
        const ssize_t got = read(file, bytes + done, size_bytes - done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(err, path, "cannot be read");
        if (got == 0)
            return fsfm_fail(err, FSFM_ERR_IO, "%s: ended after %zu of %zu bytes while being read", path,
                             done, size_bytes);
        done += (size_t)got;
    }
    return FSFM_OK;
}

fsfm_status fsfm_file_read(const char *path, uint8_t **bytes, size_t *size_bytes, fsfm_error *err)
{
    *bytes = NULL;
    *size_bytes = 0;
    fsfm_status st = FSFM_OK;
    struct stat info;
    uint8_t *content = NULL;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return fail_errno(err, path, "cannot be opened");
    if (fstat(file, &info) != 0)
        st = fail_errno(err, path, "cannot be examined");
    else if (!S_ISREG(info.st_mode))
        st = fsfm_fail(err, FSFM_ERR_IO, "%s: is not a regular file", path);
    else if (!(content = malloc((size_t)info.st_size + 1)))
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory for its %lld bytes", path,
                       (long long)info.st_size);
    else
        st = read_whole(file, path, content, (size_t)info.st_size, err);
    close(file);
    if (st != FSFM_OK) {
        free(content);
        return st;
    }
    content[info.st_size] = 0;
    *bytes = content;
    *size_bytes = (size_t)info.st_size;
    return FSFM_OK;
}

/* The folder that holds path, into out (PATH_SIZE). */
static fsfm_status folder_of(const char *path, char *out, fsfm_error *err)
{
    const char *slash = strrchr(path, '/');
    const size_t length = slash ? (size_t)(slash - path) : 1;
    if (length >= PATH_SIZE)
        return fsfm_fail(err, FSFM_ERR_ARG, "a path of %zu bytes is too long", strlen(path));
    memcpy(out, slash ? path : ".", length);
    out[length] = '\0';
    if (slash == path) strcpy(out, "/");
    return FSFM_OK;
}

/* Makes a new file beside path under a name that nobody else has; mkstemp would ignore the user's umask. */
static fsfm_status create_beside(const char *path, char *name, int *file, fsfm_error *err)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    for (int attempt = 0; attempt < NAME_TRIES; attempt++) {
        const int length =
            snprintf(name, PATH_SIZE, "%s.%ld-%ld-%d.tmp", path, (long)getpid(), now.tv_nsec, attempt);
        if (length >= PATH_SIZE)
            return fsfm_fail(err, FSFM_ERR_ARG, "a path of %zu bytes is too long", strlen(path));
        *file = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (*file >= 0) return FSFM_OK;
        if (errno != EEXIST) break;
    }
    return fail_errno(err, path, "cannot be created");
}

static fsfm_status write_whole(int file, const char *path, const uint8_t *bytes, size_t size_bytes,
                               fsfm_error *err)
{
    for (size_t done = 0; done < size_bytes;) {
        const ssize_t put = write(file, bytes + done, size_bytes - done);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail_errno(err, path, "cannot be written");
        done += (size_t)put;
    }
    if (fsync(file) != 0) return fail_errno(err, path, "cannot be brought to disk");
    return FSFM_OK;
}

fsfm_status fsfm_file_write(const char *path, const void *bytes, size_t size_bytes, fsfm_error *err)
{
    char name[PATH_SIZE], folder[PATH_SIZE];
    int file = -1;
    FSFM_TRY(folder_of(path, folder, err));
    FSFM_TRY(create_beside(path, name, &file, err));
    fsfm_status st = write_whole(file, path, bytes, size_bytes, err);
    if (close(file) != 0 && st == FSFM_OK) st = fail_errno(err, path, "cannot be closed");
    if (st == FSFM_OK && rename(name, path) != 0) st = fail_errno(err, path, "cannot be replaced");
    if (st != FSFM_OK) {
        unlink(name);
        return st;
    }
    return fsfm_folder_sync(folder, err);
}

fsfm_status fsfm_folder_make(const char *path, fsfm_error *err)
{
    char part[PATH_SIZE];
    struct stat info;
    const size_t length = strlen(path);
    if (length == 0 || length >= PATH_SIZE)
        return fsfm_fail(err, FSFM_ERR_ARG, "a folder's path of %zu bytes cannot be", length);
    memcpy(part, path, length + 1);
    for (size_t end = 1; end <= length; end++) {
        if (part[end] != '/' && part[end] != '\0') continue;
        part[end] = '\0';
        /* Whoever comes second finds it there; an existing folder may also refuse mkdir for other reasons
         * (read-only). */
        if (mkdir(part, 0777) != 0) {
            const int code = errno;
            if (stat(part, &info) != 0 || !S_ISDIR(info.st_mode)) {
                errno = code == EEXIST ? ENOTDIR : code;
                return fail_errno(err, part, "cannot be made a folder");
            }
        }
        if (end < length) part[end] = '/';
    }
    return FSFM_OK;
}

bool fsfm_file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

fsfm_status fsfm_folder_sync(const char *path, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    const int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return fail_errno(err, path, "cannot be opened as a folder");
    /* Some file systems do not know fsync of a folder; on those a rename lasts by itself. */
    if (fsync(folder) != 0 && errno != EINVAL && errno != ENOTSUP)
        st = fail_errno(err, path, "cannot be brought to disk");
    close(folder);
    return st;
}

fsfm_status fsfm_path_join(char *out, size_t size_bytes, const char *folder, const char *name,
                           fsfm_error *err)
{
    const size_t length = strlen(folder);
    const char *between = length == 0 || folder[length - 1] == '/' ? "" : "/";
    const int written = snprintf(out, size_bytes, "%s%s%s", folder, between, name);
    if (written >= 0 && (size_t)written < size_bytes) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_ARG, "the path %.100s.../%.100s is longer than %zu bytes", folder, name,
                     size_bytes > 0 ? size_bytes - 1 : 0);
}

fsfm_status fsfm_folder_free_bytes(const char *path, uint64_t *out, fsfm_error *err)
{
    struct statvfs info;
    *out = 0;
    if (statvfs(path, &info) != 0) return fail_errno(err, path, "its file system cannot be examined");
    *out = (uint64_t)info.f_bavail * info.f_frsize;
    return FSFM_OK;
}
