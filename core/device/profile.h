/* SPDX-License-Identifier: Apache-2.0
 * core/device/profile.h - a device that passes every operation on to another one and takes its time, with the
 * FLOP and the bytes that its arguments imply. For `fsfm bench step --profile`. */
#ifndef FSFM_CORE_DEVICE_PROFILE_H
#define FSFM_CORE_DEVICE_PROFILE_H

#include "core/device/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One operation of the table, summed over its calls. */
typedef struct {
    const char *name; /* as in the table: "linear_backward" */
    int64_t calls;
    double seconds;
    double flop;  /* of its matrix products (an attention's backward counts twice its forward); else 0 */
    double bytes; /* of its arrays, each read or written once */
} fsfm_profile_entry;

typedef struct fsfm_profile fsfm_profile;

/* inner is borrowed and must outlive the profile. The caller owns *out. */
FSFM_MUST_USE
fsfm_status fsfm_profile_open(fsfm_device *inner, fsfm_profile **out, fsfm_error *err);
void fsfm_profile_close(fsfm_profile **profile); /* accepts NULL; sets *profile to NULL */
/* The device to compute on: as inner in all but speed, as each operation ends before the next begins. Owned
 * by the profile. */
fsfm_device *fsfm_profile_device(fsfm_profile *profile);
/* Forgets what was counted. */
void fsfm_profile_reset(fsfm_profile *profile);
/* One entry an operation, borrowed; those never called have calls 0. */
const fsfm_profile_entry *fsfm_profile_entries(const fsfm_profile *profile, int *count);

#ifdef __cplusplus
}
#endif
#endif
