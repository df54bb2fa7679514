/* SPDX-License-Identifier: Apache-2.0
 * Layer norm and GELU. Tolerances: a handful of roundings of numbers of size 1 to 10; sums over N rows grow
 * with sqrt(N). In bf16 these are floats all the way to the end, too. */
#include <math.h>
#include <stdlib.h>

#include "tests/support/bfloat16.h"
#include "tests/support/device_case.h"
#include "tests/support/reference_ops.h"

static const double EPS = (double)1e-6f;

static case_array *random_rows(device_case *c, int64_t count, bool is_float)
{
    return case_random(c, is_float ? CASE_FLOATS : CASE_ACTS, count, 2.0);
}

/* sizes of these cases: N, C, relu, x_is_float */
static void layernorm_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], C = sizes[1];
    const bool relu = sizes[2], is_float = sizes[3];
    const case_array *x = random_rows(c, N * C, is_float), *weight = case_random(c, CASE_FLOATS, C, 1.0),
                     *bias = case_random(c, CASE_FLOATS, C, 1.0);
    for (int kept = 0; kept < 2; kept++) {
        case_array *out = case_output(c, CASE_ACTS, N * C), *mean = case_output(c, CASE_FLOATS, N),
                   *rstd = case_output(c, CASE_FLOATS, N);
        const fsfm_layernorm_args args = {.N = N,
                                          .C = C,
                                          .eps = 1e-6f,
                                          .relu = relu,
                                          .x_is_float = is_float,
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

/* Statistics as given, be they true or not, and left as they are. */
static void known_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], C = sizes[1];
    const bool relu = sizes[2], is_float = sizes[3];
    const case_array *x = random_rows(c, N * C, is_float), *weight = case_random(c, CASE_FLOATS, C, 1.0),
                     *bias = case_random(c, CASE_FLOATS, C, 1.0);
    const case_array *mean = case_random(c, CASE_FLOATS, N, 1.0), *rstd = case_random(c, CASE_FLOATS, N, 1.0);
    case_array *out = case_output(c, CASE_ACTS, N * C);
    const fsfm_layernorm_args args = {.N = N,
                                      .C = C,
                                      .eps = 1e-6f,
                                      .relu = relu,
                                      .is_known = true,
                                      .x_is_float = is_float,
                                      .x = x->dev,
                                      .weight = weight->dev,
                                      .bias = bias->dev,
                                      .out = out->dev,
                                      .mean = mean->dev,
                                      .rstd = rstd->dev};
    assert_ok(c->dev->ops->layernorm(c->dev, &args, &c->err), &c->err);
    for (int64_t i = 0; i < N * C; i++) {
        const double y = (x->want[i] - mean->want[i / C]) * rstd->want[i / C] * weight->want[i % C];
        out->want[i] = fmax(y + bias->want[i % C], relu ? 0.0 : -INFINITY);
    }
    case_check(c, out, "out", 1e-6, 4e-6);
    case_check(c, mean, "mean", 0.0, 0.0);
    case_check(c, rstd, "rstd", 0.0, 0.0);
}

/* And: dx_adds, dx in place of dout. */
static void layernorm_backward_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], C = sizes[1];
    const bool relu = sizes[2], is_float = sizes[3], adds = sizes[4], in_place = sizes[5];
    const case_array *x = random_rows(c, N * C, is_float), *weight = case_random(c, CASE_FLOATS, C, 1.0),
                     *bias = case_random(c, CASE_FLOATS, C, 1.0);
    case_array *dout = case_random(c, CASE_ACTS, N * C, 1.0), *dweight = case_random(c, CASE_FLOATS, C, 1.0),
               *dbias = case_random(c, CASE_FLOATS, C, 1.0);
    case_array *out = case_output(c, CASE_ACTS, N * C), *mean = case_output(c, CASE_FLOATS, N),
               *rstd = case_output(c, CASE_FLOATS, N);
    case_array *dx = case_target(c, CASE_ACTS, N * C, adds);
    const fsfm_layernorm_args args = {.N = N,
                                      .C = C,
                                      .eps = 1e-6f,
                                      .relu = relu,
                                      .x_is_float = is_float,
                                      .x = x->dev,
                                      .weight = weight->dev,
                                      .bias = bias->dev,
                                      .out = out->dev,
                                      .mean = mean->dev,
                                      .rstd = rstd->dev};
    const fsfm_layernorm_backward_args backward = {.N = N,
                                                   .C = C,
                                                   .relu = relu,
                                                   .x_is_float = is_float,
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
        for (int form = 0; form < 4; form++) {
            const int64_t N = shapes[i][0], C = shapes[i][1], relu = form % 2, is_float = form / 2;
            case_run(layernorm_case, (const int64_t[]){N, C, relu, is_float});
            case_run(known_case, (const int64_t[]){N, C, relu, is_float});
            case_run(layernorm_backward_case, (const int64_t[]){N, C, relu, is_float, 0, 0});
            case_run(layernorm_backward_case, (const int64_t[]){N, C, relu, is_float, 1, 0});
            case_run(layernorm_backward_case, (const int64_t[]){N, C, relu, is_float, 0, 1});
        }
}

/* A row of mean 1,000 and deviation 2 (in bfloat16 of 996, 1,000 and 1,004): E[x^2] - E[x]^2 would be lost in
 * rounding. */
static void variance_is_taken_about_the_mean(void **state)
{
    (void)state;
    enum { C = 193 };
    device_case c;
    case_begin(&c, 1, C);
    float *values = case_download(&c, case_random(&c, CASE_FLOATS, C, 2.0));
    for (int i = 0; i < C; i++) values[i] += 1000.0f;
    const case_array *x = case_given(&c, CASE_ACTS, values, C);
    const case_array *weight = case_random(&c, CASE_FLOATS, C, 1.0),
                     *bias = case_random(&c, CASE_FLOATS, C, 1.0);
    case_array *out = case_output(&c, CASE_ACTS, C);
    const fsfm_layernorm_args args = {
        .N = 1, .C = C, .eps = 1e-6f, .x = x->dev, .weight = weight->dev, .bias = bias->dev, .out = out->dev};
    assert_ok(c.dev->ops->layernorm(c.dev, &args, &c.err), &c.err);
    ref_layernorm(1, C, EPS, false, x->want, weight->want, bias->want, out->want, NULL, NULL);
    case_check(&c, out, "out", 0.0, 1e-4); /* the mean itself is good to 6e-5 */
    free(values);
    case_end(&c);
}

/* A weight that hands its input on, so that a linear layer is what follows it. */
static case_array *identity(device_case *c, int64_t C)
{
    float *values = calloc((size_t)(C * C), sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < C; i++) values[i * C + i] = 1.0f;
    case_array *weight = case_given(c, CASE_WEIGHTS, values, C * C);
    free(values);
    return weight;
}

static void gelu_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], C = sizes[1];
    const case_array *weight = identity(c, C), *x = case_random(c, CASE_ACTS, N * C, (double)sizes[2]),
                     *dout = case_random(c, CASE_ACTS, N * C, 1.0);
    case_array *hidden = case_output(c, CASE_ACTS, N * C), *out = case_output(c, CASE_ACTS, N * C),
               *again = case_output(c, CASE_ACTS, N * C), *dx = case_output(c, CASE_ACTS, N * C);
    const fsfm_linear_args args = {.N = N,
                                   .Cin = C,
                                   .Cout = C,
                                   .x = x->dev,
                                   .weight = weight->dev,
                                   .out = hidden->dev,
                                   .active = out->dev};
    const fsfm_linear_backward_args backward = {.N = N,
                                                .Cin = C,
                                                .Cout = C,
                                                .weight = weight->dev,
                                                .dout = dout->dev,
                                                .dx = dx->dev,
                                                .hidden = hidden->dev,
                                                .active = again->dev};
    assert_ok(c->dev->ops->linear(c->dev, &args, &c->err), &c->err);
    assert_ok(c->dev->ops->linear_backward(c->dev, &backward, &c->err), &c->err);
    if (c->dev->threads > 1) return;
    case_check_equal(c, hidden, x, "hidden");
    case_check_equal(c, again, out, "GELU made again");
    ref_gelu(N * C, x->want, out->want);
    ref_gelu_backward(N * C, x->want, dout->want, dx->want);
    case_check(c, out, "out", case_gelu_rtol(c), case_gelu_atol(c));
    case_check(c, dx, "dx", 3e-7, case_gelu_slope_atol(c) * 5.0); /* |dout| <= sqrt(3) */
}

static void gelu_is_the_references(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{1, 1}, {3, 15}, {7, 16}, {5, 17}, {300, 33}, {2, 1040}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int64_t scale = 1; scale <= 9; scale += 4)
            case_run(gelu_case, (const int64_t[]){shapes[i][0], shapes[i][1], scale});
}

/* The whole line at small steps, and the ends. */
static void gelu_is_close_everywhere(void **state)
{
    (void)state;
    enum { C = 16, N = 12501, COUNT = N * C };
    device_case c;
    case_begin(&c, 1, 0);
    float *line = malloc(COUNT * sizeof *line);
    assert_non_null(line);
    for (int i = 0; i < COUNT; i++) line[i] = (float)(i - COUNT / 2) * 2e-4f;
    const case_array *x = case_given(&c, CASE_ACTS, line, COUNT), *weight = identity(&c, C);
    case_array *out = case_output(&c, CASE_ACTS, COUNT);
    const fsfm_linear_args args = {
        .N = N, .Cin = C, .Cout = C, .x = x->dev, .weight = weight->dev, .out = out->dev, .active = out->dev};
    assert_ok(c.dev->ops->linear(c.dev, &args, &c.err), &c.err);
    ref_gelu(COUNT, x->want, out->want);
    case_check(&c, out, "out", case_gelu_rtol(&c), case_gelu_atol(&c));
    float *got = case_download(&c, out);
    double worst = 0.0;
    for (int i = 0; i < COUNT; i++) {
        const double off = fabs((double)got[i] - out->want[i]) / fmax(1.0, fabs(out->want[i]));
        worst = off > worst ? off : worst;
    }
    print_message("gelu: largest error %.3g of max(1, |gelu|)\n", worst);
    assert_true(worst < (c.is_bf16 ? BF16_ROUNDING : 1.5e-7));
    free(got);
    free(line);
    case_end(&c);
}

/* Its slope too, by the gradient of 1 that comes through. */
static void slope_is_close_everywhere(void **state)
{
    (void)state;
    enum { C = 16, N = 12501, COUNT = N * C };
    device_case c;
    case_begin(&c, 1, 0);
    float *line = malloc(COUNT * sizeof *line), *ones = malloc(COUNT * sizeof *ones);
    assert_true(line && ones);
    for (int i = 0; i < COUNT; i++) line[i] = (float)(i - COUNT / 2) * 2e-4f, ones[i] = 1.0f;
    const case_array *x = case_given(&c, CASE_ACTS, line, COUNT), *weight = identity(&c, C),
                     *dout = case_given(&c, CASE_ACTS, ones, COUNT);
    case_array *dx = case_output(&c, CASE_ACTS, COUNT);
    const fsfm_linear_backward_args args = {.N = N,
                                            .Cin = C,
                                            .Cout = C,
                                            .weight = weight->dev,
                                            .dout = dout->dev,
                                            .dx = dx->dev,
                                            .hidden = x->dev};
    assert_ok(c.dev->ops->linear_backward(c.dev, &args, &c.err), &c.err);
    ref_gelu_backward(COUNT, x->want, dout->want, dx->want);
    case_check(&c, dx, "dx", 3e-7, case_gelu_slope_atol(&c));
    free(line);
    free(ones);
    case_end(&c);
}

/* NaN comes through; infinities and numbers far out have the limits' values. */
static void gelu_has_its_limits(void **state)
{
    (void)state;
    enum { C = 8 };
    device_case c;
    case_begin(&c, 1, 0);
    const float ends[C] = {NAN, INFINITY, 1e30f, 0.0f, -0.0f, -1e30f, -30.0f, 30.0f};
    const case_array *x = case_given(&c, CASE_ACTS, ends, C);
    float ones[C * C];
    for (int i = 0; i < C * C; i++) ones[i] = i % (C + 1) == 0 ? 1.0f : 0.0f;
    const case_array *weight = case_given(&c, CASE_WEIGHTS, ones, C * C);
    for (int i = 0; i < C; i++) ones[i] = 1.0f;
    const case_array *dout = case_given(&c, CASE_ACTS, ones, C);
    case_array *dx = case_output(&c, CASE_ACTS, C), *active = case_output(&c, CASE_ACTS, C);
    const fsfm_linear_backward_args args = {.N = 1,
                                            .Cin = C,
                                            .Cout = C,
                                            .weight = weight->dev,
                                            .dout = dout->dev,
                                            .dx = dx->dev,
                                            .hidden = x->dev,
                                            .active = active->dev};
    assert_ok(c.dev->ops->linear_backward(c.dev, &args, &c.err), &c.err);
    float *values = case_download(&c, active);
    float *slopes = case_download(&c, dx);
    static const float limits[C] = {NAN, INFINITY, 1e30f, 0.0f, 0.0f, 0.0f, 0.0f, 30.0f};
    static const float slope_limits[C] = {NAN, 1.0f, 1.0f, 0.5f, 0.5f, 0.0f, 0.0f, 1.0f};
    assert_true(isnan(values[0]) && isnan(slopes[0]));
    assert_true(isinf(values[1]) && values[1] > 0.0f);
    for (int i = 1; i < C; i++) {
        if (i > 1) assert_true(fabsf(values[i] - limits[i]) <= 5e-3f * fabsf(limits[i]) + 5e-8f);
        assert_true(fabsf(slopes[i] - slope_limits[i]) <= 3e-5f);
    }
    free(values);
    free(slopes);
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layernorm_is_the_references), cmocka_unit_test(variance_is_taken_about_the_mean),
        cmocka_unit_test(gelu_is_the_references),      cmocka_unit_test(gelu_is_close_everywhere),
        cmocka_unit_test(slope_is_close_everywhere),   cmocka_unit_test(gelu_has_its_limits)};
    return case_skips() ? 77 : cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
