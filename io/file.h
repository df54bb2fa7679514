/* SPDX-License-Identifier: Apache-2.0
 * io/file.h - whole files: read, and written so that a reader sees the old or the new one, never a half. */
#ifndef FSFM_IO_FILE_H
#define FSFM_IO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

/* Reads all of path into *bytes (with a 0 behind its end), which the caller frees with free(). Messages name
 * the path. */
FSFM_MUST_USE
fsfm_status fsfm_file_read(const char *path, uint8_t **bytes, size_t *size_bytes, fsfm_error *err);
/* Temporary file beside path, fsync, rename, fsync of the folder. On failure path is as it was and no file is
 * left. */
FSFM_MUST_USE
fsfm_status fsfm_file_write(const char *path, const void *bytes, size_t size_bytes, fsfm_error *err);
/* Makes the folder and those above it. */
FSFM_MUST_USE
fsfm_status fsfm_folder_make(const char *path, fsfm_error *err);
bool fsfm_file_exists(const char *path);
/* fsyncs a folder, so that renames in it last. */
FSFM_MUST_USE
fsfm_status fsfm_folder_sync(const char *path, fsfm_error *err);
/* "folder/name"; out holds size_bytes; a name that does not fit is an error. */
FSFM_MUST_USE
fsfm_status fsfm_path_join(char *out, size_t size_bytes, const char *folder, const char *name,
                           fsfm_error *err);
/* Free bytes of the file system that holds path. */
FSFM_MUST_USE
fsfm_status fsfm_folder_free_bytes(const char *path, uint64_t *out, fsfm_error *err);
#endif
