/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/evaluator.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sums of one batch. */
typedef struct {
    double rec_m, rec_fr;
} batch_sums;

static int64_t count_ones(const uint8_t *bytes, int64_t count)
{
    int64_t ones = 0;
    for (int64_t i = 0; i < count; i++) ones += bytes[i];
    return ones;
}

/* What ranks were asked with, by the answers so far. */
static int64_t ask(const fsfm_evaluator *evaluator)
{
    return evaluator->vote ? fsfm_comm_vote_next(evaluator->vote, evaluator->asked(evaluator->context)) : 0;
}

static fsfm_status run_batch(const fsfm_evaluator *evaluator, fsfm_reader *reader, batch_sums *sums,
                             fsfm_evaluation *out, fsfm_error *err)
{
    const int64_t L = evaluator->data->eval_feed.patches;
    fsfm_learner_sums got = {0};
    fsfm_batch batch;
    fsfm_watchdog_tell(evaluator->watchdog, FSFM_PHASE_EVALUATION, evaluator->step);
    FSFM_TRY(fsfm_reader_next(reader, &batch, err));
    const fsfm_learner_input input = {
        .B = batch.B, .images_u8 = batch.images, .mask = batch.mask, .region = batch.region};
    const fsfm_status st = fsfm_learner_evaluate(evaluator->learner, &input, &got, err);
    sums->rec_m = got.rec_m;
    sums->rec_fr = got.rec_fr;
    out->totals.samples += batch.B;
    out->totals.masked_patches += count_ones(batch.mask, batch.B * L);
    out->totals.region_patches += count_ones(batch.region, batch.B * L);
    fsfm_reader_release(reader);
    return st;
}

/* Batches [first, end) of this rank into sums[batch]; asks rounds times, as every rank does, also one that
 * fails. */
static fsfm_status run_batches(const fsfm_evaluator *evaluator, int64_t first, int64_t end, int64_t rounds,
                               batch_sums *sums, fsfm_evaluation *out, fsfm_error *err)
{
    const fsfm_train_data *data = evaluator->data;
    const int64_t size = evaluator->batch_size;
    fsfm_reader_plan plan = fsfm_train_data_plan(data, true);
    fsfm_reader *reader = NULL;
    fsfm_status st = FSFM_OK;
    plan.share_first = first * size;
    plan.share_count = (end * size < data->eval_samples ? end * size : data->eval_samples) - plan.share_first;
    plan.batch_size = size;
    plan.end_batch = end - first;
    if (first < end) st = fsfm_reader_open(&plan, &reader, err);
    for (int64_t b = first; b < first + rounds && !(out->given_up = ask(evaluator)); b++)
        if (st == FSFM_OK && b < end) st = run_batch(evaluator, reader, &sums[b], out, err);
    if (evaluator->vote) fsfm_comm_vote_end(evaluator->vote);
    if (!reader) return st;
    out->bad_count = fsfm_reader_take_bad(reader, out->bad, FSFM_EVALUATION_BAD_MAX);
    for (int64_t i = 0; i < out->bad_count && data->eval_set; i++) out->bad[i].source = data->count;
    fsfm_reader_close(&reader);
    return st;
}

fsfm_status fsfm_evaluator_run(const fsfm_evaluator *evaluator, fsfm_evaluation *out, fsfm_error *err)
{
    fsfm_comm *comm = evaluator->comm;
    const int64_t rank = fsfm_comm_rank(comm), ranks = fsfm_comm_size(comm);
    const int64_t batches =
        (evaluator->data->eval_samples + evaluator->batch_size - 1) / evaluator->batch_size;
    batch_sums *sums = calloc((size_t)batches, sizeof *sums);
    fsfm_learner_sums total = {0};
    fsfm_status st = FSFM_OK;
    memset(out, 0, sizeof *out);
    if (!sums) st = fsfm_fail(err, FSFM_ERR_MEMORY, "evaluation: no memory");
    if ((st = fsfm_comm_agree(comm, st, err)) == FSFM_OK)
        st = run_batches(evaluator, rank * batches / ranks, (rank + 1) * batches / ranks,
                         (batches + ranks - 1) / ranks, sums, out, err);
    if ((st = fsfm_comm_agree(comm, st, err)) != FSFM_OK || out->given_up) goto done;
    fsfm_comm_sum_double(comm, (double *)sums, 2 * batches); /* exact: all but one rank add 0 */
    int64_t counts[3] = {out->totals.samples, out->totals.masked_patches, out->totals.region_patches};
    fsfm_comm_sum_i64(comm, counts, 3);
    out->totals = (fsfm_learner_totals){counts[0], counts[1], counts[2]};
    for (int64_t b = 0; b < batches; b++) {
        total.rec_m += sums[b].rec_m;
        total.rec_fr += sums[b].rec_fr;
    }
    out->losses = fsfm_losses_from_sums(evaluator->data->job->model, &total, &out->totals);
    out->losses.sim = NAN;
done:
    free(sums);
    return st;
}
