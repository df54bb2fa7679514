/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "mpi/heartbeats.h"
#include "tests/support/check.h"
#include "tests/support/on_ranks.h"

static fsfm_comm *comm;
static int rank, ranks;

static fsfm_heartbeat beat_of(int r)
{
    return (fsfm_heartbeat){
        .step = 100 + r, .calls = 7 * r, .stalled_s = 0.5, .phase = r % 3, .waits = r & 1};
}

/* What a rank that listens has heard of all others is what they say. */
static bool all_are_heard(const fsfm_heartbeats *beats)
{
    for (int r = 0; r < ranks; r++) {
        const fsfm_heartbeat want = beat_of(r);
        fsfm_heartbeat got;
        double age_s = -1;
        if (r == rank) continue;
        if (!fsfm_heartbeats_last(beats, r, &got, &age_s) || age_s < 0 || got.step != want.step ||
            got.calls != want.calls || got.stalled_s != want.stalled_s || got.phase != want.phase ||
            got.waits != want.waits)
            return false;
    }
    return true;
}

static void serve(fsfm_heartbeats *beats, double seconds, const char *stack)
{
    const fsfm_heartbeat mine = beat_of(rank);
    const double until_s = fsfm_clock_monotonic_s() + seconds;
    while (fsfm_clock_monotonic_s() < until_s) {
        fsfm_heartbeats_send(beats, &mine);
        if (fsfm_heartbeats_receive(beats, -1, 0.02)) fsfm_heartbeats_answer_stack(beats, stack);
    }
}

static bool holds_everywhere(bool mine)
{
    int64_t lacks = !mine;
    fsfm_comm_max_i64(comm, &lacks, 1);
    return !lacks;
}

/* Datagrams may be lost or late, so ranks go on, all together, until it is so or it takes too long. */
static void listeners_hear_all_ranks(void **state)
{
    (void)state;
    fsfm_heartbeats *beats = NULL;
    fsfm_heartbeat got;
    fsfm_error err;
    double age_s;
    bool is_heard = false;
    assert_ok(fsfm_heartbeats_open(comm, &beats, &err), &err);
    for (int round = 0; round < 100 && !is_heard; round++) {
        serve(beats, 0.1, "");
        is_heard = holds_everywhere(rank > 1 || all_are_heard(beats));
    }
    const bool is_alone = rank <= 1 || !fsfm_heartbeats_last(beats, 0, &got, &age_s);
    const int listener = fsfm_heartbeats_listener(beats);
    const bool is_place = fsfm_heartbeats_place(beats, ranks - 1)->process > 0;
    fsfm_heartbeats_close(&beats);
    assert_true(is_heard);
    assert_true(is_alone); /* who does not listen hears nothing */
    assert_true(is_place);
    assert_int_equal(listener, rank < 2 ? rank : -1); /* one host */
}

static void a_stack_comes_when_asked(void **state)
{
    (void)state;
    fsfm_heartbeats *beats = NULL;
    fsfm_error err;
    char text[FSFM_STACK_TEXT] = "", longest[2 * FSFM_STACK_TEXT];
    bool has_come = false;
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_ok(fsfm_heartbeats_open(comm, &beats, &err), &err);
    for (int round = 0; round < 100 && !has_come; round++) {
        bool is_done = true;
        if (rank == 0 && ranks > 1) {
            serve(beats, 0.1, "");
            is_done = fsfm_heartbeats_ask_stack(beats, ranks - 1, 0.3, text) &&
                      strlen(text) == FSFM_STACK_TEXT - 1; /* cut, not lost */
        } else
            serve(beats, 0.3, longest);
        has_come = holds_everywhere(is_done);
    }
    const bool answers_itself = fsfm_heartbeats_ask_stack(beats, rank, 0.1, text);
    fsfm_heartbeats_close(&beats);
    assert_true(has_come);
    assert_false(answers_itself); /* it was never heard by itself */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listeners_hear_all_ranks),
        cmocka_unit_test(a_stack_comes_when_asked),
    };
    const ranks_tests all = {tests, sizeof tests / sizeof *tests, NULL, NULL};
    return run_on_ranks(&all, &comm, &rank, &ranks);
}
