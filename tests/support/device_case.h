/* SPDX-License-Identifier: Apache-2.0
 * tests/support/device_case.h - runs one case of an operation on a device and against the reference in
 * double.
 *
 * The device is FSFM_TEST_DEVICE (cpu, cuda; default cpu), its precision FSFM_TEST_PRECISION (fp32, bf16;
 * default fp32), the seed FSFM_TEST_SEED (printed). A case function makes its arrays, runs the operation and
 * the reference, and checks; case_run() runs it with 1, 2 and 5 threads and holds the bits of all arrays
 * against each other. */
#ifndef FSFM_TESTS_SUPPORT_DEVICE_CASE_H
#define FSFM_TESTS_SUPPORT_DEVICE_CASE_H

#include "core/base/random.h"
#include "core/device/device.h"
#include "tests/support/check.h"

typedef enum {
    CASE_FLOATS,
    CASE_ACTS,   /* in compute precision: rounded to it on both sides, so that the reference reads the same */
    CASE_MATRIX, /* a matrix of weights: the reference has its floats */
    CASE_WEIGHTS /* a matrix of weights: the reference has what products read of it */
} case_kind;

typedef struct {
    case_kind kind;
    int64_t count;
    void *dev;
    double *want;    /* what it held at first; the reference works here */
    double *squares; /* NULL, or by entry the squares of the terms that are rounded: see case_check */
} case_array;

typedef struct {
    fsfm_device *dev;
    bool is_bf16;
    fsfm_error err;
    fsfm_random random;
    case_array arrays[32];
    struct {
        void *dev;
        size_t size_bytes;
    } bytes[8];
    int arrays_used, bytes_used;
} device_case;

typedef void (*case_fn)(device_case *c, const int64_t *sizes);

/* For main: 77, CTest's "skipped", with a line that says why where the device cannot be had or does not
 * compute in the precision asked for; else 0. */
int case_skips(void);
/* Opens and closes the device and frees the arrays; fails the test if the device cannot be had. */
void case_begin(device_case *c, int threads, uint64_t sample);
void case_end(device_case *c);
/* Runs fn(c, sizes) with 1, 2 and 5 threads; equal bits are asserted. */
void case_run(case_fn fn, const int64_t *sizes);
/* case_run() with sizes {count, second}, for counts from 1 to 100003: odd ones, and around 16384, the pieces
 * that threads and blocks take. */
void case_run_counts(case_fn fn, int64_t second);

/* The errors of GELU and of its slope that are allowed before they are rounded. fp32: a few roundings. bf16:
 * what kernels/gelu_tables.h claims, times |x| where much is left of Phi(-|x|); rounding makes 4e-3. */
double case_gelu_rtol(const device_case *c);
double case_gelu_atol(const device_case *c);
double case_gelu_slope_atol(const device_case *c);

/* An array of given values. */
case_array *case_given(device_case *c, case_kind kind, const float *values, int64_t count);
/* Uniform numbers of mean 0 and deviation scale. */
case_array *case_random(device_case *c, case_kind kind, int64_t count, double scale);
/* For an output that is set: NaN on the device, zeros in the reference. Not for matrices. */
case_array *case_output(device_case *c, case_kind kind, int64_t count);
/* The above, or a random array where adds. */
case_array *case_target(device_case *c, case_kind kind, int64_t count, bool adds);
/* Zeros on both sides. */
void case_zero(device_case *c, case_array *array);
/* Element count of the array, on the device. */
void *case_at(const device_case *c, const case_array *array, int64_t count);
/* Zeros for array->squares. */
double *case_squares(case_array *array);
/* A copy of size_bytes on the device. */
void *case_bytes(device_case *c, const void *data, size_t size_bytes);

/* What the device holds now (count floats, the caller frees). */
float *case_download(device_case *c, const case_array *array);
/* Holds the device's array against the reference's: every entry must be the number nearest to one that is
 * within atol + rtol |want| of want, nearest in the precision that the array is stored in. So results in
 * bfloat16 are held as tightly as floats are: one rounding, at the end, and no other.
 *
 * squares is for sums whose terms are rounded to bfloat16 before they are added: the sum of the terms'
 * squares. A rounding is off by at most 2^-8 of its term, and in random directions by 0.42 of that as root
 * mean square (even within half a step, and a step is 2^-8 to 2^-7 of the number). In bf16 the tolerance
 * grows by 6 deviations, 2.5 2^-8 sqrt(squares). */
void case_check(device_case *c, const case_array *array, const char *name, double rtol, double atol);
/* Whether both arrays hold the same floats, to the bit. */
void case_check_equal(device_case *c, const case_array *a, const case_array *b, const char *name);
/* |got - want| <= tol |want| for a double on the device. */
void case_check_double(device_case *c, const double *dev, double want, double tol);
#endif
