/* SPDX-License-Identifier: Apache-2.0
 * io/tensor_verify.h - the check that a writer makes of its own file. */
#ifndef FSFM_IO_TENSOR_VERIFY_H
#define FSFM_IO_TENSOR_VERIFY_H

#include <stdint.h>

#include "core/base/status.h"

/* fsfm_tensor_file_verify(), and that xxh3_meta, and with it the whole content, is the given one. */
FSFM_MUST_USE
fsfm_status fsfm_tensor_file_verify_content(const char *path, const char *format, uint64_t xxh3_meta,
                                            fsfm_error *err);
#endif
