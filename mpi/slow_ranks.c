/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/slow_ranks.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/median.h"

typedef struct {
    int blocks;              /* in a row in which it was slow */
    double own_s, typical_s; /* in them: its time, and the medians */
    int quiet_blocks;        /* for so long it is not named again */
    double quiet_s;
} rank_history;

struct fsfm_slow_ranks {
    int ranks;
    rank_history *history; /* (ranks) */
    double *sorted;        /* (ranks) */
};

fsfm_status fsfm_slow_ranks_create(int ranks, fsfm_slow_ranks **out, fsfm_error *err)
{
    fsfm_slow_ranks *slow = calloc(1, sizeof *slow);
    *out = slow;
    if (slow) {
        slow->ranks = ranks;
        slow->history = calloc((size_t)ranks, sizeof *slow->history);
        slow->sorted = calloc((size_t)ranks, sizeof *slow->sorted);
        if (slow->history && slow->sorted) return FSFM_OK;
    }
    fsfm_slow_ranks_free(out);
    return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the times of %d ranks", ranks);
}

void fsfm_slow_ranks_free(fsfm_slow_ranks **slow)
{
    if (!*slow) return;
    free((*slow)->history);
    free((*slow)->sorted);
    free(*slow);
    *slow = NULL;
}

/* Whether this block makes it one to be named. */
static bool note_rank(rank_history *rank, double own_s, double typical_s)
{
    if (rank->quiet_blocks > 0) rank->quiet_blocks--;
    rank->quiet_s -= own_s;
    if (!(own_s > FSFM_SLOW_FACTOR * typical_s)) {
        rank->blocks = 0;
        rank->own_s = rank->typical_s = 0;
        return false;
    }
    rank->blocks++;
    rank->own_s += own_s;
    rank->typical_s += typical_s;
    return rank->blocks >= FSFM_SLOW_BLOCKS && rank->own_s >= FSFM_SLOW_SECONDS && rank->quiet_blocks == 0 &&
           rank->quiet_s <= 0;
}

int fsfm_slow_ranks_note(fsfm_slow_ranks *slow, const double *own_s, fsfm_slow_rank *named)
{
    int count = 0;
    memcpy(slow->sorted, own_s, (size_t)slow->ranks * sizeof *own_s);
    const double typical_s = fsfm_median(slow->sorted, slow->ranks);
    for (int r = 0; r < slow->ranks; r++) {
        rank_history *rank = &slow->history[r];
        if (!note_rank(rank, own_s[r], typical_s)) continue;
        named[count++] = (fsfm_slow_rank){r, rank->own_s / rank->typical_s};
        rank->quiet_blocks = FSFM_SLOW_AGAIN_BLOCKS;
        rank->quiet_s = FSFM_SLOW_AGAIN_SECONDS;
    }
    return count;
}
