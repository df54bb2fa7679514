/* SPDX-License-Identifier: Apache-2.0
 * mpi/carrier.h - sums pieces of a device's array over ranks while the device computes the next ones.
 *
 * In one of these ways, the first that every rank has: the host's memory is the device's, and the ranks are
 * on one host and share some, or MPI sums in place; NCCL; MPI that takes the device's memory, which a sum at
 * the start, as large as any later one, has to prove; copies in pinned host memory, which MPI sums. MPI sums
 * a device's memory at the end of a turn, all others as pieces come: libraries that take such memory do so in
 * their blocking sums. Through shared memory it is at the end too, as the processors that would sum are those
 * that compute. All give equal results on all ranks, and over ways and rank counts to rounding. *
 * Or exchanges parts of the array between two ranks, which add them themselves. By the same ways, but for the
 * ranks' shared memory. */
#ifndef FSFM_MPI_CARRIER_H
#define FSFM_MPI_CARRIER_H

#include "core/device/device.h"
#include "mpi/comm.h"

typedef enum { FSFM_CARRIER_AUTO, FSFM_CARRIER_NCCL, FSFM_CARRIER_MPI, FSFM_CARRIER_HOST } fsfm_carrier_kind;
extern const char *const fsfm_carrier_names[]; /* of the kinds, ended by NULL */

typedef struct {
    fsfm_comm *comm; /* borrowed, like dev and values_dev */
    fsfm_device *dev;
    float *values_dev;
    int64_t count;        /* floats */
    int64_t pieces;       /* that a turn has at most */
    int64_t piece_floats; /* of the largest one; of what is copied or given to MPI at a time */
    bool exchanges;       /* exchange() is called, not begin() */
    fsfm_carrier_kind kind;
} fsfm_carrier_setup;

typedef struct fsfm_carrier fsfm_carrier;
/* Collective, and all ranks return the same. A status with the reason where a kind that is not AUTO cannot be
 * had on every rank. What the values are is lost. The caller owns *out. */
FSFM_MUST_USE
fsfm_status fsfm_carrier_open(const fsfm_carrier_setup *setup, fsfm_carrier **out, fsfm_error *err);
void fsfm_carrier_close(fsfm_carrier **carrier); /* accepts NULL */
/* The way that was taken, for people: "NCCL", ...; and why not those that come before it in AUTO. */
const char *fsfm_carrier_way(const fsfm_carrier *carrier);
/* Whether waiting for other ranks is time in MPI: NCCL's sums wait on the GPU, where it cannot be told from
 * computing. */
bool fsfm_carrier_waits_in_mpi(const fsfm_carrier *carrier);

/* All ranks begin the same pieces in the same order. What was enqueued on the device before is in the sum. A
 * failure is kept for finish(), and the rank goes on taking part; with NCCL, where the others would wait on
 * their devices for ever, it makes all of them leave the group, and nothing is summed any more. */
void fsfm_carrier_begin(fsfm_carrier *carrier, int64_t first, int64_t count);
void fsfm_carrier_progress(fsfm_carrier *carrier); /* not collective: lets pieces under way go on */
/* Not collective, each calls it with the other as its peer: sends mine (count) to peer and receives theirs
 * (count), at most half of the values, rounded up. They do not overlap. theirs is there for what is enqueued
 * on the device from now on. Failures as in begin(). */
void fsfm_carrier_exchange(fsfm_carrier *carrier, int peer, const float *mine_dev, float *theirs_dev,
                           int64_t count);
/* All pieces are summed for what is enqueued on the device from now on; by NCCL they are then done. To be
 * called by a rank that failed too. FSFM_OK is not everybody's: where another rank failed the values are
 * nonsense, and the ranks have to agree before they are used. */
FSFM_MUST_USE
fsfm_status fsfm_carrier_finish(fsfm_carrier *carrier, fsfm_error *err);

#endif
