/* SPDX-License-Identifier: Apache-2.0 */
#include "io/shard_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/shard_bytes.h"

enum { COPY_BYTES = 1 << 20 };

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
    for (uint64_t done = 0; st == FSFM_OK && done < spool->size_bytes; done += COPY_BYTES) {
        const uint64_t left = spool->size_bytes - done, piece = left < COPY_BYTES ? left : COPY_BYTES;
        st = fsfm_pread_all(spool->fd, buffer, piece, done, err);
        if (st == FSFM_OK) st = fsfm_pwrite_all(fd, buffer, piece, offset + done, err);
    }
    free(buffer);
    return st;
}

void fsfm_shard_spool_close(fsfm_shard_spool *spool)
{
    if (spool->fd >= 0) close(spool->fd);
    spool->fd = -1;
}
