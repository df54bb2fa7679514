/* SPDX-License-Identifier: Apache-2.0
 * Weights in and out, to the bit; what rounding took from them, and floats rounded to compute precision, to
 * that rounding; sums of vectors to a float's rounding, and squares to a few of a double. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/bfloat16.h"
#include "tests/support/device_case.h"

/* Floats of all kinds: zeros, denormal ones, ties, the largest, infinities, NaN, then random bits. */
static float *draw_floats(device_case *c, int64_t count)
{
    static const uint32_t special[] = {0,          0x80000000, 1,          0x80000001, 0x007FFFFF,
                                       0x00800000, 0x00008000, 0x3F808000, 0x3F818000, 0xBF808000,
                                       0xBF807FFF, 0x3F808001, 0x7F7FFFFF, 0xFF7F8000, 0x7F800000,
                                       0xFF800000, 0x7FC00000, 0xFFC00000};
    const int64_t specials = sizeof special / sizeof *special;
    float *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) {
        const uint32_t bits = i < specials ? special[i] : fsfm_random_u32(&c->random);
        memcpy(values + i, &bits, sizeof bits);
    }
    return values;
}

static void matrix_case(device_case *c, const int64_t *sizes)
{
    const int64_t count = sizes[0];
    float *values = draw_floats(c, count);
    const case_array *matrix = case_given(c, CASE_MATRIX, values, count);
    float *back = case_download(c, matrix);
    assert_memory_equal(back, values, (size_t)count * sizeof *values);
    const case_array read = {.kind = CASE_ACTS, .count = count, .dev = matrix->dev}; /* by products */
    float *got = case_download(c, &read);
    for (int64_t i = 0; c->is_bf16 && i < count; i++) {
        const double x = (double)values[i], nearest = bf16_nearest(x);
        if (isfinite(nearest)) /* ties may go either way */
            assert_true(fabs((double)got[i] - x) == fabs(nearest - x));
        else if (isinf(nearest))
            assert_true((double)got[i] == nearest);
    }
    free(values);
    free(back);
    free(got);
}

/* What a matrix's rounded half lacks, to the precision of a number in compute precision. */
static void matrix_rest_case(device_case *c, const int64_t *sizes)
{
    const int64_t count = sizes[0];
    const case_array *matrix = case_random(c, CASE_MATRIX, count, 0.1);
    const case_array read = {.kind = CASE_ACTS, .count = count, .dev = matrix->dev}; /* by products */
    case_array *rest = case_output(c, CASE_ACTS, count);
    assert_ok(c->dev->ops->matrix_rest(c->dev, count, matrix->dev, rest->dev, &c->err), &c->err);
    float *whole = case_download(c, matrix), *rounded = case_download(c, &read),
          *got = case_download(c, rest);
    for (int64_t i = 0; i < count; i++) {
        const double want = c->is_bf16 ? (double)whole[i] - (double)rounded[i] : 0.0;
        assert_true(fabs((double)got[i] - want) <= 0x1p-8 * fabs(want));
    }
    free(whole);
    free(rounded);
    free(got);
}

static void to_act_case(device_case *c, const int64_t *sizes)
{
    const int64_t count = sizes[0];
    float *values = draw_floats(c, count);
    const case_array *x = case_given(c, CASE_FLOATS, values, count), *out = case_output(c, CASE_ACTS, count);
    assert_ok(c->dev->ops->to_act(c->dev, count, x->dev, out->dev, &c->err), &c->err);
    float *got = case_download(c, out);
    for (int64_t i = 0; i < count; i++) {
        const double want = c->is_bf16 ? bf16_nearest((double)values[i]) : (double)values[i];
        const bool may_vanish = c->is_bf16 && fabs((double)values[i]) < 0x1p-126;
        if (isnan(want))
            assert_true(isnan(got[i]));
        else
            assert_true((double)got[i] == want || (may_vanish && got[i] == 0.0f));
    }
    free(values);
    free(got);
}

static void sums_case(device_case *c, const int64_t *sizes)
{
    const int64_t count = sizes[0];
    const case_array *x = case_random(c, CASE_FLOATS, count, 1.0), *a = case_random(c, CASE_ACTS, count, 1.0);
    case_array *y = case_random(c, CASE_FLOATS, count, 1.0), *z = case_random(c, CASE_FLOATS, count, 1.0);
    const double old = NAN;
    double *sum = case_bytes(c, &old, sizeof old), want = 0.0;
    assert_ok(c->dev->ops->norm_squared(c->dev, count, x->dev, sum, &c->err), &c->err);
    assert_ok(c->dev->ops->add(c->dev, count, x->dev, y->dev, &c->err), &c->err);
    assert_ok(c->dev->ops->add_act(c->dev, count, a->dev, z->dev, &c->err), &c->err);
    for (int64_t i = 0; i < count; i++) {
        want += x->want[i] * x->want[i];
        y->want[i] += x->want[i];
        z->want[i] += a->want[i];
    }
    case_check_double(c, sum, want, 1e-13);
    case_check(c, y, "y", 0.0, 0.0);
    case_check(c, z, "y of activations", 0.0, 0.0);
}

static void matrices_keep_every_bit(void **state)
{
    (void)state;
    case_run_counts(matrix_case, 0);
    case_run_counts(matrix_rest_case, 0);
}

static void floats_are_rounded_to_the_nearest(void **state)
{
    (void)state;
    case_run_counts(to_act_case, 0);
}

static void sums_are_the_definition(void **state)
{
    (void)state;
    case_run_counts(sums_case, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(matrices_keep_every_bit),
                                       cmocka_unit_test(floats_are_rounded_to_the_nearest),
                                       cmocka_unit_test(sums_are_the_definition)};
    return case_skips() ? 77 : cmocka_run_group_tests_name("vectors", tests, NULL, NULL);
}
