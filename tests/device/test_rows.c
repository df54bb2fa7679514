/* SPDX-License-Identifier: Apache-2.0
 * Layer norm and GELU. Tolerances: a handful of roundings of numbers of size 1 to 10; sums over N rows grow
 * with sqrt(N). The normal distribution inside GELU is good to 1e-7. */
#include <math.h>
#include <stdlib.h>

#include "tests/support/device_case.h"
#include "tests/support/reference_ops.h"

static const double EPS = (double)1e-6f;

static void layernorm_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], C = sizes[1];
    const bool relu = sizes[2];
    const case_array *x = case_random(c, N * C, 2.0), *weight = case_random(c, C, 1.0),
                     *bias = case_random(c, C, 1.0);
    for (int kept = 0; kept < 2; kept++) {
        case_array *out = case_output(c, N * C), *mean = case_output(c, N), *rstd = case_output(c, N);
        const fsfm_layernorm_args args = {.N = N,
                                          .C = C,
                                          .eps = 1e-6f,
                                          .relu = relu,
                                          .x = x->dev,
                                          .weight = weight->dev,
                                          .bias = bias->dev,
                                          .out = out->dev,
                                          .mean = kept ? mean->dev : NULL,
                                          .rstd = kept ? rstd->dev : NULL};
        assert_ok(c->dev->ops->layernorm(c->dev, &args, &c->err), &c->err);
        if (c->dev->threads > 1) continue;
        ref_layernorm(N, C, EPS, relu, x->want, weight->want, bias->want, out->want, mean->want, rstd->want);
        case_check(c, out, "out", 1e-6, 4e-6);
        if (!kept) continue;
        case_check(c, mean, "mean", 1e-6, 1e-6);
        case_check(c, rstd, "rstd", 1e-6, 0.0);
    }
}

static void layernorm_backward_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], C = sizes[1];
    const bool relu = sizes[2], adds = sizes[3], in_place = sizes[4];
    const case_array *x = case_random(c, N * C, 2.0), *weight = case_random(c, C, 1.0),
                     *bias = case_random(c, C, 1.0);
    case_array *dout = case_random(c, N * C, 1.0), *dweight = case_random(c, C, 1.0),
               *dbias = case_random(c, C, 1.0);
    case_array *out = case_output(c, N * C), *mean = case_output(c, N), *rstd = case_output(c, N);
    case_array *dx = case_target(c, N * C, adds);
    const fsfm_layernorm_args args = {.N = N,
                                      .C = C,
                                      .eps = 1e-6f,
                                      .relu = relu,
                                      .x = x->dev,
                                      .weight = weight->dev,
                                      .bias = bias->dev,
                                      .out = out->dev,
                                      .mean = mean->dev,
                                      .rstd = rstd->dev};
    const fsfm_layernorm_backward_args backward = {.N = N,
                                                   .C = C,
                                                   .relu = relu,
                                                   .x = x->dev,
                                                   .out = relu ? out->dev : NULL,
                                                   .dout = dout->dev,
                                                   .weight = weight->dev,
                                                   .mean = mean->dev,
                                                   .rstd = rstd->dev,
                                                   .dx = in_place ? dout->dev : dx->dev,
                                                   .dx_adds = adds,
                                                   .dweight = dweight->dev,
                                                   .dbias = dbias->dev};
    assert_ok(c->dev->ops->layernorm(c->dev, &args, &c->err), &c->err);
    assert_ok(c->dev->ops->layernorm_backward(c->dev, &backward, &c->err), &c->err);
    if (c->dev->threads > 1) return;
    ref_layernorm(N, C, EPS, relu, x->want, weight->want, bias->want, out->want, NULL, NULL);
    ref_layernorm_backward(N, C, EPS, x->want, relu ? out->want : NULL, weight->want, dout->want, dx->want,
                           dweight->want, dbias->want);
    const double tol = 2e-6 * sqrt((double)N) + 4e-6;
    case_check(c, dweight, "dweight", 1e-6, tol);
    case_check(c, dbias, "dbias", 1e-6, tol);
    if (in_place)
        for (int64_t i = 0; i < N * C; i++) dout->want[i] = dx->want[i];
    case_check(c, in_place ? dout : dx, "dx", 2e-6, 1e-5);
}

static void layernorm_is_the_references(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{1, 48},    {3, 6},    {17, 33},  {51, 192},
                                        {130, 384}, {7, 1024}, {5, 4096}, {700, 47}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int relu = 0; relu < 2; relu++) {
            const int64_t N = shapes[i][0], C = shapes[i][1];
            case_run(layernorm_case, (const int64_t[]){N, C, relu});
            case_run(layernorm_backward_case, (const int64_t[]){N, C, relu, 0, 0});
            case_run(layernorm_backward_case, (const int64_t[]){N, C, relu, 1, 0});
            case_run(layernorm_backward_case, (const int64_t[]){N, C, relu, 0, 1});
        }
}

/* A row of mean 1,000 and deviation 1: E[x^2] - E[x]^2 would be lost in rounding. */
static void variance_is_taken_about_the_mean(void **state)
{
    (void)state;
    enum { C = 193 };
    device_case c;
    case_begin(&c, 1, C);
    float x[C];
    double want_x[C], out_want[C], weight[C], bias[C];
    for (int i = 0; i < C; i++) {
        x[i] = 1000.0f + (float)fsfm_random_normal(&c.random);
        want_x[i] = (double)x[i];
        weight[i] = 1.0;
        bias[i] = 0.0;
    }
    float ones[C], zeros[C] = {0};
    for (int i = 0; i < C; i++) ones[i] = 1.0f;
    case_array *out = case_output(&c, C);
    const fsfm_layernorm_args args = {.N = 1,
                                      .C = C,
                                      .eps = 1e-6f,
                                      .x = case_bytes(&c, x, sizeof x),
                                      .weight = case_bytes(&c, ones, sizeof ones),
                                      .bias = case_bytes(&c, zeros, sizeof zeros),
                                      .out = out->dev};
    assert_ok(c.dev->ops->layernorm(c.dev, &args, &c.err), &c.err);
    ref_layernorm(1, C, EPS, false, want_x, weight, bias, out_want, NULL, NULL);
    for (int i = 0; i < C; i++) out->want[i] = out_want[i];
    case_check(&c, out, "out", 0.0, 3e-4); /* the mean itself is good to 6e-5 */
    case_end(&c);
}

static void gelu_case(device_case *c, const int64_t *sizes)
{
    const int64_t count = sizes[0];
    const double scale = (double)sizes[1];
    case_array *x = case_random(c, count, scale), *dout = case_random(c, count, 1.0),
               *out = case_output(c, count);
    case_array *dx = case_output(c, count);
    const fsfm_gelu_args args = {.count = count, .x = x->dev, .out = out->dev};
    const fsfm_gelu_backward_args backward = {.count = count, .x = x->dev, .dout = dout->dev, .dx = dx->dev};
    const fsfm_gelu_backward_args in_place = {
        .count = count, .x = x->dev, .dout = dout->dev, .dx = dout->dev};
    const fsfm_gelu_args over_x = {.count = count, .x = x->dev, .out = x->dev};
    assert_ok(c->dev->ops->gelu(c->dev, &args, &c->err), &c->err);
    assert_ok(c->dev->ops->gelu_backward(c->dev, &backward, &c->err), &c->err);
    assert_ok(c->dev->ops->gelu_backward(c->dev, &in_place, &c->err), &c->err);
    assert_ok(c->dev->ops->gelu(c->dev, &over_x, &c->err), &c->err);
    if (c->dev->threads > 1) return;
    ref_gelu(count, x->want, out->want);
    ref_gelu_backward(count, x->want, dout->want, dx->want);
    case_check(c, out, "out", 2e-7, 1e-7);
    case_check(c, dx, "dx", 3e-7, 2e-7 * 5.0);
    for (int64_t i = 0; i < count; i++) {
        x->want[i] = out->want[i];
        dout->want[i] = dx->want[i];
    }
    case_check(c, x, "out over x", 2e-7, 1e-7);
    case_check(c, dout, "dx over dout", 3e-7, 2e-7 * 5.0);
}

static void gelu_is_the_references(void **state)
{
    (void)state;
    static const int64_t counts[] = {1, 15, 16, 17, 300, 8193, 20011};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int64_t scale = 1; scale <= 9; scale += 4)
            case_run(gelu_case, (const int64_t[]){counts[i], scale});
}

/* The whole line at small steps, and the ends. */
static void gelu_is_close_everywhere(void **state)
{
    (void)state;
    enum { COUNT = 200001 };
    device_case c;
    case_begin(&c, 1, 0);
    case_array *x = case_output(&c, COUNT), *out = case_output(&c, COUNT);
    float *line = malloc(COUNT * sizeof *line);
    assert_non_null(line);
    for (int i = 0; i < COUNT; i++) {
        line[i] = (float)(i - COUNT / 2) * 2e-4f;
        x->want[i] = (double)line[i];
    }
    assert_ok(c.dev->ops->upload(c.dev, x->dev, line, COUNT * sizeof *line, &c.err), &c.err);
    const fsfm_gelu_args args = {.count = COUNT, .x = x->dev, .out = out->dev};
    assert_ok(c.dev->ops->gelu(c.dev, &args, &c.err), &c.err);
    ref_gelu(COUNT, x->want, out->want);
    float *got = case_download(&c, out);
    double worst = 0.0;
    for (int i = 0; i < COUNT; i++) {
        const double off = fabs((double)got[i] - out->want[i]) / fmax(1.0, fabs(out->want[i]));
        worst = off > worst ? off : worst;
        assert_true(isfinite(got[i]));
    }
    print_message("gelu: largest error %.3g of max(1, |gelu|)\n", worst);
    assert_true(worst < 1.5e-7);
    free(got);
    free(line);
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layernorm_is_the_references), cmocka_unit_test(variance_is_taken_about_the_mean),
        cmocka_unit_test(gelu_is_the_references), cmocka_unit_test(gelu_is_close_everywhere)};
    return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
