/* SPDX-License-Identifier: Apache-2.0
 * The figures of `fsfm bench`: median, best, and operations against the machine. */
#include <math.h>
#include <string.h>

#include "core/base/median.h"
#include "jobs/bench/bench_report.h"
#include "tests/support/check.h"

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 * fabs(want))) fail_msg("got %.17g, want %.17g", got, want);
}

static void test_median(void **state)
{
    (void)state;
    double odd[] = {5, 1, 4}, even[] = {8, 1, 2, 4}, one[] = {3};
    near(fsfm_bench_min(odd, 3), 1);
    near(fsfm_bench_max(odd, 3), 5);
    near(fsfm_bench_max(even, 4), 8);
    near(fsfm_median(odd, 3), 4);
    near(fsfm_median(even, 4), 3);
    near(fsfm_median(one, 1), 3);
    near(even[3], 8); /* sorted */
}

/* Two steps of 0.5 s on a machine of 100 GFLOP/s and 10 GB/s. */
static void test_operations(void **state)
{
    (void)state;
    const fsfm_profile_entry entries[] = {
        {.name = "never"},
        {.name = "moves", .calls = 4, .seconds = 0.2, .bytes = 1e9},
        {.name = "computes", .calls = 2, .seconds = 0.6, .flop = 30e9, .bytes = 0.1e9},
        {.name = "both", .calls = 6, .seconds = 0.1, .flop = 1e9, .bytes = 0.5e9},
    };
    const fsfm_device_peaks peaks = {.gemm_gflops = 100, .memory_gb_s = 10};
    fsfm_bench_operation got[4];
    assert_int_equal(fsfm_bench_operations(entries, 4, 2, 0.5, &peaks, got), 3);
    assert_string_equal(got[0].name, "computes");
    near(got[0].calls, 1);
    near(got[0].ms, 300);
    near(got[0].share, 0.6);
    near(got[0].gflops, 50);
    near(got[0].roof_share, 0.5);
    assert_string_equal(got[1].name, "moves");
    assert_true(isnan(got[1].gflops));
    near(got[1].gb_s, 5);
    near(got[1].roof_share, 0.5);
    assert_string_equal(got[2].name, "both"); /* its bytes take longer than its FLOP */
    near(got[2].calls, 3);
    near(got[2].roof_share, 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_median),
        cmocka_unit_test(test_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
