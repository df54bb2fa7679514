/* SPDX-License-Identifier: Apache-2.0
 * Which ranks are outliers by what they measured. */
#include <math.h>

#include "mpi/health.h"
#include "tests/support/check.h"

enum { RANKS = 5 };

/* All ranks alike, to a few percent. */
static void fill(fsfm_health_rates all[RANKS])
{
    for (int r = 0; r < RANKS; r++) all[r] = (fsfm_health_rates){.rate = {100 + r, 10 - 0.1 * r, 5000, 2}};
}

static void alike_ranks_have_no_outliers(void **state)
{
    (void)state;
    fsfm_health_rates all[RANKS];
    fsfm_health_report report;
    fsfm_error err;
    fill(all);
    assert_ok(fsfm_health_judge(all, RANKS, &report, &err), &err);
    assert_int_equal(report.count, 0);
    assert_int_equal(report.crowded, -1);
    assert_true(report.median[FSFM_HEALTH_PRODUCTS] == 102 && report.median[FSFM_HEALTH_MEMORY] == 9.8);
    fsfm_health_report_free(&report);
}

/* A rank just below and just above the share of the median that each part allows. */
static void limits_are_shares_of_the_median(void **state)
{
    (void)state;
    const double least[FSFM_HEALTH_PARTS] = {0.8, 0.7, 0.25, 0.5};
    for (int part = 0; part < FSFM_HEALTH_PARTS; part++)
        for (int below = 0; below < 2; below++) {
            fsfm_health_rates all[RANKS];
            fsfm_health_report report;
            fsfm_error err;
            for (int r = 0; r < RANKS; r++) all[r] = (fsfm_health_rates){.rate = {8, 8, 8, 8}};
            all[3].rate[part] = 8 * least[part] + (below ? -0.01 : 0.01);
            assert_ok(fsfm_health_judge(all, RANKS, &report, &err), &err);
            assert_int_equal(report.count, below);
            if (below) {
                assert_int_equal(report.outliers[0].rank, 3);
                assert_int_equal(report.outliers[0].part, part);
                assert_true(report.outliers[0].rate == all[3].rate[part]);
                assert_true(report.outliers[0].median == 8);
            }
            fsfm_health_report_free(&report);
        }
}

static void several_stand_by_part_and_rank(void **state)
{
    (void)state;
    fsfm_health_rates all[RANKS];
    fsfm_health_report report;
    fsfm_error err;
    fill(all);
    all[4].rate[FSFM_HEALTH_PRODUCTS] = 50;
    all[1].rate[FSFM_HEALTH_PRODUCTS] = 60;
    all[1].rate[FSFM_HEALTH_EXCHANGE] = 0.1;
    assert_ok(fsfm_health_judge(all, RANKS, &report, &err), &err);
    assert_int_equal(report.count, 3);
    assert_int_equal(report.outliers[0].rank, 1);
    assert_int_equal(report.outliers[1].rank, 4);
    assert_int_equal(report.outliers[2].rank, 1);
    assert_int_equal(report.outliers[2].part, FSFM_HEALTH_EXCHANGE);
    fsfm_health_report_free(&report);
}

/* Fast ranks are no outliers, and what was not measured is not judged. */
static void only_what_is_known_and_slow_counts(void **state)
{
    (void)state;
    fsfm_health_rates all[RANKS];
    fsfm_health_report report;
    fsfm_error err;
    fill(all);
    all[0].rate[FSFM_HEALTH_PRODUCTS] = 1000;
    all[2].rate[FSFM_HEALTH_READING] = NAN;
    for (int r = 0; r < RANKS; r++) all[r].rate[FSFM_HEALTH_EXCHANGE] = NAN;
    assert_ok(fsfm_health_judge(all, RANKS, &report, &err), &err);
    assert_int_equal(report.count, 0);
    assert_true(report.median[FSFM_HEALTH_READING] == 5000);
    assert_true(isnan(report.median[FSFM_HEALTH_EXCHANGE]));
    fsfm_health_report_free(&report);
}

static void shared_processors_are_not_judged(void **state)
{
    (void)state;
    fsfm_health_rates all[RANKS];
    fsfm_health_report report;
    fsfm_error err;
    fill(all);
    all[0].rate[FSFM_HEALTH_PRODUCTS] = 1;
    all[2].is_crowded = all[3].is_crowded = true;
    assert_ok(fsfm_health_judge(all, RANKS, &report, &err), &err);
    assert_int_equal(report.count, 0);
    assert_int_equal(report.crowded, 2);
    fsfm_health_report_free(&report);
}

/* Of two, one at half the speed of the other is at 2/3 of the median. */
static void the_slower_of_two_is_found(void **state)
{
    (void)state;
    fsfm_health_report report;
    fsfm_error err;
    const fsfm_health_rates all[2] = {{.rate = {10, 10, 10, 10}}, {.rate = {5, 10, 10, 10}}};
    assert_ok(fsfm_health_judge(all, 2, &report, &err), &err);
    assert_int_equal(report.count, 1);
    assert_int_equal(report.outliers[0].rank, 1);
    fsfm_health_report_free(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alike_ranks_have_no_outliers),
        cmocka_unit_test(limits_are_shares_of_the_median),
        cmocka_unit_test(several_stand_by_part_and_rank),
        cmocka_unit_test(only_what_is_known_and_slow_counts),
        cmocka_unit_test(shared_processors_are_not_judged),
        cmocka_unit_test(the_slower_of_two_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
