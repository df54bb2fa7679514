/* SPDX-License-Identifier: Apache-2.0
 * tests/support/device_case.h - runs one case of an operation on a device and against the reference in
 * double.
 *
 * The device is FSFM_TEST_DEVICE (cpu, cuda; default cpu), the seed FSFM_TEST_SEED (printed). A case function
 * makes its arrays, runs the operation and the reference, and checks; case_run() runs it with 1, 2 and 5
 * threads and holds the bits of all arrays against each other. */
#ifndef FSFM_TESTS_SUPPORT_DEVICE_CASE_H
#define FSFM_TESTS_SUPPORT_DEVICE_CASE_H

#include "core/base/random.h"
#include "core/device/device.h"
#include "tests/support/check.h"

typedef struct {
    int64_t count;
    float *dev;   /* on the device */
    double *want; /* what it held at first; the reference works here */
} case_array;

typedef struct {
    fsfm_device *dev;
    fsfm_error err;
    fsfm_random random;
    case_array arrays[24];
    struct {
        void *dev;
        size_t size_bytes;
    } bytes[8];
    int arrays_used, bytes_used;
} device_case;

typedef void (*case_fn)(device_case *c, const int64_t *sizes);

/* Opens and closes the device and frees the arrays; fails the test if the device cannot be had, or skips it.
 */
void case_begin(device_case *c, int threads, uint64_t sample);
void case_end(device_case *c);
/* Runs fn(c, sizes) with 1, 2 and 5 threads; equal bits are asserted. */
void case_run(case_fn fn, const int64_t *sizes);

/* Uniform numbers of mean 0 and deviation scale, the same on both sides. */
case_array *case_random(device_case *c, int64_t count, double scale);
/* For an output that is set: NaN on the device, zeros in the reference. */
case_array *case_output(device_case *c, int64_t count);
/* The above, or a random array where adds. */
case_array *case_target(device_case *c, int64_t count, bool adds);
/* A copy of size_bytes on the device. */
void *case_bytes(device_case *c, const void *data, size_t size_bytes);
/* What the device holds now (count floats, the caller frees). */
float *case_download(device_case *c, const case_array *array);
/* Holds the device's array against the reference's. */
void case_check(device_case *c, const case_array *array, const char *name, double rtol, double atol);
/* |got - want| <= tol |want| for a double on the device. */
void case_check_double(device_case *c, const double *dev, double want, double tol);
#endif
