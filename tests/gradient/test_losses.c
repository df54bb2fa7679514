/* SPDX-License-Identifier: Apache-2.0
 * Gradients of representations on the unit sphere and of the losses. */
#include <stdlib.h>

#include "tests/support/device_case.h"
#include "tests/support/reference_ops.h"
#include "tests/support/slope.h"

static void normalize_forward(const slope_operation *op, double *const x[SLOPE_INPUTS], double *out)
{
    double norm[16];
    ref_normalize(op->sizes[0], op->sizes[1], x[0], out, norm);
}

static void normalize_device(device_case *c, const slope_operation *op, case_array *const x[SLOPE_INPUTS],
                             const case_array *w, case_array *const gradient[SLOPE_INPUTS])
{
    const case_array *out = case_output(c, CASE_FLOATS, op->out_count),
                     *norm = case_output(c, CASE_FLOATS, op->sizes[0]);
    const fsfm_normalize_args args = {
        .N = op->sizes[0], .C = op->sizes[1], .x = x[0]->dev, .out = out->dev, .norm = norm->dev};
    const fsfm_normalize_backward_args backward = {.N = op->sizes[0],
                                                   .C = op->sizes[1],
                                                   .out = out->dev,
                                                   .norm = norm->dev,
                                                   .dout = w->dev,
                                                   .dx = gradient[0]->dev};
    assert_ok(c->dev->ops->normalize(c->dev, &args, &c->err), &c->err);
    assert_ok(c->dev->ops->normalize_backward(c->dev, &backward, &c->err), &c->err);
}

/* Losses have one output, which the random w scales. */
static float first_of(device_case *c, const case_array *array)
{
    float value;
    assert_ok(c->dev->ops->download(c->dev, &value, array->dev, sizeof value, &c->err), &c->err);
    return value;
}

static void dot_forward(const slope_operation *op, double *const x[SLOPE_INPUTS], double *out)
{
    double k[5 * 20];
    for (int i = 0; i < 5 * 20; i++) k[i] = (i % 7 - 3) / 4.0;
    *out = ref_dot_loss(op->sizes[0], op->sizes[1], 2.0, -2.0, x[0], k);
}

static void dot_device(device_case *c, const slope_operation *op, case_array *const x[SLOPE_INPUTS],
                       const case_array *w, case_array *const gradient[SLOPE_INPUTS])
{
    float k[5 * 20];
    const double none = 0.0;
    for (int i = 0; i < 5 * 20; i++) k[i] = (float)(i % 7 - 3) / 4.0f;
    const fsfm_dot_loss_args args = {.N = op->sizes[0],
                                     .C = op->sizes[1],
                                     .q = x[0]->dev,
                                     .k = case_bytes(c, k, sizeof k),
                                     .offset = 2.0,
                                     .slope = -2.0,
                                     .dslope = -2.0f * first_of(c, w),
                                     .sum = case_bytes(c, &none, sizeof none),
                                     .dq = gradient[0]->dev};
    assert_ok(c->dev->ops->dot_loss(c->dev, &args, &c->err), &c->err);
}

static void infonce_forward(const slope_operation *op, double *const x[SLOPE_INPUTS], double *out)
{
    double keys[11 * 20];
    for (int i = 0; i < 11 * 20; i++) keys[i] = (i % 13 - 6) / 8.0;
    *out = ref_infonce(op->sizes[0], 11, op->sizes[1], 4, 0.5, 0.0, x[0], keys, NULL);
}

static void infonce_device(device_case *c, const slope_operation *op, case_array *const x[SLOPE_INPUTS],
                           const case_array *w, case_array *const gradient[SLOPE_INPUTS])
{
    float keys[11 * 20];
    const int64_t own = 4;
    const double none = 0.0;
    for (int i = 0; i < 11 * 20; i++) keys[i] = (float)(i % 13 - 6) / 8.0f;
    const fsfm_infonce_args args = {.N = op->sizes[0],
                                    .M = 11,
                                    .C = op->sizes[1],
                                    .first = case_bytes(c, &own, sizeof own),
                                    .q = x[0]->dev,
                                    .keys = case_bytes(c, keys, sizeof keys),
                                    .temperature = 0.5f,
                                    .dscale = first_of(c, w),
                                    .logits = case_output(c, CASE_FLOATS, op->sizes[0] * 11)->dev,
                                    .sum = case_bytes(c, &none, sizeof none),
                                    .dq = gradient[0]->dev};
    assert_ok(c->dev->ops->infonce(c->dev, &args, &c->err), &c->err);
}

static void heads_have_the_slope(void **state)
{
    (void)state;
    check_slope(&(slope_operation){.sizes = {5, 20},
                                   .count = {5 * 20},
                                   .out_count = 5 * 20,
                                   .scale = {2},
                                   .kind = {CASE_ACTS},
                                   .forward = normalize_forward,
                                   .device = normalize_device});
    check_slope(&(slope_operation){.sizes = {5, 20},
                                   .count = {5 * 20},
                                   .out_count = 1,
                                   .scale = {0.3},
                                   .forward = dot_forward,
                                   .device = dot_device});
    check_slope(&(slope_operation){.sizes = {5, 20},
                                   .count = {5 * 20},
                                   .out_count = 1,
                                   .scale = {0.3},
                                   .forward = infonce_forward,
                                   .device = infonce_device});
}

enum { PATCH = 4, SIZE = 12, P = PATCH * PATCH * 3, PATCHES = 9, ROWS = 7, VALUES = 2 * SIZE * SIZE * 3 };
static const int32_t patch_of[2 * ROWS] = {3, 0, -1, 8, 5, 1, 4, 2, 2, 7, 0, -1, 6, 8};
static const uint8_t mask[2 * PATCHES] = {1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 1, 1, 1};
static const uint8_t region[2 * PATCHES] = {1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0};

/* out: the two sums. */
static void patch_loss_forward(const slope_operation *op, double *const x[SLOPE_INPUTS], double *out)
{
    double pixels[VALUES];
    for (int i = 0; i < VALUES; i++) pixels[i] = (double)((float)(i * 7 % 101 - 50) / 40.0f);
    ref_patch_loss(2, ROWS, SIZE, PATCH, pixels, op->sizes[0], x[0], patch_of, mask, region, 0.0, 0.0, out,
                   NULL);
}

static void patch_loss_device(device_case *c, const slope_operation *op, case_array *const x[SLOPE_INPUTS],
                              const case_array *w, case_array *const gradient[SLOPE_INPUTS])
{
    float pixels[VALUES];
    const float scales[2] = {(float)w->want[0], (float)w->want[1]};
    const double none[2] = {0};
    for (int i = 0; i < VALUES; i++) pixels[i] = (float)(i * 7 % 101 - 50) / 40.0f;
    const fsfm_patch_loss_args args = {
        .B = 2,
        .L = PATCHES,
        .R = ROWS,
        .images = {.size = SIZE, .patch = PATCH, .f32 = case_bytes(c, pixels, sizeof pixels)},
        .norm_pix = op->sizes[0],
        .pred = x[0]->dev,
        .patch = case_bytes(c, patch_of, sizeof patch_of),
        .mask = case_bytes(c, mask, sizeof mask),
        .region = case_bytes(c, region, sizeof region),
        .scales = case_bytes(c, scales, sizeof scales),
        .sums = case_bytes(c, none, sizeof none),
        .dpred = gradient[0]->dev};
    assert_ok(c->dev->ops->patch_loss(c->dev, &args, &c->err), &c->err);
}

static void patch_loss_has_the_slope(void **state)
{
    (void)state;
    for (int norm_pix = 0; norm_pix < 2; norm_pix++)
        check_slope(&(slope_operation){.sizes = {norm_pix},
                                       .count = {2 * ROWS * P},
                                       .out_count = 2,
                                       .scale = {1},
                                       .kind = {CASE_ACTS},
                                       .forward = patch_loss_forward,
                                       .device = patch_loss_device});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(heads_have_the_slope),
                                       cmocka_unit_test(patch_loss_has_the_slope)};
    return case_skips() ? 77 : cmocka_run_group_tests_name("losses", tests, NULL, NULL);
}
