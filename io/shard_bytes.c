/* SPDX-License-Identifier: Apache-2.0 */
#include "io/shard_bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

fsfm_status fsfm_pread_all(int fd, void *into, uint64_t size_bytes, uint64_t offset, fsfm_error *err)
{
    char *next = into;
    while (size_bytes > 0) {
        const ssize_t got = pread(fd, next, size_bytes, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fsfm_fail(err, FSFM_ERR_IO, "cannot be read: %s", strerror(errno));
        if (got == 0) return fsfm_fail(err, FSFM_ERR_IO, "ends too early, at byte %" PRIu64, offset);
        next += got;
        offset += (uint64_t)got;
        size_bytes -= (uint64_t)got;
    }
    return FSFM_OK;
}

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
