/* SPDX-License-Identifier: Apache-2.0
 * mpi/evaluator.h - reconstruction losses over the held-out samples, the same numbers on any number of ranks.
 */
#ifndef FSFM_MPI_EVALUATOR_H
#define FSFM_MPI_EVALUATOR_H

#include "core/model/learner.h"
#include "mpi/bad_samples.h"
#include "mpi/train_data.h"
#include "mpi/watchdog.h"

typedef struct {
    fsfm_comm *comm;
    const fsfm_train_data *data;
    fsfm_learner *learner;
    int64_t batch_size; /* the same on any number of ranks; at most the learner's micro_batch */
    /* Whether this rank wants to give up, not 0, and the vote by which ranks give up together; NULL: never.
     */
    int64_t (*asked)(void *context);
    void *context;
    fsfm_comm_vote *vote;
    fsfm_watchdog *watchdog; /* told of every batch; may be NULL */
    int64_t step;            /* of the run */
} fsfm_evaluator;

enum { FSFM_EVALUATION_BAD_MAX = 64 };
typedef struct {
    int64_t given_up;   /* the largest that a rank was asked with: the rest is not known then; 0: done */
    fsfm_losses losses; /* sim is NAN: it is not evaluated */
    fsfm_learner_totals totals;
    fsfm_bad_sample bad[FSFM_EVALUATION_BAD_MAX]; /* met by this rank */
    int64_t bad_count;
} fsfm_evaluation;
/* Collective. Ranks take consecutive batches; the sums of each batch are added in the order of the batches.
 */
FSFM_MUST_USE
fsfm_status fsfm_evaluator_run(const fsfm_evaluator *evaluator, fsfm_evaluation *out, fsfm_error *err);
#endif
