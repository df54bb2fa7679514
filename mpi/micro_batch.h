/* SPDX-License-Identifier: Apache-2.0
 * mpi/micro_batch.h - train.micro_batch auto: how many images a rank computes at once. */
#ifndef FSFM_MPI_MICRO_BATCH_H
#define FSFM_MPI_MICRO_BATCH_H

#include "core/model/learner.h"
#include "mpi/comm.h"

/* Images that fill a product with their visible tokens, on two threads; INT64_MAX where more is always
 * better. By device, precision and shape alone. */
int64_t fsfm_micro_batch_useful(const fsfm_device *dev, int64_t kept);
/* The largest divisor of setup->local_batch with which the learner fits this rank's part of a GPU's memory,
 * or half of its part of the machine's; but no larger than makes the step faster (fsfm_device.useful_rows),
 * or as its activations cost little. The learner is measured with at least smallest images (what evaluation
 * needs). sharers: ranks that share that memory. Collective: equal on all ranks. */
FSFM_MUST_USE
fsfm_status fsfm_micro_batch_auto(fsfm_comm *comm, int sharers, const fsfm_device *dev,
                                  const fsfm_learner_setup *setup, int64_t smallest, int64_t *out,
                                  fsfm_error *err);
/* train.recompute auto, for a learner like *setup, whose micro-batch is chosen: none where a GPU has the
 * memory for it, which is the faster; else gelu. Collective: equal on all ranks. */
FSFM_MUST_USE
fsfm_status fsfm_recompute_auto(fsfm_comm *comm, int sharers, const fsfm_device *dev,
                                const fsfm_learner_setup *setup, fsfm_recompute *out, fsfm_error *err);

#endif
