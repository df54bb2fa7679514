/* SPDX-License-Identifier: Apache-2.0
 * AdamW, moving average, sums over parameters: floats to a few roundings of the double result. */
#include <math.h>
#include <stdlib.h>

#include "tests/support/device_case.h"

static void adamw_case(device_case *c, const int64_t *sizes)
{
    const int64_t count = sizes[0];
    case_array *p = case_random(c, count, 1.0), *g = case_random(c, count, 0.1);
    case_array *m = case_output(c, count), *v = case_output(c, count);
    assert_ok(c->dev->ops->zero(c->dev, m->dev, (size_t)count * sizeof(float), &c->err), &c->err);
    assert_ok(c->dev->ops->zero(c->dev, v->dev, (size_t)count * sizeof(float), &c->err), &c->err);
    for (int t = 1; t <= 3; t++) {
        const fsfm_adamw_args args = {.count = count,
                                      .params = p->dev,
                                      .grads = g->dev,
                                      .m = m->dev,
                                      .v = v->dev,
                                      .lr = 1e-2 / t,
                                      .beta1 = 0.9,
                                      .beta2 = 0.95,
                                      .eps = 1e-8,
                                      .decay = 0.05,
                                      .grad_scale = 0.5,
                                      .correction1 = 1.0 - pow(0.9, t),
                                      .correction2 = 1.0 - pow(0.95, t)};
        assert_ok(c->dev->ops->adamw(c->dev, &args, &c->err), &c->err);
        for (int64_t i = 0; i < count; i++) {
            const double grad = args.grad_scale * g->want[i];
            m->want[i] = args.beta1 * m->want[i] + (1.0 - args.beta1) * grad;
            v->want[i] = args.beta2 * v->want[i] + (1.0 - args.beta2) * grad * grad;
            const double mhat = m->want[i] / args.correction1, vhat = v->want[i] / args.correction2;
            p->want[i] -= args.lr * (mhat / (sqrt(vhat) + args.eps) + args.decay * p->want[i]);
        }
    }
    case_check(c, m, "m", 1e-6, 1e-9);
    case_check(c, v, "v", 1e-6, 0.0);
    case_check(c, p, "params", 3e-7, 1e-8);
}

static void ema_case(device_case *c, const int64_t *sizes)
{
    const int64_t count = sizes[0];
    const case_array *online = case_random(c, count, 1.0);
    static const double momenta[] = {0.996, 0.5, 0.0, 1.0};
    for (int k = 0; k < 4; k++) {
        case_array *target = case_random(c, count, 1.0);
        assert_ok(c->dev->ops->ema(c->dev, count, momenta[k], online->dev, target->dev, &c->err), &c->err);
        for (int64_t i = 0; i < count; i++)
            target->want[i] = momenta[k] * target->want[i] + (1.0 - momenta[k]) * online->want[i];
        case_check(c, target, "target", momenta[k] > 0.0 && momenta[k] < 1.0 ? 1e-7 : 0.0,
                   momenta[k] > 0.0 && momenta[k] < 1.0 ? 2e-7 : 0.0);
    }
}

static void sums_case(device_case *c, const int64_t *sizes)
{
    const int64_t count = sizes[0];
    const case_array *x = case_random(c, count, 1.0);
    case_array *y = case_random(c, count, 1.0);
    const double old = NAN;
    double *sum = case_bytes(c, &old, sizeof old), want = 0.0;
    assert_ok(c->dev->ops->norm_squared(c->dev, count, x->dev, sum, &c->err), &c->err);
    assert_ok(c->dev->ops->add(c->dev, count, x->dev, y->dev, &c->err), &c->err);
    for (int64_t i = 0; i < count; i++) {
        want += x->want[i] * x->want[i];
        y->want[i] += x->want[i];
    }
    case_check_double(c, sum, want, 1e-13);
    case_check(c, y, "y", 1e-7, 0.0);
}

static const int64_t counts[] = {1, 3, 17, 1000, 16384, 16385, 100003};

static void run_all(case_fn fn)
{
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) case_run(fn, counts + i);
}

static void adamw_is_the_definition(void **state)
{
    (void)state;
    run_all(adamw_case);
}

static void ema_is_the_definition(void **state)
{
    (void)state;
    run_all(ema_case);
}

static void sums_are_the_definition(void **state)
{
    (void)state;
    run_all(sums_case);
}

/* However momentum is rounded, a target that equals online stays where it is. */
static void ema_keeps_what_is_equal(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    device_case c;
    case_begin(&c, 1, COUNT);
    const case_array *online = case_random(&c, COUNT, 1.0);
    case_array *target = case_output(&c, COUNT);
    assert_ok(c.dev->ops->copy(c.dev, target->dev, online->dev, COUNT * sizeof(float), &c.err), &c.err);
    for (int i = 0; i < 100; i++)
        assert_ok(c.dev->ops->ema(c.dev, COUNT, 0.996 + 4e-5 * i, online->dev, target->dev, &c.err), &c.err);
    for (int i = 0; i < COUNT; i++) target->want[i] = online->want[i];
    case_check(&c, target, "target", 0.0, 0.0);
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_is_the_definition), cmocka_unit_test(ema_is_the_definition),
        cmocka_unit_test(sums_are_the_definition), cmocka_unit_test(ema_keeps_what_is_equal)};
    return cmocka_run_group_tests_name("optimizer", tests, NULL, NULL);
}
