/* SPDX-License-Identifier: Apache-2.0
 * mpi/slow_ranks.h - ranks that everybody waits for: found from each rank's own time in block after block of
 * steps. Knows no MPI. */
#ifndef FSFM_MPI_SLOW_RANKS_H
#define FSFM_MPI_SLOW_RANKS_H

#include "core/base/status.h"

/* A rank is slow when its own time was more than FACTOR times the ranks' median in BLOCKS blocks in a row,
 * which took it SECONDS together: shorter ones are noise. It is named once, and again only after AGAIN_BLOCKS
 * more blocks and AGAIN_SECONDS of its time. */
#define FSFM_SLOW_FACTOR 1.3
#define FSFM_SLOW_BLOCKS 4
#define FSFM_SLOW_SECONDS 5.0
#define FSFM_SLOW_AGAIN_BLOCKS 50
#define FSFM_SLOW_AGAIN_SECONDS 600.0

typedef struct fsfm_slow_ranks fsfm_slow_ranks;
FSFM_MUST_USE
fsfm_status fsfm_slow_ranks_create(int ranks, fsfm_slow_ranks **out, fsfm_error *err);
void fsfm_slow_ranks_free(fsfm_slow_ranks **slow); /* accepts NULL */

typedef struct {
    int rank;
    double times; /* the median, over the blocks in which it was slow */
} fsfm_slow_rank;
/* own_s (ranks): seconds of a block that each rank took for itself, without waiting for others. named has
 * room for all ranks; returns how many are to be named now, lowest first. */
int fsfm_slow_ranks_note(fsfm_slow_ranks *slow, const double *own_s, fsfm_slow_rank *named);
#endif
