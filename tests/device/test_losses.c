/* SPDX-License-Identifier: Apache-2.0
 * Normalisation, cosine and InfoNCE losses, reconstruction loss. Sums are kept in double: 1e-6 is for the
 * float values they are made of, in bf16 too. */
#include <math.h>
#include <stdlib.h>

#include "tests/support/device_case.h"
#include "tests/support/reference_ops.h"

static void normalize_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], C = sizes[1];
    const case_array *x = case_random(c, CASE_ACTS, N * C, 3.0),
                     *dout = case_random(c, CASE_FLOATS, N * C, 1.0);
    case_array *out = case_output(c, CASE_FLOATS, N * C), *norm = case_output(c, CASE_FLOATS, N),
               *dx = case_output(c, CASE_ACTS, N * C);
    const fsfm_normalize_args args = {.N = N, .C = C, .x = x->dev, .out = out->dev, .norm = norm->dev};
    const fsfm_normalize_backward_args backward = {
        .N = N, .C = C, .out = out->dev, .norm = norm->dev, .dout = dout->dev, .dx = dx->dev};
    assert_ok(c->dev->ops->normalize(c->dev, &args, &c->err), &c->err);
    assert_ok(c->dev->ops->normalize_backward(c->dev, &backward, &c->err), &c->err);
    ref_normalize(N, C, x->want, out->want, norm->want);
    ref_normalize_backward(N, C, x->want, dout->want, dx->want);
    case_check(c, out, "out", 3e-7, 0.0);
    case_check(c, norm, "norm", 2e-7, 0.0);
    case_check(c, dx, "dx", 1e-6, C == 1 ? 1e-6 : 1e-6 / sqrt((double)C));
}

static void normalize_is_the_references(void **state)
{
    (void)state;
    case_run(normalize_case, (const int64_t[]){1, 1});
    case_run(normalize_case, (const int64_t[]){3, 16});
    case_run(normalize_case, (const int64_t[]){17, 33});
    case_run(normalize_case, (const int64_t[]){40, 256});
}

static void a_row_of_zeros_stays_finite(void **state)
{
    (void)state;
    enum { C = 20 };
    device_case c;
    case_begin(&c, 1, C);
    const float zeros[C] = {0}; /* in either precision */
    case_array *out = case_output(&c, CASE_FLOATS, C), *norm = case_output(&c, CASE_FLOATS, 1);
    const fsfm_normalize_args args = {
        .N = 1, .C = C, .x = case_bytes(&c, zeros, sizeof zeros), .out = out->dev, .norm = norm->dev};
    assert_ok(c.dev->ops->normalize(c.dev, &args, &c.err), &c.err);
    norm->want[0] = 1e-12;
    case_check(&c, out, "out", 0.0, 0.0);
    case_check(&c, norm, "norm", 1e-6, 0.0);
    case_end(&c);
}

static void dot_loss_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], C = sizes[1];
    const double before = 0.25;
    const case_array *q = case_random(c, CASE_FLOATS, N * C, 0.3),
                     *k = case_random(c, CASE_FLOATS, N * C, 0.3);
    case_array *dq = case_output(c, CASE_FLOATS, N * C);
    double *sum = case_bytes(c, &before, sizeof before);
    fsfm_dot_loss_args args = {.N = N,
                               .C = C,
                               .q = q->dev,
                               .k = k->dev,
                               .offset = 2.0,
                               .slope = -2.0,
                               .dslope = -0.125f,
                               .sum = sum,
                               .dq = dq->dev};
    const double want = ref_dot_loss(N, C, 2.0, -2.0, q->want, k->want);
    assert_ok(c->dev->ops->dot_loss(c->dev, &args, &c->err), &c->err);
    case_check_double(c, sum, before + want, 1e-12);
    args.dq = NULL;
    assert_ok(c->dev->ops->dot_loss(c->dev, &args, &c->err), &c->err);
    case_check_double(c, sum, before + 2.0 * want, 1e-12);
    for (int64_t i = 0; i < N * C; i++) dq->want[i] = -0.125 * k->want[i];
    case_check(c, dq, "dq", 1e-7, 0.0);
}

static void dot_loss_is_the_references(void **state)
{
    (void)state;
    case_run(dot_loss_case, (const int64_t[]){1, 1});
    case_run(dot_loss_case, (const int64_t[]){3, 16});
    case_run(dot_loss_case, (const int64_t[]){17, 257});
    case_run(dot_loss_case, (const int64_t[]){300, 20});
}

static void infonce_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], M = sizes[1], C = sizes[2], first = sizes[3];
    const double before = 1.5, scale = 1.0 / sqrt((double)C);
    const case_array *q = case_random(c, CASE_FLOATS, N * C, scale),
                     *keys = case_random(c, CASE_FLOATS, M * C, scale);
    case_array *dq = case_output(c, CASE_FLOATS, N * C), *logits = case_output(c, CASE_FLOATS, N * M);
    double *sum = case_bytes(c, &before, sizeof before);
    fsfm_infonce_args args = {.N = N,
                              .M = M,
                              .C = C,
                              .first = case_bytes(c, &first, sizeof first),
                              .q = q->dev,
                              .keys = keys->dev,
                              .temperature = 0.1f,
                              .dscale = 0.5f,
                              .logits = logits->dev,
                              .sum = sum,
                              .dq = dq->dev};
    const double want = ref_infonce(N, M, C, first, (double)0.1f, 0.5, q->want, keys->want, dq->want);
    assert_ok(c->dev->ops->infonce(c->dev, &args, &c->err), &c->err);
    case_check_double(c, sum, before + want, 3e-6); /* logits up to 30 are floats, good to 2e-6 */
    args.dq = NULL;
    assert_ok(c->dev->ops->infonce(c->dev, &args, &c->err), &c->err);
    case_check_double(c, sum, before + 2.0 * want, 3e-6);
    case_check(c, dq, "dq", 2e-6, 2e-6);
}

static void infonce_is_the_references(void **state)
{
    (void)state;
    case_run(infonce_case, (const int64_t[]){1, 2, 1, 1});
    case_run(infonce_case, (const int64_t[]){3, 12, 16, 6});
    case_run(infonce_case, (const int64_t[]){17, 51, 33, 0});
    case_run(infonce_case, (const int64_t[]){32, 160, 256, 128});
}

/* Which patch each row predicts: a random one, or none in about every fifth row. */
static void draw_patches(device_case *c, int64_t rows, int64_t L, int32_t *patch_of)
{
    for (int64_t r = 0; r < rows; r++)
        patch_of[r] = r > 0 && fsfm_random_below(&c->random, 5) == 0
                          ? -1
                          : (int32_t)fsfm_random_below(&c->random, (uint32_t)L);
}

/* Predictions; NaN in rows that nobody looks at. */
static const case_array *draw_predictions(device_case *c, int64_t rows, int64_t P, const int32_t *patch_of)
{
    float *values = case_download(c, case_random(c, CASE_ACTS, rows * P, 1.0));
    for (int64_t i = 0; i < rows * P; i++)
        if (patch_of[i / P] < 0) values[i] = NAN;
    const case_array *pred = case_given(c, CASE_ACTS, values, rows * P);
    free(values);
    return pred;
}

/* sizes: B, patch, patches across, rows, norm_pix, images as floats. */
static void patch_loss_case(device_case *c, const int64_t *sizes)
{
    const int64_t B = sizes[0], patch = sizes[1], across = sizes[2], R = sizes[3], size = patch * across;
    const int64_t L = across * across, P = patch * patch * 3, values = B * size * size * 3;
    const bool norm_pix = sizes[4], floats = sizes[5];
    const float mean[3] = {0.5f, 0.4f, 0.3f}, std[3] = {0.2f, 0.25f, 0.3f};
    const double before[2] = {0.5, 0.25};
    const float scales[2] = {3.0f, -7.0f};
    uint8_t *u8 = malloc((size_t)values), *mask = malloc((size_t)(B * L)), *region = malloc((size_t)(B * L));
    int32_t *patch_of = malloc((size_t)(B * R) * sizeof *patch_of);
    double *pixels = malloc((size_t)values * sizeof *pixels), want[2];
    assert_true(u8 && mask && region && patch_of && pixels);
    for (int64_t i = 0; i < values; i++) u8[i] = (uint8_t)fsfm_random_u32(&c->random);
    draw_patches(c, B * R, L, patch_of);
    for (int64_t i = 0; i < B * L; i++) mask[i] = i == patch_of[0] || fsfm_random_below(&c->random, 4) > 0;
    for (int64_t i = 0; i < B * L; i++) region[i] = i == patch_of[0] || fsfm_random_below(&c->random, 5) == 0;
    const case_array *f32 = case_random(c, CASE_FLOATS, values, 1.0),
                     *pred = draw_predictions(c, B * R, P, patch_of);
    case_array *dpred = case_output(c, CASE_ACTS, B * R * P);
    double *sums = case_bytes(c, before, sizeof before);
    fsfm_patch_loss_args args = {.B = B,
                                 .L = L,
                                 .R = R,
                                 .images = {.size = size, .patch = patch},
                                 .norm_pix = norm_pix,
                                 .pred = pred->dev,
                                 .patch = case_bytes(c, patch_of, (size_t)(B * R) * sizeof *patch_of),
                                 .mask = case_bytes(c, mask, (size_t)(B * L)),
                                 .region = case_bytes(c, region, (size_t)(B * L)),
                                 .scales = case_bytes(c, scales, sizeof scales),
                                 .sums = sums,
                                 .dpred = dpred->dev};
    for (int i = 0; i < 3; i++) {
        args.images.mean[i] = mean[i];
        args.images.std[i] = std[i];
    }
    if (floats)
        args.images.f32 = f32->dev;
    else
        args.images.u8 = case_bytes(c, u8, (size_t)values);
    ref_pixels(B, size, u8, mean, std, pixels);
    ref_patch_loss(B, R, size, patch, floats ? f32->want : pixels, norm_pix, pred->want, patch_of, mask,
                   region, 3.0, -7.0, want, dpred->want);
    for (int run = 1; run <= 2; run++) {
        assert_ok(c->dev->ops->patch_loss(c->dev, &args, &c->err), &c->err);
        case_check_double(c, sums, before[0] + run * want[0], 1e-6);
        case_check_double(c, sums + 1, before[1] + run * want[1], 1e-6);
        args.dpred = NULL;
        args.scales = NULL;
    }
    case_check(c, dpred, "dpred", 1e-6, 2e-6 * 10.0 / (double)P);
    free(u8);
    free(mask);
    free(region);
    free(patch_of);
    free(pixels);
}

static void patch_loss_is_the_references(void **state)
{
    (void)state;
    for (int64_t norm_pix = 0; norm_pix < 2; norm_pix++)
        for (int64_t floats = 0; floats < 2; floats++) {
            case_run(patch_loss_case, (const int64_t[]){1, 1, 1, 1, norm_pix, floats});
            case_run(patch_loss_case, (const int64_t[]){3, 8, 4, 16, norm_pix, floats});
            case_run(patch_loss_case, (const int64_t[]){17, 3, 5, 7, norm_pix, floats});
            case_run(patch_loss_case, (const int64_t[]){2, 16, 14, 150, norm_pix, floats});
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalize_is_the_references), cmocka_unit_test(a_row_of_zeros_stays_finite),
        cmocka_unit_test(dot_loss_is_the_references), cmocka_unit_test(infonce_is_the_references),
        cmocka_unit_test(patch_loss_is_the_references)};
    return case_skips() ? 77 : cmocka_run_group_tests_name("losses", tests, NULL, NULL);
}
