/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "core/model/schedule.h"
#include "tests/support/check.h"

static const fsfm_schedule schedule = {.steps_per_epoch = 10,
                                       .epochs = 100,
                                       .global_batch = 512,
                                       .blr = 1.5e-4,
                                       .warmup_epochs = 40,
                                       .momentum = 0.996};

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-15)) fail_msg("got %.17g, want %.17g", got, want);
}

static void test_learning_rate(void **state)
{
    (void)state;
    near(fsfm_schedule_lr(&schedule, 0), 0.0);
    near(fsfm_schedule_lr(&schedule, 200), 1.5e-4); /* half of the warm-up to 3e-4 */
    near(fsfm_schedule_lr(&schedule, 400), 3e-4);
    near(fsfm_schedule_lr(&schedule, 700), 1.5e-4); /* half of the cosine */
    near(fsfm_schedule_lr(&schedule, 1000), 0.0);
    assert_true(fsfm_schedule_lr(&schedule, 999) > 0.0);
}

static void test_no_warm_up(void **state)
{
    (void)state;
    fsfm_schedule direct = schedule;
    direct.warmup_epochs = 0;
    near(fsfm_schedule_lr(&direct, 0), 3e-4);
}

static void test_momentum(void **state)
{
    (void)state;
    near(fsfm_schedule_momentum(&schedule, 0), 0.996);
    near(fsfm_schedule_momentum(&schedule, 500), 0.998);
    near(fsfm_schedule_momentum(&schedule, 1000), 1.0);
}

static void test_steps(void **state)
{
    (void)state;
    fsfm_schedule fraction = schedule;
    fraction.epochs = 0.55;
    assert_int_equal(fsfm_schedule_steps(&schedule), 1000);
    assert_int_equal(fsfm_schedule_steps(&fraction), 5);
    near(fsfm_schedule_epoch(&schedule, 25), 2.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learning_rate),
        cmocka_unit_test(test_no_warm_up),
        cmocka_unit_test(test_momentum),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
