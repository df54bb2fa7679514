/* SPDX-License-Identifier: Apache-2.0
 * mpi/train_ranks.c - what each rank takes for itself of a block of steps, and what it spends in sums over
 * ranks and waiting there. Its own time rides, at the end of a block, on what ranks compare anyway. */
#include <math.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "mpi/train_state.h"

fsfm_status fsfm_train_open_ranks(fsfm_train *train, fsfm_error *err)
{
    fsfm_rank_times *times = &train->times;
    const size_t ranks = (size_t)train->ranks;
    times->notes = calloc(FSFM_NOTES + ranks, sizeof *times->notes);
    times->own_s = calloc(ranks, sizeof *times->own_s);
    times->named = calloc(ranks, sizeof *times->named);
    times->reduce_wait = NAN;
    if (!times->notes || !times->own_s || !times->named)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the times of %d ranks", train->ranks);
    if (train->rank != 0 || train->ranks == 1) return FSFM_OK;
    return fsfm_slow_ranks_create(train->ranks, &times->slow, err);
}

void fsfm_train_close_ranks(fsfm_train *train)
{
    free(train->times.notes);
    free(train->times.own_s);
    free(train->times.named);
    fsfm_slow_ranks_free(&train->times.slow);
}

bool fsfm_train_ends_block(const fsfm_train *train, int64_t step)
{
    return (step + 1) % train->job->train->log_every_steps == 0 || step + 1 == train->end_step;
}

void fsfm_train_begin_times(fsfm_train *train)
{
    train->times.began_s = fsfm_clock_monotonic_s();
    train->times.began_waited_s = fsfm_comm_spent_s(train->comm);
}

/* Adds what has passed since the last call, or since the step began. */
static void add_times(fsfm_train *train)
{
    fsfm_rank_times *times = &train->times;
    const double began_s = times->began_s, waited_s = times->began_waited_s;
    fsfm_train_begin_times(train);
    times->block_s += times->began_s - began_s;
    times->block_own_s += times->began_s - began_s - (times->began_waited_s - waited_s);
}

void fsfm_train_end_times(fsfm_train *train)
{
    add_times(train);
}

int fsfm_train_put_times(fsfm_train *train)
{
    fsfm_rank_times *times = &train->times;
    if (!fsfm_train_ends_block(train, train->at.step)) return 0;
    add_times(train);
    for (int r = 0; r < train->ranks; r++) times->notes[FSFM_NOTES + r] = 0;
    times->notes[FSFM_NOTES + train->rank] = (int64_t)(1e6 * times->block_own_s);
    return train->ranks;
}

void fsfm_train_take_times(fsfm_train *train)
{
    fsfm_rank_times *times = &train->times;
    double sum_s = 0;
    const double all_s = fmax(times->block_s, 1e-9) * train->ranks;
    if (!fsfm_train_ends_block(train, train->at.step)) return;
    for (int r = 0; r < train->ranks; r++)
        sum_s += times->own_s[r] = 1e-6 * (double)times->notes[FSFM_NOTES + r];
    times->block_s = times->block_own_s = 0;
    if (!fsfm_reduce_waits_in_mpi(train->reduce)) return; /* all ranks seem to compute as long */
    times->reduce_wait = fmax(0, 1 - sum_s / all_s);
    if (!times->slow) return;
    const int count = fsfm_slow_ranks_note(times->slow, times->own_s, times->named);
    for (int i = 0; i < count; i++)
        fsfm_train_record_slow(train, times->named[i].rank, times->named[i].times);
}
