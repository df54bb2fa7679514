/* SPDX-License-Identifier: Apache-2.0
 * io/hdf5_list.h - what is in any HDF5 file, for people. Calls take the lock around HDF5. */
#ifndef FSFM_IO_HDF5_LIST_H
#define FSFM_IO_HDF5_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"

enum { FSFM_HDF5_AXES_MAX = 8 };

/* A dataset, or an attribute of the root. */
typedef struct {
    const char *name; /* "input/images" */
    bool is_attribute;
    char type[24]; /* "float32", "uint16", "text", "other" */
    int axes;      /* 0: a single value */
    int64_t shape[FSFM_HDF5_AXES_MAX];
    char value[256]; /* attributes of one value: as text, cut where it is long; else "" */
} fsfm_hdf5_entry;

/* The root attribute `format`; "" where there is none. FSFM_ERR_FORMAT if path is no HDF5 file or is damaged.
 */
FSFM_MUST_USE
fsfm_status fsfm_hdf5_format(const char *path, char out[64], fsfm_error *err);
/* Calls visit for every attribute of the root, then every dataset, in order of name; visit must not use HDF5.
 */
FSFM_MUST_USE
fsfm_status fsfm_hdf5_list(const char *path, void (*visit)(void *context, const fsfm_hdf5_entry *entry),
                           void *context, fsfm_error *err);
#endif
