/* SPDX-License-Identifier: Apache-2.0
 * Which ranks are named as slow, and how often. */
#include "mpi/slow_ranks.h"
#include "tests/support/check.h"

enum { RANKS = 4 };

static fsfm_slow_ranks *slow;
static fsfm_slow_rank named[RANKS];

static int begin(void **state)
{
    (void)state;
    fsfm_error err;
    return fsfm_slow_ranks_create(RANKS, &slow, &err) != FSFM_OK;
}

static int end(void **state)
{
    (void)state;
    fsfm_slow_ranks_free(&slow);
    return slow != NULL;
}

/* A block in which ranks take 2 s, rank 2 times that. */
static int note(double times)
{
    const double own_s[RANKS] = {2, 2.2, 2 * times, 1.8};
    return fsfm_slow_ranks_note(slow, own_s, named);
}

static void a_rank_that_stays_slow_is_named_once(void **state)
{
    (void)state;
    for (int block = 1; block < FSFM_SLOW_BLOCKS; block++) assert_int_equal(note(2), 0);
    assert_int_equal(note(2), 1);
    assert_int_equal(named[0].rank, 2);
    assert_true(named[0].times > 1.89 && named[0].times < 2); /* the median is 2.1: rank 2 is in it */
    int again = 0;
    for (int block = 0; block < 200; block++) {
        const int now = note(2);
        if (now)
            assert_true(block + 1 >= FSFM_SLOW_AGAIN_BLOCKS && 4 * (block + 1) >= FSFM_SLOW_AGAIN_SECONDS);
        again += now;
    }
    assert_int_equal(again, 1); /* 200 blocks of 4 s */
}

static void one_good_block_begins_anew(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        for (int block = 1; block < FSFM_SLOW_BLOCKS; block++) assert_int_equal(note(3), 0);
        assert_int_equal(note(1), 0);
    }
}

static void a_little_slower_is_nothing(void **state)
{
    (void)state;
    for (int block = 0; block < 100; block++) assert_int_equal(note(1.25), 0);
}

static void short_blocks_have_to_be_many(void **state)
{
    (void)state;
    int block = 0, count = 0;
    while (count == 0 && block < 1000) {
        const double own_s[RANKS] = {0.02, 0.02, 0.05, 0.02};
        count = fsfm_slow_ranks_note(slow, own_s, named);
        block++;
    }
    assert_int_equal(count, 1);
    assert_in_range(block, 99, 101); /* 100 times 0.05 s are FSFM_SLOW_SECONDS */
}

static void several_are_named_together(void **state)
{
    (void)state;
    const double own_s[RANKS] = {5, 2, 2, 2.9};
    for (int block = 1; block < FSFM_SLOW_BLOCKS; block++)
        assert_int_equal(fsfm_slow_ranks_note(slow, own_s, named), 0);
    /* The median of 2, 2, 2.9, 5 is 2.45: rank 3 is within 1.3 of it. */
    assert_int_equal(fsfm_slow_ranks_note(slow, own_s, named), 1);
    assert_int_equal(named[0].rank, 0);
    const double worse_s[RANKS] = {9, 2, 2, 9};
    for (int block = 1; block < FSFM_SLOW_BLOCKS; block++)
        assert_int_equal(fsfm_slow_ranks_note(slow, worse_s, named), 0);
    assert_int_equal(fsfm_slow_ranks_note(slow, worse_s, named), 1); /* rank 0 was told of */
    assert_int_equal(named[0].rank, 3);
}

/* Half of all ranks at half the speed: the median lies between. */
static void two_ranks_have_a_median(void **state)
{
    (void)state;
    fsfm_slow_ranks *two = NULL;
    fsfm_error err;
    int count = 0;
    assert_ok(fsfm_slow_ranks_create(2, &two, &err), &err);
    for (int block = 0; block < FSFM_SLOW_BLOCKS; block++)
        count += fsfm_slow_ranks_note(two, (const double[]){2, 4}, named);
    assert_int_equal(count, 1);
    assert_int_equal(named[0].rank, 1);
    fsfm_slow_ranks_free(&two);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_rank_that_stays_slow_is_named_once), CASE(one_good_block_begins_anew),
        CASE(a_little_slower_is_nothing),           CASE(short_blocks_have_to_be_many),
        CASE(several_are_named_together),           CASE(two_ranks_have_a_median),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
