/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "io/shard.h"

fsfm_status fsfm_shard_verify(const char *path, int64_t *bad, int64_t bad_max, int64_t *bad_count,
                              fsfm_error *err)
{
    fsfm_shard_layout layout;
    fsfm_stored_sample sample = {0};
    *bad_count = 0;
    FSFM_TRY(fsfm_shard_read_layout(path, &layout, err));
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    fsfm_status st = FSFM_OK;
    for (int64_t i = 0; st == FSFM_OK && i < layout.count; i++) {
        st = fsfm_shard_pread(fd, &layout, i, NULL, &sample, err);
        if (st != FSFM_ERR_FORMAT) continue;
        if (*bad_count < bad_max) bad[*bad_count] = i;
        ++*bad_count;
        st = FSFM_OK;
    }
    close(fd);
    fsfm_stored_sample_free(&sample);
    return st == FSFM_OK ? st : fsfm_context(err, "%s", path);
}
