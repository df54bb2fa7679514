/* SPDX-License-Identifier: Apache-2.0
 * tests/support/slope.h - backward of an operation on the device against the slope of the reference's
 * forward, in double, along a random direction v of all inputs: loss = <w, forward(x)>, and <gradient, v>
 * must be (loss(x + h v) - loss(x - h v)) / 2h. One direction checks all entries. Entries of v have size 1,
 * so <gradient, v> has the size of |gradient|; the slope is good to about 1e-7 of that, the device's floats
 * to 1e-6: held to 1e-5.
 *
 * In bf16 gradients are rounded when they are stored and up to twice on the way, in random directions by 0.42
 * 2^-8 of themselves (see case_check): <gradient, v> moves by 6 sqrt(3) 0.42 2^-8 |gradient| at most. */
#ifndef FSFM_TESTS_SUPPORT_SLOPE_H
#define FSFM_TESTS_SUPPORT_SLOPE_H

#include "tests/support/device_case.h"

enum { SLOPE_INPUTS = 3 };

/* One operation: inputs that have gradients, and its reference from them to out. Gradients of activations are
 * activations, all others are floats. */
typedef struct slope_operation {
    int64_t sizes[6];
    int64_t count[SLOPE_INPUTS], out_count;
    double scale[SLOPE_INPUTS];
    case_kind kind[SLOPE_INPUTS], out_kind;
    void (*forward)(const struct slope_operation *op, double *const x[SLOPE_INPUTS], double *out);
    /* Runs forward where backward needs its results, then backward; gradients are set. */
    void (*device)(device_case *c, const struct slope_operation *op, case_array *const x[SLOPE_INPUTS],
                   const case_array *w, case_array *const gradient[SLOPE_INPUTS]);
} slope_operation;

void check_slope(const slope_operation *op);
#endif
