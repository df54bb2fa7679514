/* SPDX-License-Identifier: Apache-2.0
 * io/tensor_catalog.h - asks HDF5 once what a tensor file holds and where; its bytes are then read without
 * HDF5. */
#ifndef FSFM_IO_TENSOR_CATALOG_H
#define FSFM_IO_TENSOR_CATALOG_H

#include <stdint.h>

#include "core/base/status.h"
#include "io/tensor_index.h"

/* Reads all names, shapes, places, checksums, attributes and texts of path, which is open as fd too, into an
 * empty index, sorted on success; the caller frees it in every case. Checks the format and that no dataset
 * reaches past the end of the file, but not *xxh3_meta, the checksum that the file names. */
FSFM_MUST_USE
fsfm_status fsfm_tensor_catalog_read(const char *path, int fd, const char *format, fsfm_tensor_index *index,
                                     uint64_t *xxh3_meta, fsfm_error *err);
/* All size_bytes at offset; a file that ends before is an error. */
FSFM_MUST_USE
fsfm_status fsfm_tensor_pread(const char *path, int fd, void *into, uint64_t size_bytes, uint64_t offset,
                              fsfm_error *err);
#endif
