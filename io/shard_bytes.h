/* SPDX-License-Identifier: Apache-2.0
 * io/shard_bytes.h - whole pieces of files, through short counts and signals. Internal to io/. */
#ifndef FSFM_IO_SHARD_BYTES_H
#define FSFM_IO_SHARD_BYTES_H

#include <stdint.h>

#include "core/base/status.h"

FSFM_MUST_USE
fsfm_status fsfm_pread_all(int fd, void *into, uint64_t size_bytes, uint64_t offset, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_pwrite_all(int fd, const void *bytes, uint64_t size_bytes, uint64_t offset, fsfm_error *err);
#endif
