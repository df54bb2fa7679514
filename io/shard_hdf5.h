/* SPDX-License-Identifier: Apache-2.0
 * io/shard_hdf5.h - the few things that shards want of HDF5. The caller holds the lock (fsfm_hdf5_lock).
 * Internal to io/. */
#ifndef FSFM_IO_SHARD_HDF5_H
#define FSFM_IO_SHARD_HDF5_H

#include <stdint.h>

#include <hdf5.h>

#include "core/base/status.h"

/* File access properties: metadata of V110 (checksummed), no file locking; H5I_INVALID_HID if HDF5 fails. */
hid_t fsfm_h5_access(void);
/* Opens a file read-only; the message says why it cannot be, without the path. */
FSFM_MUST_USE
fsfm_status fsfm_h5_open(const char *path, hid_t *out, fsfm_error *err);
/* The innermost reason of HDF5's last failure, for messages; returns out. */
const char *fsfm_h5_reason(char out[160]);
/* UTF-8 strings of variable length; the caller closes it. */
hid_t fsfm_h5_string_type(void);

/* Attributes. Text has a fixed length, so that it lies in the checksummed header. */
FSFM_MUST_USE
fsfm_status fsfm_h5_write_text(hid_t object, const char *name, const char *text, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_h5_write_u64(hid_t object, const char *name, const uint64_t *values, int count,
                              fsfm_error *err);
/* Text of fixed or variable length, ended by 0; text that does not fit is an error. */
FSFM_MUST_USE
fsfm_status fsfm_h5_read_text(hid_t object, const char *name, char *out, size_t size_bytes, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_h5_read_u64(hid_t object, const char *name, uint64_t *values, int count, fsfm_error *err);
#endif
