/* SPDX-License-Identifier: Apache-2.0
 * io/shard_spool.h - bytes that wait on disk until a shard's size is known. Internal to io/. */
#ifndef FSFM_IO_SHARD_SPOOL_H
#define FSFM_IO_SHARD_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

/* The file has no name any more when it is open: nothing is left of it, however the process ends. */
typedef struct {
    int fd; /* -1: closed */
    uint64_t size_bytes;
} fsfm_shard_spool;

/* name is where the file stands until it loses its name again. */
FSFM_MUST_USE
fsfm_status fsfm_shard_spool_open(const char *name, fsfm_shard_spool *out, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_shard_spool_add(fsfm_shard_spool *spool, const void *bytes, uint64_t size_bytes,
                                 fsfm_error *err);
/* Copies everything to offset of file fd. */
FSFM_MUST_USE
fsfm_status fsfm_shard_spool_copy(const fsfm_shard_spool *spool, int fd, uint64_t offset, fsfm_error *err);
void fsfm_shard_spool_close(fsfm_shard_spool *spool);
#endif
