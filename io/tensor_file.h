/* SPDX-License-Identifier: Apache-2.0
 * io/tensor_file.h - named float tensors with attributes in one HDF5 file, each with its checksum:
 * checkpoints.
 *
 * Every tensor has an attribute xxh3 (XXH3-64 of its bytes); the root has xxh3_meta over all attributes,
 * texts and the names and shapes of the tensors. Files are written as libver V110, contiguous, without times:
 * equal content gives equal bytes. All calls take the lock around HDF5. */
#ifndef FSFM_IO_TENSOR_FILE_H
#define FSFM_IO_TENSOR_FILE_H

#include <stdint.h>

#include "core/base/status.h"

enum { FSFM_TENSOR_AXES_MAX = 4, FSFM_TENSOR_NAME_SIZE = 128 };

typedef struct fsfm_tensor_writer fsfm_tensor_writer;
/* Temporary file PATH.tmp beside path. format: the root attribute `format`. */
FSFM_MUST_USE
fsfm_status fsfm_tensor_writer_open(const char *path, const char *format, fsfm_tensor_writer **out,
                                    fsfm_error *err);
/* For a writer that knows its size: sets size_bytes aside on the disk, so that a full one is told before the
 * work. */
FSFM_MUST_USE
fsfm_status fsfm_tensor_writer_reserve(fsfm_tensor_writer *writer, uint64_t size_bytes, fsfm_error *err);
/* name may have groups: "online/blocks.0.attn.qkv.weight". values is borrowed for the call. */
FSFM_MUST_USE
fsfm_status fsfm_tensor_writer_add(fsfm_tensor_writer *writer, const char *name, int axes,
                                   const int64_t *shape, const float *values, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_tensor_writer_int(fsfm_tensor_writer *writer, const char *name, int64_t value,
                                   fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_tensor_writer_real(fsfm_tensor_writer *writer, const char *name, double value,
                                    fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_tensor_writer_text(fsfm_tensor_writer *writer, const char *name, const char *text,
                                    fsfm_error *err);
/* fsync, re-read and verify, rename, fsync of the folder. Ends the writer in every case; on failure path is
 * as it was. */
FSFM_MUST_USE
fsfm_status fsfm_tensor_writer_finish(fsfm_tensor_writer **writer, fsfm_error *err);
void fsfm_tensor_writer_abandon(fsfm_tensor_writer **writer); /* accepts NULL; removes the temporary file */

typedef struct fsfm_tensor_reader fsfm_tensor_reader;
/* format: what the root attribute must be; a newer number of the same name is refused by name. Checks
 * xxh3_meta. */
FSFM_MUST_USE
fsfm_status fsfm_tensor_reader_open(const char *path, const char *format, fsfm_tensor_reader **out,
                                    fsfm_error *err);
/* Reads count floats and compares the checksum; a missing tensor, another count or a damaged one is an error
 * naming it. */
FSFM_MUST_USE
fsfm_status fsfm_tensor_reader_get(fsfm_tensor_reader *reader, const char *name, int64_t count, float *values,
                                   fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_tensor_reader_int(fsfm_tensor_reader *reader, const char *name, int64_t *out,
                                   fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_tensor_reader_real(fsfm_tensor_reader *reader, const char *name, double *out,
                                    fsfm_error *err);
/* An owned string. */
FSFM_MUST_USE
fsfm_status fsfm_tensor_reader_text(fsfm_tensor_reader *reader, const char *name, char **out,
                                    fsfm_error *err);
typedef struct {
    char name[FSFM_TENSOR_NAME_SIZE];
    int axes;
    int64_t shape[FSFM_TENSOR_AXES_MAX];
} fsfm_tensor_info;
/* Tensors in order of name. */
int64_t fsfm_tensor_reader_count(const fsfm_tensor_reader *reader);
const fsfm_tensor_info *fsfm_tensor_reader_info(const fsfm_tensor_reader *reader, int64_t index);
void fsfm_tensor_reader_close(fsfm_tensor_reader **reader);

/* Reads everything and compares every checksum; damaged tensors are named in err (up to what fits). */
FSFM_MUST_USE
fsfm_status fsfm_tensor_file_verify(const char *path, const char *format, fsfm_error *err);
#endif
