/* SPDX-License-Identifier: Apache-2.0
 * Tolerances: a sum of K products of numbers of size 1 has partial sums of size sqrt(K), rounded K times at
 * 3e-8 of that and in random directions: 2e-8 K is usual; the largest of 10^5 entries is five times that.
 * Sums are floats in bf16 too, and rounded once (see case_check), with what is added to them inside. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/bfloat16.h"
#include "tests/support/device_case.h"
#include "tests/support/reference_ops.h"

static double tolerance(int64_t K)
{
    return 1.5e-7 * (double)K + 1e-6;
}

/* Takes what the device holds, once that is checked, for what the reference goes on with. */
static void take_over(device_case *c, case_array *array)
{
    float *got = case_download(c, array);
    for (int64_t i = 0; i < array->count; i++) array->want[i] = (double)got[i];
    free(got);
}

enum { ROWS_BEFORE = 3 }; /* of the matrix, before those that are the weight */

static case_array *random_matrix(device_case *c, int64_t Cin, int64_t Cout)
{
    return case_random(c, CASE_WEIGHTS, (ROWS_BEFORE + Cout + 1) * Cin, 1.0);
}

static const fsfm_act *weight_dev(const device_case *c, const case_array *matrix, int64_t Cin)
{
    return fsfm_act_after(c->dev, matrix->dev, ROWS_BEFORE * Cin);
}

typedef enum { PLAIN, BIAS, RESIDUAL, RESIDUAL_IN_PLACE, ACTIVE, ACTIVE_IN_PLACE, FORMS } form;

/* A GPU may round bias before it is added: a rounding more, of bias alone, which case_check() grants in bf16
 * where it finds (bias / 2.5)^2. */
static void allow_rounded_bias(case_array *out, const case_array *bias, int64_t Cout)
{
    double *squares = case_squares(out);
    for (int64_t i = 0; i < out->count; i++) squares[i] = pow(bias->want[i % Cout] / 2.5, 2.0);
}

/* sizes: N, Cin, Cout, out_is_float */
static void linear_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], Cin = sizes[1], Cout = sizes[2];
    const bool is_float = sizes[3];
    const case_kind kind = is_float ? CASE_FLOATS : CASE_ACTS;
    const case_array *x = case_random(c, CASE_ACTS, N * Cin, 1.0), *matrix = random_matrix(c, Cin, Cout);
    const case_array *bias = case_random(c, CASE_FLOATS, Cout, 1.0),
                     *residual = case_random(c, kind, N * Cout, 1.0);
    case_array *active = case_output(c, CASE_ACTS, N * Cout);
    for (form f = PLAIN; f < (is_float ? ACTIVE : FORMS); f++) {
        case_array *out = case_target(c, kind, N * Cout, f == RESIDUAL_IN_PLACE);
        const case_array *added = f == RESIDUAL ? residual : f == RESIDUAL_IN_PLACE ? out : NULL;
        const case_array *with_bias = f == PLAIN ? NULL : bias;
        const fsfm_linear_args args = {.N = N,
                                       .Cin = Cin,
                                       .Cout = Cout,
                                       .x = x->dev,
                                       .weight = weight_dev(c, matrix, Cin),
                                       .bias = with_bias ? with_bias->dev : NULL,
                                       .out_is_float = is_float,
                                       .residual = added ? added->dev : NULL,
                                       .out = out->dev,
                                       .active = f == ACTIVE            ? active->dev
                                                 : f == ACTIVE_IN_PLACE ? out->dev
                                                                        : NULL};
        assert_ok(c->dev->ops->linear(c->dev, &args, &c->err), &c->err);
        if (c->dev->threads > 1) continue;
        if (f == ACTIVE_IN_PLACE) {
            case_check_equal(c, out, active, "GELU in place");
            continue;
        }
        ref_linear(N, Cin, Cout, x->want, matrix->want + ROWS_BEFORE * Cin, with_bias ? bias->want : NULL,
                   added ? added->want : NULL, out->want);
        if (with_bias && !is_float && c->dev->kind == FSFM_DEVICE_CUDA) allow_rounded_bias(out, bias, Cout);
        case_check(c, out, "out", 1e-6, tolerance(Cin));
        if (f != ACTIVE) continue;
        const bool of_rounded = c->dev->kind == FSFM_DEVICE_CUDA;
        if (of_rounded) take_over(c, out);
        ref_gelu(N * Cout, out->want, active->want);
        /* The slope of GELU is at most 1.13. */
        case_check(c, active, "active", case_gelu_rtol(c),
                   case_gelu_atol(c) + (of_rounded ? 0.0 : 1.13 * tolerance(Cin)));
    }
}

static void backward_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], Cin = sizes[1], Cout = sizes[2];
    const case_array *x = case_random(c, CASE_ACTS, N * Cin, 1.0), *matrix = random_matrix(c, Cin, Cout);
    const case_array *dout = case_random(c, CASE_ACTS, N * Cout, 1.0);
    for (int adds = 0; adds < 2; adds++) {
        case_array *dx = case_target(c, CASE_ACTS, N * Cin, adds),
                   *dweight = case_random(c, CASE_FLOATS, Cout * Cin, 1.0),
                   *dbias = case_random(c, CASE_FLOATS, Cout, 1.0);
        const fsfm_linear_backward_args args = {.N = N,
                                                .Cin = Cin,
                                                .Cout = Cout,
                                                .x = x->dev,
                                                .weight = weight_dev(c, matrix, Cin),
                                                .dout = dout->dev,
                                                .dx = dx->dev,
                                                .dx_adds = adds,
                                                .dweight = dweight->dev,
                                                .dbias = dbias->dev};
        assert_ok(c->dev->ops->linear_backward(c->dev, &args, &c->err), &c->err);
        if (c->dev->threads > 1) continue;
        ref_linear_backward(N, Cin, Cout, x->want, matrix->want + ROWS_BEFORE * Cin, dout->want, dx->want,
                            dweight->want, dbias->want);
        case_check(c, dx, "dx", 1e-6, tolerance(Cout));
        case_check(c, dweight, "dweight", 1e-6, tolerance(N));
        case_check(c, dbias, "dbias", 1e-6, tolerance(N));
    }
}

/* x was GELU(hidden), kept or made once more. */
static void hidden_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], Cin = sizes[1], Cout = sizes[2];
    const case_array *hidden = case_random(c, CASE_ACTS, N * Cin, 1.0), *matrix = random_matrix(c, Cin, Cout);
    const case_array *dout = case_random(c, CASE_ACTS, N * Cout, 1.0);
    case_array *x = case_output(c, CASE_ACTS, N * Cin), *dx_of_x = case_output(c, CASE_FLOATS, N * Cin);
    for (int again = 1; again >= 0; again--) {
        case_array *dx = case_output(c, CASE_ACTS, N * Cin),
                   *dweight = case_random(c, CASE_FLOATS, Cout * Cin, 1.0),
                   *dbias = case_random(c, CASE_FLOATS, Cout, 1.0);
        const fsfm_linear_backward_args args = {.N = N,
                                                .Cin = Cin,
                                                .Cout = Cout,
                                                .x = again ? NULL : x->dev,
                                                .weight = weight_dev(c, matrix, Cin),
                                                .dout = dout->dev,
                                                .dx = dx->dev,
                                                .dweight = dweight->dev,
                                                .dbias = dbias->dev,
                                                .hidden = hidden->dev,
                                                .active = again ? x->dev : NULL};
        assert_ok(c->dev->ops->linear_backward(c->dev, &args, &c->err), &c->err);
        if (c->dev->threads > 1) continue;
        if (again) {
            ref_gelu(N * Cin, hidden->want, x->want);
            case_check(c, x, "active", case_gelu_rtol(c), case_gelu_atol(c));
            take_over(c, x);
        }
        for (int64_t i = 0; i < N * Cin; i++) dx_of_x->want[i] = 0.0;
        ref_linear_backward(N, Cin, Cout, x->want, matrix->want + ROWS_BEFORE * Cin, dout->want,
                            dx_of_x->want, dweight->want, dbias->want);
        ref_gelu_backward(N * Cin, hidden->want, dx_of_x->want, dx->want);
        /* The product, of size sqrt(Cout), may be rounded before the slope of GELU, up to 1.13, meets it. */
        case_check(c, dx, "dx", c->is_bf16 ? BF16_ROUNDING : 1e-6,
                   1.13 * tolerance(Cout) +
                       (c->is_bf16 ? 5.0 * sqrt((double)Cout) * case_gelu_slope_atol(c) : 0.0));
        case_check(c, dweight, "dweight", 1e-6, tolerance(N));
        case_check(c, dbias, "dbias", 1e-6, tolerance(N));
    }
}

/* Gradients that are not wanted may be NULL, and x too where no dweight is. */
static void unwanted_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], Cin = sizes[1], Cout = sizes[2];
    const case_array *x = case_random(c, CASE_ACTS, N * Cin, 1.0),
                     *weight = case_random(c, CASE_WEIGHTS, Cout * Cin, 1.0);
    const case_array *dout = case_random(c, CASE_ACTS, N * Cout, 1.0);
    case_array *dx = case_output(c, CASE_ACTS, N * Cin),
               *dweight = case_random(c, CASE_FLOATS, Cout * Cin, 1.0);
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
                                    {2, 640, 640},  {4, 33, 63},    {5, 64, 47},    {1031, 26, 51},
                                    {4200, 515, 3}, {9, 588, 40},   {21, 32, 588}};

static void run_all(case_fn fn, bool out_is_float)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        case_run(fn, (const int64_t[]){shapes[i][0], shapes[i][1], shapes[i][2], out_is_float});
}

static void linear_is_the_references(void **state)
{
    (void)state;
    run_all(linear_case, false);
    run_all(linear_case, true);
}

static void linear_backward_is_the_references(void **state)
{
    (void)state;
    run_all(backward_case, false);
}

/* sizes: N, Cin, Cout; whether the emulated library has no product that brings the sums along. What is slow
 * is known of that library alone. */
static void along_case(device_case *c, const int64_t *sizes)
{
    const char *told = sizes[3] ? "144x48x50 bias gradient" : "";
    backward_case(c, sizes);
    if (strstr(c->dev->name, "emulated")) assert_string_equal(c->dev->slow_products, told);
}

/* dbias comes along with dweight where a GPU's library has that, and else is summed by itself. */
static void bias_gradients_come_along(void **state)
{
    (void)state;
    case_run(along_case, (const int64_t[]){50, 48, 144, false});
    setenv("FSFM_EMULATION_NO_ALGORITHM", "sums", 1);
    case_run(along_case, (const int64_t[]){50, 48, 144, true});
    case_run(backward_case, (const int64_t[]){9, 588, 40});
    unsetenv("FSFM_EMULATION_NO_ALGORITHM");
}

static void backward_goes_through_gelu(void **state)
{
    (void)state;
    run_all(hidden_case, false);
}

static void unwanted_gradients_may_be_null(void **state)
{
    (void)state;
    case_run(unwanted_case, (const int64_t[]){19, 21, 23});
}

/* sizes: N, Cin, Cout; which array begins at its second element: x, bias, the residual or out. */
static void unaligned_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], Cin = sizes[1], Cout = sizes[2], which = sizes[3];
    const int at[4] = {which == 0, which == 1, which == 2, which == 3};
    case_array *x = case_random(c, CASE_ACTS, 1 + N * Cin, 1.0),
               *out = case_output(c, CASE_ACTS, 1 + N * Cout);
    const case_array *weight = case_random(c, CASE_WEIGHTS, Cout * Cin, 1.0),
                     *bias = case_random(c, CASE_FLOATS, 1 + Cout, 1.0),
                     *residual = case_random(c, CASE_ACTS, 1 + N * Cout, 1.0);
    case_zero(c, out);
    const fsfm_linear_args args = {.N = N,
                                   .Cin = Cin,
                                   .Cout = Cout,
                                   .x = case_at(c, x, at[0]),
                                   .weight = weight->dev,
                                   .bias = case_at(c, bias, at[1]),
                                   .residual = case_at(c, residual, at[2]),
                                   .out = case_at(c, out, at[3])};
    assert_ok(c->dev->ops->linear(c->dev, &args, &c->err), &c->err);
    if (c->dev->threads > 1) return;
    ref_linear(N, Cin, Cout, x->want + at[0], weight->want, bias->want + at[1], residual->want + at[2],
               out->want + at[3]);
    double *squares = case_squares(out); /* see allow_rounded_bias() */
    for (int64_t i = 0; c->dev->kind == FSFM_DEVICE_CUDA && i < N * Cout; i++)
        squares[at[3] + i] = pow(bias->want[at[1] + i % Cout] / 2.5, 2.0);
    case_check(c, out, "out", 1e-6, tolerance(Cin));
}

/* Arrays that begin where an element may: libraries' products want more. Kernels take these shapes in one
 * part, in parts by blocks of their own, and in parts one after the other. */
static void arrays_may_begin_anywhere(void **state)
{
    (void)state;
    static const int64_t widths[][3] = {{16, 64, 64}, {16, 1024, 64}, {4200, 512, 8}};
    for (int i = 0; i < 3; i++)
        for (int which = 0; which < 4; which++)
            case_run(unaligned_case, (const int64_t[]){widths[i][0], widths[i][1], widths[i][2], which});
}

/* What a GPU's library does not take is told, each shape once; also of what is computed in fp32. Widths are
 * no reason. */
static void slow_products_are_told(void **state)
{
    (void)state;
    enum { N = 3, C = 64 };
    static const struct {
        int64_t in, out, at;
        bool is_whole;
        const char *told;
    } steps[] = {{C, C, 0, false, ""},
                 {10, 7, 0, false, ""},
                 {C, C, 1, false, "3x64x64"},
                 {C, C, 1, false, "3x64x64"},
                 {C, 8, 1, true, "3x64x64, 3x8x64"},
                 {C, 16, 1, false, "3x64x64, 3x8x64, 3x16x64"},
                 {C, 32, 1, true, "3x64x64, 3x8x64, 3x16x64 and 1 more"}};
    device_case c;
    case_begin(&c, 1, 0);
    const case_array *x = case_random(&c, CASE_FLOATS, 1 + N * C, 1.0),
                     *weight = case_random(&c, CASE_FLOATS, C * C, 1.0);
    case_array *out = case_output(&c, CASE_FLOATS, N * C);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        fsfm_device *dev = steps[i].is_whole ? c.dev->whole : c.dev;
        const fsfm_linear_args args = {.N = N,
                                       .Cin = steps[i].in,
                                       .Cout = steps[i].out,
                                       .x = fsfm_act_after(dev, x->dev, steps[i].at),
                                       .weight = weight->dev,
                                       .out = out->dev};
        assert_ok(dev->ops->linear(dev, &args, &c.err), &c.err);
        assert_string_equal(c.dev->slow_products, c.dev->kind == FSFM_DEVICE_CUDA ? steps[i].told : "");
    }
    case_end(&c);
}

/* No rows: nothing is read or written but gradients that stay. */
static void no_rows_are_no_work(void **state)
{
    (void)state;
    enum { Cin = 5, Cout = 7 };
    device_case c;
    case_begin(&c, 1, 0);
    const case_array *weight = case_random(&c, CASE_WEIGHTS, Cin * Cout, 1.0);
    case_array *dweight = case_random(&c, CASE_FLOATS, Cin * Cout, 1.0);
    const fsfm_linear_args args = {.Cin = Cin, .Cout = Cout, .weight = weight->dev};
    const fsfm_linear_backward_args backward = {
        .Cin = Cin, .Cout = Cout, .weight = weight->dev, .dweight = dweight->dev};
    assert_ok(c.dev->ops->linear(c.dev, &args, &c.err), &c.err);
    assert_ok(c.dev->ops->linear_backward(c.dev, &backward, &c.err), &c.err);
    case_check(&c, dweight, "dweight", 0.0, 0.0);
    case_end(&c);
}

/* Shapes of the models, for the bits alone: the reference would take long. */
static void bits_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], Cin = sizes[1], Cout = sizes[2];
    const case_array *x = case_random(c, CASE_ACTS, N * Cin, 1.0),
                     *weight = case_random(c, CASE_WEIGHTS, Cout * Cin, 1.0);
    case_array *out = case_output(c, CASE_ACTS, N * Cout), *active = case_output(c, CASE_ACTS, N * Cout);
    case_array *dx = case_output(c, CASE_ACTS, N * Cin), *again = case_output(c, CASE_ACTS, N * Cin);
    case_array *dweight = case_random(c, CASE_FLOATS, Cout * Cin, 1.0),
               *dbias = case_random(c, CASE_FLOATS, Cout, 1.0);
    const fsfm_linear_args args = {.N = N,
                                   .Cin = Cin,
                                   .Cout = Cout,
                                   .x = x->dev,
                                   .weight = weight->dev,
                                   .out = out->dev,
                                   .active = active->dev};
    const fsfm_linear_backward_args backward = {.N = N,
                                                .Cin = Cin,
                                                .Cout = Cout,
                                                .weight = weight->dev,
                                                .dout = out->dev,
                                                .dx = dx->dev,
                                                .dweight = dweight->dev,
                                                .dbias = dbias->dev,
                                                .hidden = x->dev,
                                                .active = again->dev};
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

/* A row's bits do not depend on the rows beside it; on a GPU, as long as they are as many. */
static void rows_case(device_case *c, const int64_t *sizes)
{
    const int64_t N = sizes[0], Cin = sizes[1], Cout = sizes[2], first = sizes[3], rows = sizes[4];
    const case_array *x = case_random(c, CASE_ACTS, N * Cin, 1.0),
                     *weight = case_random(c, CASE_WEIGHTS, Cout * Cin, 1.0);
    const int64_t N_of_some = c->dev->kind == FSFM_DEVICE_CUDA ? N : rows;
    const case_array *moved = case_random(c, CASE_ACTS, N_of_some * Cin, 1.0);
    case_array *all = case_output(c, CASE_ACTS, N * Cout),
               *some = case_output(c, CASE_ACTS, N_of_some * Cout);
    const fsfm_linear_args args = {.N = N,
                                   .Cin = Cin,
                                   .Cout = Cout,
                                   .x = x->dev,
                                   .weight = weight->dev,
                                   .out = all->dev,
                                   .active = all->dev};
    fsfm_linear_args part = args;
    part.N = N_of_some;
    part.x = moved->dev;
    part.out = part.active = some->dev;
    assert_ok(c->dev->ops->copy(c->dev, moved->dev, fsfm_act_after(c->dev, x->dev, first * Cin),
                                (size_t)(rows * Cin) * c->dev->act_bytes, &c->err),
              &c->err);
    assert_ok(c->dev->ops->linear(c->dev, &args, &c->err), &c->err);
    assert_ok(c->dev->ops->linear(c->dev, &part, &c->err), &c->err);
    float *of_all = case_download(c, all), *of_some = case_download(c, some);
    assert_memory_equal(of_all + first * Cout, of_some, (size_t)(rows * Cout) * sizeof *of_some);
    free(of_all);
    free(of_some);
}

static void rows_do_not_meet(void **state)
{
    (void)state;
    static const int64_t cases[][5] = {
        {50, 48, 80, 7, 11}, {1200, 34, 70, 955, 13}, {1200, 35, 64, 1, 1}, {997, 192, 130, 991, 6}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) case_run(rows_case, cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(linear_is_the_references),
                                       cmocka_unit_test(linear_backward_is_the_references),
                                       cmocka_unit_test(bias_gradients_come_along),
                                       cmocka_unit_test(backward_goes_through_gelu),
                                       cmocka_unit_test(unwanted_gradients_may_be_null),
                                       cmocka_unit_test(rows_do_not_meet),
                                       cmocka_unit_test(arrays_may_begin_anywhere),
                                       cmocka_unit_test(slow_products_are_told),
                                       cmocka_unit_test(no_rows_are_no_work),
                                       cmocka_unit_test(bits_do_not_depend_on_threads)};
    return case_skips() ? 77 : cmocka_run_group_tests_name("linear", tests, NULL, NULL);
}
