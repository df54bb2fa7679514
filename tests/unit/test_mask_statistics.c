/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mask/statistics.h"

#include <math.h>
#include <string.h>

#include "tests/support/check.h"

enum { EYES = 1 << FSFM_REGION_EYES, NOSE = 1 << FSFM_REGION_NOSE, SKIN = 1 << FSFM_REGION_SKIN };

static const uint16_t bits[5] = {EYES, EYES | SKIN, NOSE | SKIN, SKIN, SKIN};
static const uint8_t eyes_gone[5] = {1, 1, 0, 0, 1}, nose_gone[5] = {0, 1, 1, 0, 0};

static void test_shares(void **state)
{
    (void)state;
    fsfm_mask_statistics s = {0};
    assert_true(isnan(fsfm_mask_covered_share(&s, FSFM_REGION_EYES)));
    fsfm_mask_statistics_add(&s, 5, bits, eyes_gone, FSFM_REGION_EYES);
    fsfm_mask_statistics_add(&s, 5, bits, nose_gone, FSFM_REGION_NOSE);
    fsfm_mask_statistics_add(&s, 5, bits, eyes_gone, FSFM_REGION_NONE);
    fsfm_mask_statistics_add(&s, 5, bits, eyes_gone, FSFM_REGION_EYES);
    assert_int_equal(s.draws, 4);
    assert_int_equal(s.removed_min, 2);
    assert_int_equal(s.removed_max, 3);
    assert_true(fsfm_mask_masked_share(&s, FSFM_REGION_EYES) == 7.0 / 8.0);
    assert_true(fsfm_mask_masked_share(&s, FSFM_REGION_NOSE) == 1.0 / 4.0);
    assert_true(fsfm_mask_masked_share(&s, FSFM_REGION_SKIN) == 8.0 / 16.0);
    assert_true(isnan(fsfm_mask_masked_share(&s, FSFM_REGION_HAIR)));
    assert_true(fsfm_mask_covered_share(&s, FSFM_REGION_EYES) == 0.5);
    assert_true(fsfm_mask_covered_share(&s, FSFM_REGION_NOSE) == 0.25);
    assert_true(fsfm_mask_covered_share(&s, FSFM_REGION_SKIN) == 0.0);
}

static void test_without_regions(void **state)
{
    (void)state;
    fsfm_mask_statistics s = {0};
    fsfm_mask_statistics_add(&s, 5, NULL, nose_gone, FSFM_REGION_NONE);
    assert_int_equal(s.draws, 1);
    assert_int_equal(s.removed_min, 2);
    assert_true(isnan(fsfm_mask_masked_share(&s, FSFM_REGION_SKIN)));
}

static void test_merge(void **state)
{
    (void)state;
    fsfm_mask_statistics all = {0}, one = {0}, two = {0}, none = {0}, merged = {0};
    fsfm_mask_statistics_add(&all, 5, bits, eyes_gone, FSFM_REGION_EYES);
    fsfm_mask_statistics_add(&all, 5, bits, nose_gone, FSFM_REGION_NOSE);
    fsfm_mask_statistics_add(&one, 5, bits, nose_gone, FSFM_REGION_NOSE);
    fsfm_mask_statistics_add(&two, 5, bits, eyes_gone, FSFM_REGION_EYES);
    fsfm_mask_statistics_merge(&merged, &one);
    fsfm_mask_statistics_merge(&merged, &none);
    fsfm_mask_statistics_merge(&merged, &two);
    assert_memory_equal(&merged, &all, sizeof all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_without_regions),
        cmocka_unit_test(test_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
