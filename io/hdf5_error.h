/* SPDX-License-Identifier: Apache-2.0
 * io/hdf5_error.h - why an HDF5 call failed, for people. */
#ifndef FSFM_IO_HDF5_ERROR_H
#define FSFM_IO_HDF5_ERROR_H

#include <stddef.h>

/* The reason of the HDF5 call that just failed: the system's ("No space left on device") where there was one,
 * else HDF5's innermost message. Called under the lock around HDF5, before any other call of it. Returns out.
 */
const char *fsfm_hdf5_reason(char *out, size_t size_bytes);
#endif
