/* SPDX-License-Identifier: Apache-2.0
 * AdamW with the moving average of the target, weights in and out, sums over parameters: floats to a few
 * roundings of the double result. In bf16 AdamW's second moments are rounded up or down at random; that is
 * held to what should be random about it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/bfloat16.h"
#include "tests/support/device_case.h"

/* A tensor with what an update of it reads and writes; its moments are 0 where it is new. */
typedef struct {
    case_array *p, *target, *g, *m, *v;
} tensor;

static tensor random_tensor(device_case *c, case_kind kind, int64_t count, bool is_new)
{
    const double size = is_new ? 0.0 : 0.1;
    tensor x = {case_random(c, kind, count, 1.0), case_random(c, kind, count, 1.0),
                case_random(c, CASE_FLOATS, count, 0.1), case_random(c, CASE_FLOATS, count, size), NULL};
    float *squares = case_download(c, case_random(c, CASE_FLOATS, count, size));
    for (int64_t i = 0; i < count; i++) squares[i] = squares[i] * squares[i] + (float)(size * size);
    x.v = case_given(c, CASE_ACTS, squares, count);
    free(squares);
    return x;
}

static case_array *copy_array(device_case *c, const case_array *x, case_kind kind)
{
    float *values = case_download(c, x);
    case_array *copy = case_given(c, kind, values, x->count);
    free(values);
    return copy;
}

/* The same numbers once more, the weights as kind. */
static tensor copy_tensor(device_case *c, const tensor *x, case_kind kind)
{
    return (tensor){copy_array(c, x->p, kind), copy_array(c, x->target, kind),
                    copy_array(c, x->g, CASE_FLOATS), copy_array(c, x->m, CASE_FLOATS),
                    copy_array(c, x->v, CASE_ACTS)};
}

/* Update t of the whole tensor. */
static fsfm_adamw_args update_args(const tensor *x, int64_t t)
{
    return (fsfm_adamw_args){.count = x->p->count,
                             .is_matrix = x->p->kind == CASE_MATRIX,
                             .params = x->p->dev,
                             .target = x->target->dev,
                             .grads = x->g->dev,
                             .m = x->m->dev,
                             .v = x->v->dev,
                             .lr = 1e-2 / (double)t,
                             .beta1 = 0.9,
                             .beta2 = 0.95,
                             .eps = 1e-8,
                             .decay = 0.05,
                             .grad_scale = 0.5,
                             .correction1 = 1.0 - pow(0.9, (double)t),
                             .correction2 = 1.0 - pow(0.95, (double)t),
                             .t = t,
                             .first = 1000 * t,
                             .momentum = 0.996};
}

static void update(device_case *c, const fsfm_adamw_args *args)
{
    assert_ok(c->dev->ops->adamw(c->dev, args, &c->err), &c->err);
}

static double next_m(const tensor *x, const fsfm_adamw_args *args, int64_t i)
{
    return args->beta1 * x->m->want[i] + (1.0 - args->beta1) * args->grad_scale * x->g->want[i];
}

static double next_v(const tensor *x, const fsfm_adamw_args *args, int64_t i)
{
    const double g = args->grad_scale * x->g->want[i];
    return args->beta2 * x->v->want[i] + (1.0 - args->beta2) * g * g;
}

/* Makes what the device holds what the reference goes on with. */
static void take_over(device_case *c, case_array *array)
{
    float *got = case_download(c, array);
    for (int64_t i = 0; i < array->count; i++) array->want[i] = (double)got[i];
    free(got);
}

/* In bf16 one of the two neighbours of want, which is good to 3e-7. */
static void check_second_moment(device_case *c, const tensor *x, const fsfm_adamw_args *args)
{
    float *v = case_download(c, x->v);
    for (int64_t i = 0; i < args->count; i++) {
        const double got = (double)v[i], want = next_v(x, args, i), low = want * (1.0 - 3e-7),
                     high = want * (1.0 + 3e-7);
        const bool is_near =
            c->is_bf16 ? got >= bf16_below(low) && got <= bf16_above(high) : got >= low && got <= high;
        if (!is_near) fail_msg("second moment %.9g, want %.9g", got, want);
    }
    free(v);
}

/* Holds one update against the definition, from the numbers before it (want) to those after it, which are
 * the next ones before. The weights follow from the moments as they are stored, the target from the weights.
 */
static void check_update(device_case *c, const tensor *x, const fsfm_adamw_args *args)
{
    const bool is_exact = args->momentum == 0.0 || args->momentum == 1.0;
    check_second_moment(c, x, args);
    for (int64_t i = 0; i < args->count; i++) x->m->want[i] = next_m(x, args, i);
    case_check(c, x->m, "m", 2e-7, 2e-9); /* may be a small difference of 0.01 and 0.01 */
    take_over(c, x->m);
    take_over(c, x->v);
    for (int64_t i = 0; i < args->count; i++) {
        const double mhat = x->m->want[i] / args->correction1, vhat = x->v->want[i] / args->correction2;
        x->p->want[i] -= args->lr * (mhat / (sqrt(vhat) + args->eps) + args->decay * x->p->want[i]);
    }
    case_check(c, x->p, "params", 2e-7, 1e-8);
    take_over(c, x->p);
    for (int64_t i = 0; i < args->count; i++)
        x->target->want[i] = args->momentum * x->target->want[i] + (1.0 - args->momentum) * x->p->want[i];
    case_check(c, x->target, "target", is_exact ? 0.0 : 1e-7, is_exact ? 0.0 : 2e-7);
    take_over(c, x->target);
}

/* sizes: count, whether the moments are zeros at first. */
static void adamw_case(device_case *c, const int64_t *sizes)
{
    static const double momenta[] = {0.996, 0.5, 0.0, 1.0};
    const tensor floats = random_tensor(c, CASE_FLOATS, sizes[0], sizes[1]),
                 matrix = copy_tensor(c, &floats, CASE_MATRIX);
    for (int t = 1; t <= 4; t++) {
        fsfm_adamw_args args = update_args(&floats, t), matrix_args = update_args(&matrix, t);
        args.momentum = matrix_args.momentum = momenta[t - 1];
        update(c, &args);
        update(c, &matrix_args);
        check_update(c, &floats, &args);
        case_check_equal(c, matrix.p, floats.p, "a matrix instead of floats");
        case_check_equal(c, matrix.target, floats.target, "target of a matrix");
    }
}

/* The same update in three pieces, as parts of a tensor; and without a target. */
static void pieces_case(device_case *c, const int64_t *sizes)
{
    const int64_t count = sizes[0], ends[] = {0, count / 7, count / 2 + 1, count};
    const tensor whole = random_tensor(c, CASE_FLOATS, count, false),
                 cut = copy_tensor(c, &whole, CASE_FLOATS);
    const fsfm_adamw_args args = update_args(&whole, 5);
    update(c, &args);
    for (int piece = 0; piece < 3; piece++) {
        fsfm_adamw_args part = update_args(&cut, 5);
        part.count = ends[piece + 1] - ends[piece];
        part.first += ends[piece];
        part.params = case_at(c, cut.p, ends[piece]);
        part.target = NULL;
        part.grads = case_at(c, cut.g, ends[piece]);
        part.m = case_at(c, cut.m, ends[piece]);
        part.v = case_at(c, cut.v, ends[piece]);
        update(c, &part);
    }
    case_check_equal(c, cut.p, whole.p, "params in pieces");
    case_check_equal(c, cut.m, whole.m, "m in pieces");
    case_check_equal(c, cut.v, whole.v, "v in pieces");
    case_check(c, cut.target, "target that is not given", 0.0, 0.0);
}

enum { MANY = 1 << 18 };

/* What rounding did to the second moments in update t of x: how far each is off, in steps from one number to
 * the next; variance: of a rounding up or down in proportion. */
static void roundings_of(device_case *c, const tensor *x, int64_t t, double *off, double *variance)
{
    fsfm_adamw_args args = update_args(x, t);
    args.first = 0;
    update(c, &args);
    float *v = case_download(c, x->v);
    for (int64_t i = 0; i < MANY; i++) {
        const double want = next_v(x, &args, i), step = bf16_step(want),
                     share = (want - bf16_below(want)) / step;
        off[i] = ((double)v[i] - want) / step;
        variance[i] = share * (1.0 - share);
    }
    free(v);
}

/* The sum of count independent numbers of mean 0 stays within 6 deviations. */
static void assert_no_bias(const double *x, const double *variance, int64_t count, const char *what)
{
    double sum = 0.0, total = 0.0;
    for (int64_t i = 0; i < count; i++) {
        sum += x[i];
        total += variance[i];
    }
    if (!(fabs(sum) <= 6.0 * sqrt(total))) fail_msg("%s: %.3g deviations off", what, sum / sqrt(total));
}

/* Neither rounding tells about the other. */
static void assert_independent(const double *x, const double *y, int64_t count, const char *what)
{
    double *product = malloc((size_t)count * sizeof *product),
           *square = malloc((size_t)count * sizeof *square);
    assert_true(product && square);
    for (int64_t i = 0; i < count; i++) {
        product[i] = x[i] * y[i];
        square[i] = product[i] * product[i];
    }
    assert_no_bias(product, square, count, what);
    free(product);
    free(square);
}

/* The chance to be rounded up is the share of the step that lies below: in every sixteenth of a step. */
static void assert_in_proportion(const double *off, const double *variance, int64_t count)
{
    double part_off[16] = {0}, part_variance[16] = {0};
    for (int64_t i = 0; i < count; i++) {
        const double share = off[i] > 0.0 ? 1.0 - off[i] : -off[i];
        const int part = (int)fmin(15.0, 16.0 * share);
        part_off[part] += off[i];
        part_variance[part] += variance[i];
    }
    for (int part = 0; part < 16; part++) {
        assert_true(part_variance[part] > 100.0);
        assert_no_bias(part_off + part, part_variance + part, 1, "share of moments rounded up");
    }
}

/* What is drawn depends on t and the place alone, so this comes out the same every time. */
static void moments_are_rounded_at_random(void **state)
{
    (void)state;
    device_case c;
    case_begin(&c, 2, MANY);
    if (!c.is_bf16) {
        case_end(&c);
        skip(); /* nothing is rounded */
    }
    const tensor x = random_tensor(&c, CASE_FLOATS, MANY, false), again = copy_tensor(&c, &x, CASE_FLOATS);
    double *off = malloc(MANY * sizeof *off), *next = malloc(MANY * sizeof *next),
           *variance = malloc(MANY * sizeof *variance);
    assert_true(off && next && variance);
    roundings_of(&c, &again, 8, next, variance);
    roundings_of(&c, &x, 7, off, variance);
    assert_no_bias(off, variance, MANY, "all");
    assert_in_proportion(off, variance, MANY);
    assert_independent(off, next, MANY, "a rounding and that of the next update");
    assert_independent(off, off + 1, MANY - 1, "a rounding and its neighbour's");
    assert_independent(off, off + 16, MANY - 16, "a rounding and that of the next vector");
    free(off);
    free(next);
    free(variance);
    case_end(&c);
}

/* Moments that shrink by less than half a step an update shrink all the same; with the same draw in every
 * update some would not. */
static void small_changes_add_up(void **state)
{
    (void)state;
    enum { COUNT = 4096, UPDATES = 200 };
    device_case c;
    case_begin(&c, 2, COUNT);
    tensor x = random_tensor(&c, CASE_FLOATS, COUNT, true);
    float ones[COUNT];
    for (int i = 0; i < COUNT; i++) ones[i] = 1.0f;
    x.v = case_given(&c, CASE_ACTS, ones, COUNT);
    case_zero(&c, x.g);
    for (int t = 1; t <= UPDATES; t++) {
        fsfm_adamw_args args = update_args(&x, t);
        args.beta2 = 0.999;
        args.first = 0;
        update(&c, &args);
    }
    take_over(&c, x.v);
    double mean = 0.0;
    for (int i = 0; i < COUNT; i++) mean += x.v->want[i] / COUNT;
    /* 200 roundings of half a step, 2^-9, at most: deviation 0.028, of the mean 4.3e-4; six of them. */
    const double want = pow(0.999, UPDATES);
    print_message("mean %.6f, want %.6f\n", mean, want);
    assert_true(fabs(mean - want) <= (c.is_bf16 ? 2.6e-3 : 1e-5));
    case_end(&c);
}

/* However momentum is rounded, a target that equals the weights stays equal where those stay. */
static void target_keeps_what_is_equal(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    static const case_kind kinds[] = {CASE_FLOATS, CASE_MATRIX};
    for (int k = 0; k < 2; k++) {
        device_case c;
        case_begin(&c, 1, COUNT);
        tensor x = random_tensor(&c, kinds[k], COUNT, false);
        const case_array *before = copy_array(&c, x.p, kinds[k]);
        x.target = copy_array(&c, x.p, kinds[k]);
        for (int i = 0; i < 100; i++) {
            fsfm_adamw_args args = update_args(&x, 1 + i);
            args.lr = 0.0;
            args.momentum = 0.996 + 4e-5 * i;
            update(&c, &args);
        }
        case_check_equal(&c, x.p, before, "params at lr 0");
        case_check_equal(&c, x.target, before, "target");
        case_end(&c);
    }
}

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

static const int64_t counts[] = {1, 3, 17, 1000, 16384, 16385, 100003};

static void run_all(case_fn fn, int64_t second)
{
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        case_run(fn, (const int64_t[]){counts[i], second});
}

static void adamw_is_the_definition(void **state)
{
    (void)state;
    run_all(adamw_case, false);
    run_all(adamw_case, true);
}

static void adamw_may_be_cut(void **state)
{
    (void)state;
    run_all(pieces_case, 0);
}

static void matrices_keep_every_bit(void **state)
{
    (void)state;
    run_all(matrix_case, 0);
    run_all(matrix_rest_case, 0);
}

static void floats_are_rounded_to_the_nearest(void **state)
{
    (void)state;
    run_all(to_act_case, 0);
}

static void sums_are_the_definition(void **state)
{
    (void)state;
    run_all(sums_case, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_is_the_definition),           cmocka_unit_test(adamw_may_be_cut),
        cmocka_unit_test(moments_are_rounded_at_random),     cmocka_unit_test(small_changes_add_up),
        cmocka_unit_test(target_keeps_what_is_equal),        cmocka_unit_test(matrices_keep_every_bit),
        cmocka_unit_test(floats_are_rounded_to_the_nearest), cmocka_unit_test(sums_are_the_definition)};
    return case_skips() ? 77 : cmocka_run_group_tests_name("optimizer", tests, NULL, NULL);
}
