/* SPDX-License-Identifier: Apache-2.0
 * The communicator on as many ranks as the test was started with: agreement, sums, gathers, exchanges. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mpi/bad_samples.h"
#include "mpi/comm.h"
#include "tests/support/check.h"
#include "tests/support/on_ranks.h"

static fsfm_comm *comm;
static int rank, ranks;

static void agrees_on_success(void **state)
{
    (void)state;
    fsfm_error err = {FSFM_OK, "mine"};
    assert_int_equal(fsfm_comm_agree(comm, FSFM_OK, &err), FSFM_OK);
    assert_string_equal(err.message, "mine");
}

static void agrees_on_the_lowest_failing_rank(void **state)
{
    (void)state;
    char want[64];
    for (int lowest = 0; lowest < ranks; lowest++) {
        fsfm_error err = {FSFM_OK, ""};
        fsfm_status mine = FSFM_OK;
        if (rank == lowest) mine = fsfm_fail(&err, FSFM_ERR_FORMAT, "shard of rank %d", rank);
        if (rank > lowest) mine = fsfm_fail(&err, FSFM_ERR_IO, "another of rank %d", rank);
        const fsfm_status st = fsfm_comm_agree(comm, mine, &err);
        if (ranks > 1)
            snprintf(want, sizeof want, "rank %d: shard of rank %d", lowest, lowest);
        else
            snprintf(want, sizeof want, "shard of rank 0");
        assert_int_equal(st, FSFM_ERR_FORMAT);
        assert_int_equal(err.status, FSFM_ERR_FORMAT);
        assert_string_equal(err.message, want);
    }
}

static void alarm_reaches_all(void **state)
{
    (void)state;
    for (int giver = 0; giver < ranks; giver++) {
        const bool gives = rank == giver || rank == (giver + 1) % ranks;
        fsfm_comm_barrier(comm);
        assert_false(fsfm_comm_is_alarmed(comm));
        fsfm_comm_barrier(comm);
        if (gives) fsfm_comm_alarm(comm);
        if (gives) fsfm_comm_alarm(comm); /* once */
        if (ranks > 1)
            while (!fsfm_comm_is_alarmed(comm)) continue;
        fsfm_comm_alarm_end(comm);
    }
    assert_false(fsfm_comm_is_alarmed(comm));
}

static void sums_and_maxima(void **state)
{
    (void)state;
    int64_t ints[3] = {rank, 1, (int64_t)1 << 40}, most[2] = {rank, -rank};
    double reals[2] = {rank + 0.5, 1}, top = -rank;
    float floats[2] = {(float)rank, 2};
    fsfm_comm_sum_i64(comm, ints, 3);
    fsfm_comm_max_i64(comm, most, 2);
    fsfm_comm_sum_double(comm, reals, 2);
    fsfm_comm_max_double(comm, &top, 1);
    fsfm_comm_sum_float(comm, floats, 2);
    const int64_t triangle = (int64_t)ranks * (ranks - 1) / 2;
    assert_int_equal(ints[0], triangle);
    assert_int_equal(ints[1], ranks);
    assert_true(ints[2] == ranks * ((int64_t)1 << 40));
    assert_int_equal(most[0], ranks - 1);
    assert_int_equal(most[1], 0);
    assert_true(reals[0] == (double)triangle + 0.5 * ranks && reals[1] == ranks);
    assert_true(top == 0);
    assert_true(floats[0] == (float)triangle && floats[1] == (float)(2 * ranks));
}

static void gathers_in_rank_order(void **state)
{
    (void)state;
    int32_t mine[2] = {rank, 10 * rank}, all[2 * 64];
    fsfm_comm_gather_all(comm, mine, sizeof mine, all);
    for (int r = 0; r < ranks; r++) {
        assert_int_equal(all[2 * r], r);
        assert_int_equal(all[2 * r + 1], 10 * r);
    }
}

static void broadcasts_from_any_root(void **state)
{
    (void)state;
    for (int root = 0; root < ranks; root++) {
        char text[16] = "not mine";
        if (rank == root) snprintf(text, sizeof text, "of %d", root);
        char want[16];
        snprintf(want, sizeof want, "of %d", root);
        fsfm_comm_broadcast(comm, text, sizeof text, root);
        assert_string_equal(text, want);
    }
}

static void exchanges_with_a_neighbour(void **state)
{
    (void)state;
    const int peer = rank ^ 1;
    int32_t mine[3] = {rank, rank + 1, rank + 2}, theirs[3] = {0};
    if (peer < ranks) {
        fsfm_comm_exchange(comm, peer, mine, theirs, sizeof mine);
        for (int i = 0; i < 3; i++) assert_int_equal(theirs[i], peer + i);
    }
    fsfm_comm_barrier(comm);
}

static void sums_run_on_in_the_background(void **state)
{
    (void)state;
    enum { SUMS = 4, COUNT = 1000 };
    static float values[SUMS][COUNT];
    fsfm_comm_sums *sums = NULL;
    fsfm_error err;
    assert_ok(fsfm_comm_sums_open(comm, SUMS, &sums, &err), &err);
    for (int round = 0; round < 2; round++) {
        for (int s = 0; s < SUMS; s++) {
            for (int i = 0; i < COUNT; i++) values[s][i] = (float)(rank + s + i);
            fsfm_comm_sums_begin(sums, values[s], COUNT);
            fsfm_comm_sums_progress(sums);
        }
        fsfm_comm_sums_finish(sums);
        for (int s = 0; s < SUMS; s++)
            for (int i = 0; i < COUNT; i++)
                assert_true(values[s][i] == (float)(ranks * (ranks - 1) / 2 + ranks * (s + i)));
    }
    fsfm_comm_sums_close(&sums);
    assert_null(sums);
}

static void bad_samples_become_one_list(void **state)
{
    (void)state;
    fsfm_bad_samples list = {0}, again = {0};
    fsfm_bad_sample found[2], *added = NULL;
    fsfm_error err;
    int64_t count = 0;
    char *text = NULL;
    memset(found, 0, sizeof found);
    found[0].sample = 7; /* met by every rank */
    found[1].sample = 100 - rank;
    snprintf(found[1].message, sizeof found[1].message, "of rank %d", rank);
    assert_ok(fsfm_bad_samples_merge(&list, comm, found, 2, &added, &count, &err), &err);
    assert_int_equal(count, ranks + 1);
    assert_int_equal(list.count, ranks + 1);
    assert_int_equal(added[0].sample, 7);
    for (int i = 1; i < count; i++)
        assert_int_equal(added[i].sample, 100 - ranks + i); /* in order of sample */
    free(added);
    assert_ok(fsfm_bad_samples_merge(&list, comm, found, rank == 0 ? 2 : 0, &added, &count, &err), &err);
    assert_int_equal(count, 0); /* told once */
    free(added);
    assert_ok(fsfm_bad_samples_write(&list, &text, &err), &err);
    assert_ok(fsfm_bad_samples_parse(text, &again, &err), &err);
    assert_int_equal(again.count, list.count);
    for (int64_t i = 0; i < list.count; i++) {
        assert_int_equal(again.items[i].source, list.items[i].source);
        assert_int_equal(again.items[i].sample, list.items[i].sample);
    }
    free(text);
    fsfm_bad_samples_free(&list);
    fsfm_bad_samples_free(&again);
    assert_fails(fsfm_bad_samples_parse("0:1 nonsense", &again, &err), FSFM_ERR_FORMAT, &err, "nonsense");
}

static void places_are_known(void **state)
{
    (void)state;
    assert_in_range(fsfm_comm_local_rank(comm), 0, fsfm_comm_local_size(comm) - 1);
    assert_int_equal(fsfm_comm_local_size(comm), ranks); /* one host here */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_on_success),           cmocka_unit_test(agrees_on_the_lowest_failing_rank),
        cmocka_unit_test(alarm_reaches_all),           cmocka_unit_test(sums_and_maxima),
        cmocka_unit_test(gathers_in_rank_order),       cmocka_unit_test(broadcasts_from_any_root),
        cmocka_unit_test(exchanges_with_a_neighbour),  cmocka_unit_test(sums_run_on_in_the_background),
        cmocka_unit_test(bad_samples_become_one_list), cmocka_unit_test(places_are_known),
    };
    const ranks_tests all = {tests, sizeof tests / sizeof *tests, NULL, NULL};
    return run_on_ranks(&all, &comm, &rank, &ranks);
}
