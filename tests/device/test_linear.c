/* SPDX-License-Identifier: Apache-2.0
 * Tolerances: a sum of K products of numbers of size 1 has partial sums of size sqrt(K), rounded K times at
 * 3e-8 of that and in random directions: 2e-8 K is usual; the largest of 10^5 entries is five times that. */
#include "tests/support/device_case.h"
#include "tests/support/reference_ops.h"

static double tolerance(int64_t K)
{
    return 1.5e-7 * (double)K + 1e-6;
}

static void linear_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], Cin = sizes[1], Cout = sizes[2];

    const case_array *x = case_random(c, N * Cin, 1.0), *weight = case_random(c, Cout * Cin, 1.0);
    const case_array *bias = case_random(c, Cout, 1.0), *residual = case_random(c, N * Cout, 1.0);
    for (int form = 0; form < 4; form++) { /* plain, bias, bias and residual, residual in place */
        case_array *out = case_target(c, N * Cout, form == 3);
        const fsfm_linear_args args = {.N = N,
                                       .Cin = Cin,
                                       .Cout = Cout,
                                       .x = x->dev,
                                       .weight = weight->dev,
                                       .bias = form > 0 ? bias->dev : NULL,
                                       .residual = form == 3   ? out->dev
                                                   : form == 2 ? residual->dev
                                                               : NULL,
                                       .out = out->dev};
        assert_ok(c->dev->ops->linear(c->dev, &args, &c->err), &c->err);
        if (c->dev->threads > 1) continue;
        ref_linear(N, Cin, Cout, x->want, weight->want, form > 0 ? bias->want : NULL,
                   form == 3   ? out->want
                   : form == 2 ? residual->want
                               : NULL,
                   out->want);
        case_check(c, out, "out", 1e-6, tolerance(Cin));
    }
}

static void backward_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], Cin = sizes[1], Cout = sizes[2];
    const case_array *x = case_random(c, N * Cin, 1.0), *weight = case_random(c, Cout * Cin, 1.0);
    const case_array *dout = case_random(c, N * Cout, 1.0);
    for (int adds = 0; adds < 2; adds++) {
        case_array *dx = case_target(c, N * Cin, adds), *dweight = case_random(c, Cout * Cin, 1.0);
        case_array *dbias = case_random(c, Cout, 1.0);
        const fsfm_linear_backward_args args = {.N = N,
                                                .Cin = Cin,
                                                .Cout = Cout,
                                                .x = x->dev,
                                                .weight = weight->dev,
                                                .dout = dout->dev,
                                                .dx = dx->dev,
                                                .dx_adds = adds,
                                                .dweight = dweight->dev,
                                                .dbias = dbias->dev};
        assert_ok(c->dev->ops->linear_backward(c->dev, &args, &c->err), &c->err);
        if (c->dev->threads > 1) continue;
        ref_linear_backward(N, Cin, Cout, x->want, weight->want, dout->want, dx->want, dweight->want,
                            dbias->want);
        case_check(c, dx, "dx", 1e-6, tolerance(Cout));
        case_check(c, dweight, "dweight", 1e-6, tolerance(N));
        case_check(c, dbias, "dbias", 1e-6, tolerance(N));
    }
}

/* Gradients that are not wanted may be NULL, and x too where no dweight is. */
static void unwanted_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], Cin = sizes[1], Cout = sizes[2];
    const case_array *x = case_random(c, N * Cin, 1.0), *weight = case_random(c, Cout * Cin, 1.0);
    const case_array *dout = case_random(c, N * Cout, 1.0);
    case_array *dx = case_output(c, N * Cin), *dweight = case_random(c, Cout * Cin, 1.0);
    fsfm_linear_backward_args args = {
        .N = N, .Cin = Cin, .Cout = Cout, .weight = weight->dev, .dout = dout->dev, .dx = dx->dev};
    assert_ok(c->dev->ops->linear_backward(c->dev, &args, &c->err), &c->err);
    args.x = x->dev;
    args.dx = NULL;
    args.dweight = dweight->dev;
    assert_ok(c->dev->ops->linear_backward(c->dev, &args, &c->err), &c->err);
    ref_linear_backward(N, Cin, Cout, x->want, weight->want, dout->want, dx->want, dweight->want, NULL);
    case_check(c, dx, "dx", 1e-6, 1e-5);
    case_check(c, dweight, "dweight", 1e-6, 1e-5);
}

/* Odd shapes, shapes of one entry, and some that are cut into several blocks each way. */
static const int64_t shapes[][3] = {{1, 1, 1},      {1, 48, 16},    {3, 7, 5},      {17, 30, 33},
                                    {50, 48, 144},  {102, 65, 31},  {6, 192, 1024}, {300, 40, 1100},
                                    {600, 130, 50}, {1030, 33, 70}, {64, 1000, 20}, {32, 1024, 256},
                                    {2, 640, 640}};

static void linear_is_the_references(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) case_run(linear_case, shapes[i]);
}

static void linear_backward_is_the_references(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) case_run(backward_case, shapes[i]);
}

static void unwanted_gradients_may_be_null(void **state)
{
    (void)state;
    case_run(unwanted_case, (const int64_t[]){19, 21, 23});
}

/* Shapes of the models, for the bits alone: the reference would take long. */
static void bits_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], Cin = sizes[1], Cout = sizes[2];
    const case_array *x = case_random(c, N * Cin, 1.0), *weight = case_random(c, Cout * Cin, 1.0);
    case_array *out = case_output(c, N * Cout), *dx = case_output(c, N * Cin),
               *dweight = case_random(c, Cout * Cin, 1.0);
    case_array *dbias = case_random(c, Cout, 1.0);
    const fsfm_linear_args args = {
        .N = N, .Cin = Cin, .Cout = Cout, .x = x->dev, .weight = weight->dev, .out = out->dev};
    const fsfm_linear_backward_args backward = {.N = N,
                                                .Cin = Cin,
                                                .Cout = Cout,
                                                .x = x->dev,
                                                .weight = weight->dev,
                                                .dout = out->dev,
                                                .dx = dx->dev,
                                                .dweight = dweight->dev,
                                                .dbias = dbias->dev};
    assert_ok(c->dev->ops->linear(c->dev, &args, &c->err), &c->err);
    assert_ok(c->dev->ops->linear_backward(c->dev, &backward, &c->err), &c->err);
}

static void bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    static const int64_t widths[][2] = {{768, 192},  {192, 576},  {384, 1152}, {384, 1536},
                                        {1536, 384}, {512, 2048}, {2048, 512}, {4096, 256},
                                        {384, 4096}, {256, 4096}, {64, 16},    {48, 192}};
    static const int64_t rows[] = {1, 8, 50, 394, 1576};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
            if (rows[k] * widths[i][0] * widths[i][1] < 60 * 1000 * 1000)
                case_run(bits_case, (const int64_t[]){rows[k], widths[i][0], widths[i][1]});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_is_the_references), cmocka_unit_test(linear_backward_is_the_references),
        cmocka_unit_test(unwanted_gradients_may_be_null), cmocka_unit_test(bits_do_not_depend_on_threads)};
    return cmocka_run_group_tests_name("linear", tests, NULL, NULL);
}
