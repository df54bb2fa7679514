/* SPDX-License-Identifier: Apache-2.0
 * mpi/reduce.h - sums the gradients and losses of a step over micro-batches and ranks.
 *
 * fast: gradients are cut into buckets from the end of the array (which backward completes first); each is
 * summed over ranks while backward goes on with the next. Equal on all ranks, and over rank counts to
 * rounding. exact: the slices of the global batch are summed in one binary tree, ((0 1)(2 3))((4 5)(6 7)),
 * first those of this rank, then across ranks, which hold consecutive slices. An addition gives the same bits
 * whichever side does it, so the result is the same on every number of ranks, and however they travel: all
 * additions are the device's. */
#ifndef FSFM_MPI_REDUCE_H
#define FSFM_MPI_REDUCE_H

#include "core/device/device.h"
#include "core/model/learner.h"
#include "mpi/carrier.h"
#include "mpi/comm.h"
#include "mpi/train_options.h"

typedef struct {
    fsfm_comm *comm; /* borrowed, like dev and gradients_dev */
    fsfm_device *dev;
    float *gradients_dev; /* what backward adds to, and what holds the result */
    int64_t count;        /* floats */
    fsfm_reduction kind;
    int64_t bucket_mib;
    fsfm_carrier_kind carrier; /* how they travel */
    int64_t slices;            /* exact: of the global batch; ranks divide it, and both are powers of two */
} fsfm_reduce_setup;

typedef struct fsfm_reduce fsfm_reduce;
/* Collective, and all ranks return the same. What the gradients are is lost. FSFM_ERR_ARG, naming the key,
 * where exact cannot be done on so many ranks. The caller owns *out. */
FSFM_MUST_USE
fsfm_status fsfm_reduce_open(const fsfm_reduce_setup *setup, fsfm_reduce **out, fsfm_error *err);
void fsfm_reduce_close(fsfm_reduce **reduce); /* accepts NULL */
/* Memory that it takes on so many ranks (setup->comm and dev are not looked at, memory is the host's, the
 * ranks are on one). exact: kept. fast: what they share; with a carrier that is not AUTO, as on several
 * hosts, the MPI library holds a copy of what is under way while gradients travel. */
uint64_t fsfm_reduce_memory_bytes(const fsfm_reduce_setup *setup, int ranks);

/* How the sums travel, for people; "" on one rank. */
const char *fsfm_reduce_way(const fsfm_reduce *reduce);
/* As fsfm_carrier_waits_in_mpi(). */
bool fsfm_reduce_waits_in_mpi(const fsfm_reduce *reduce);

void fsfm_reduce_begin(fsfm_reduce *reduce);
/* fast: for the last micro-batch of a step, as fsfm_gradients_ready_fn; context is the fsfm_reduce. */
void fsfm_reduce_ready(void *reduce, int64_t first, int64_t count);
/* exact: after each slice of this rank, in order: takes its gradients into the tree. They are then anything;
 * the caller sets them to zero before the next slice, and leaves them after the last one. */
FSFM_MUST_USE
fsfm_status fsfm_reduce_slice(fsfm_reduce *reduce, fsfm_error *err);
/* Collective, to be called even by a rank that failed (whose values are then nonsense), behind the last
 * micro-batch and before anything waits for the device. The gradients are those of the global batch for what
 * is enqueued from now on. exact, on several ranks: waits. */
FSFM_MUST_USE
fsfm_status fsfm_reduce_gradients(fsfm_reduce *reduce, fsfm_error *err);
/* Collective, also for a rank that failed. *sums: the global batch's, from this rank's: fast: in *sums;
 * exact: slices, its own in order, which are overwritten. */
void fsfm_reduce_sums(fsfm_reduce *reduce, fsfm_learner_sums *slices, fsfm_learner_sums *sums);
/* Collective, for measurements: sums what the gradients are once, without a backward pass to hide behind;
 * seconds until the last rank has the result. */
FSFM_MUST_USE
fsfm_status fsfm_reduce_time(fsfm_reduce *reduce, double *seconds, fsfm_error *err);
#endif
