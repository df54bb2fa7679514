/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/slope.h"

#include <math.h>
#include <stdlib.h>

#include "tests/support/bfloat16.h"

static double loss_along(const slope_operation *op, double *const x[SLOPE_INPUTS],
                         double *const v[SLOPE_INPUTS], const double *w, double h)
{
    double *moved[SLOPE_INPUTS] = {0}, *out = calloc((size_t)op->out_count, sizeof *out), loss = 0.0;
    assert_non_null(out);
    for (int i = 0; i < SLOPE_INPUTS; i++) {
        moved[i] = malloc((size_t)op->count[i] * sizeof(double) + 1);
        assert_non_null(moved[i]);
        for (int64_t k = 0; k < op->count[i]; k++) moved[i][k] = x[i][k] + h * v[i][k];
    }
    op->forward(op, moved, out);
    for (int64_t k = 0; k < op->out_count; k++) loss += w[k] * out[k];
    for (int i = 0; i < SLOPE_INPUTS; i++) free(moved[i]);
    free(out);
    return loss;
}

void check_slope(const slope_operation *op)
{
    const double h = 1e-5;
    device_case c;
    case_begin(&c, 2, (uint64_t)op->out_count);
    const double tolerance = c.is_bf16 ? 6.0 * sqrt(3.0) * 0.42 * BF16_ROUNDING : 1e-5;
    case_array *x[SLOPE_INPUTS], *v[SLOPE_INPUTS], *gradient[SLOPE_INPUTS];
    double *x_host[SLOPE_INPUTS], *v_host[SLOPE_INPUTS], got = 0.0, size = 0.0;
    for (int i = 0; i < SLOPE_INPUTS; i++) {
        x[i] = case_random(&c, op->kind[i], op->count[i], op->scale[i]);
        v[i] = case_random(&c, CASE_FLOATS, op->count[i], 1.0);
        gradient[i] = case_output(&c, op->kind[i] == CASE_ACTS ? CASE_ACTS : CASE_FLOATS, op->count[i]);
        x_host[i] = x[i]->want;
        v_host[i] = v[i]->want;
    }
    const case_array *w = case_random(&c, op->out_kind, op->out_count, 1.0);
    op->device(&c, op, x, w, gradient);
    for (int i = 0; i < SLOPE_INPUTS; i++) {
        float *value = case_download(&c, gradient[i]);
        for (int64_t k = 0; k < op->count[i]; k++) {
            got += (double)value[k] * v_host[i][k];
            size += (double)value[k] * (double)value[k];
        }
        free(value);
    }
    const double up = loss_along(op, x_host, v_host, w->want, h),
                 down = loss_along(op, x_host, v_host, w->want, -h);
    const double want = (up - down) / (2.0 * h);
    if (!(fabs(got - want) <= tolerance * sqrt(size)))
        fail_msg("<gradient, v> is %.9g, the slope %.9g", got, want);
    assert_true(size > 0.0);
    case_end(&c);
}
