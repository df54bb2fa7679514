/* SPDX-License-Identifier: Apache-2.0 */
#include "io/shard_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COPY_BYTES = 1 << 20 };

fsfm_status fsfm_pwrite_all(int fd, const void *bytes, uint64_t size_bytes, uint64_t offset, fsfm_error *err)
{
    const char *next = bytes;
    while (size_bytes > 0) {
        const ssize_t wrote = pwrite(fd, next, size_bytes, (off_t)offset);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0)
            return fsfm_fail(err, FSFM_ERR_IO, "cannot write: %s",
                             wrote < 0 ? strerror(errno) : "no progress");
        next += wrote;
        offset += (uint64_t)wrote;
        size_bytes -= (uint64_t)wrote;
    }
    return FSFM_OK;
}

fsfm_status fsfm_shard_spool_open(const char *name, fsfm_shard_spool *out, fsfm_error *err)
{
    out->size_bytes = 0;
    out->fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (out->fd < 0) return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot create: %s", name, strerror(errno));
    if (unlink(name) == 0) return FSFM_OK;
    fsfm_fail(err, FSFM_ERR_IO, "%s: cannot unlink: %s", name, strerror(errno));
    fsfm_shard_spool_close(out);
    return FSFM_ERR_IO;
}

fsfm_status fsfm_shard_spool_add(fsfm_shard_spool *spool, const void *bytes, uint64_t size_bytes,
                                 fsfm_error *err)
{
    FSFM_TRY(fsfm_pwrite_all(spool->fd, bytes, size_bytes, spool->size_bytes, err));
    spool->size_bytes += size_bytes;
    return FSFM_OK;
}

fsfm_status fsfm_shard_spool_copy(const fsfm_shard_spool *spool, int fd, uint64_t offset, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    char *buffer = malloc(COPY_BYTES);
    if (!buffer) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a buffer of %d bytes", COPY_BYTES);
    for (uint64_t done = 0; st == FSFM_OK && done < spool->size_bytes;) {
        const ssize_t got = pread(spool->fd, buffer, COPY_BYTES, (off_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0)
            st = fsfm_fail(err, FSFM_ERR_IO, "cannot read temporary data back: %s",
                           got < 0 ? strerror(errno) : "unexpected end");
        else
            st = fsfm_pwrite_all(fd, buffer, (uint64_t)got, offset + done, err);
        done += got > 0 ? (uint64_t)got : 0;
    }
    free(buffer);
    return st;
}

void fsfm_shard_spool_close(fsfm_shard_spool *spool)
{
    if (spool->fd >= 0) close(spool->fd);
    spool->fd = -1;
}
