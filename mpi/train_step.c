/* SPDX-License-Identifier: Apache-2.0
 * mpi/train_step.c - one optimiser step on all ranks.
 *
 * A rank that fails goes on taking part in the sums, with nonsense, until the next place where all ranks
 * compare notes: so nobody waits for it. Whatever all ranks must decide alike is first reduced, then looked
 * at. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "mpi/train_state.h"

/* Does call unless something failed before. */
#define UNLESS_FAILED(st, call) ((st) == FSFM_OK ? (st) = (call) : (st))

/* Seconds between two questions whether to give a step up: steps that are shorter end first. */
#define PATIENCE_S 0.5

static fsfm_learner_input input_of(const fsfm_batch *batch)
{
    const fsfm_learner_input input = {.B = batch->B,
                                      .images_u8 = batch->images,
                                      .mask = batch->mask,
                                      .region = batch->region,
                                      .target_mask = batch->target_mask};
    return input;
}

void fsfm_train_count_patches(const fsfm_train *train, const fsfm_batch *batch, int64_t *masked,
                              int64_t *region)
{
    const int64_t count = batch->B * train->data.feed.patches;
    for (int64_t i = 0; i < count; i++) {
        *masked += batch->mask[i];
        *region += batch->region[i];
    }
}

/* The step's next batch: the one that was taken ahead, or the reader's. */
static fsfm_status take_batch(fsfm_train *train, int64_t m, fsfm_error *err)
{
    fsfm_batch *batch = &train->batches[m];
    if (m > 0 || !train->ahead.is_taken) return fsfm_reader_next(train->reader, batch, err);
    train->ahead.is_taken = false;
    *batch = train->ahead.batch;
    if (train->ahead.failure.status != FSFM_OK) *err = train->ahead.failure;
    return train->ahead.failure.status;
}

/* All batches of the step, the damaged samples among them, and the denominators of the losses over all ranks.
 */
static fsfm_status take_batches(fsfm_train *train, fsfm_learner_totals *totals, fsfm_error *err)
{
    int64_t counts[3] = {0}; /* masked patches, region patches, failed ranks */
    fsfm_status st = train->pending.status;
    if (st != FSFM_OK) *err = train->pending;
    for (int64_t m = 0; m < train->micro_count && st == FSFM_OK; m++) {
        fsfm_batch *batch = &train->batches[m];
        fsfm_watchdog_tell(train->watchdog, FSFM_PHASE_READING, train->at.step);
        if ((st = take_batch(train, m, err)) != FSFM_OK) break;
        FSFM_ASSERT(batch->B == train->micro_batch);
        fsfm_train_count_patches(train, batch, &counts[0], &counts[1]);
    }
    train->found_count = fsfm_reader_take_bad(train->reader, train->found, FSFM_TRAIN_FOUND_MAX);
    counts[2] = st != FSFM_OK;
    fsfm_comm_sum_i64(train->comm, counts, 3);
    if (counts[2]) return fsfm_comm_agree(train->comm, st, err);
    *totals = (fsfm_learner_totals){train->job->train->global_batch, counts[0], counts[1]};
    return FSFM_OK;
}

/* Parts of a step: the micro-batches; where all target features come first, these too. */
static int64_t step_parts(const fsfm_train *train)
{
    return train->micro_count * (train->all_keys ? 2 : 1);
}

/* Before a part, also on a rank that failed: whether the ranks give the step up, as one of them got a second
 * signal. */
static bool is_given_up(fsfm_train *train, int64_t part)
{
    if (!train->vote || !train->vote_every || part % train->vote_every) return false;
    return fsfm_comm_vote_next(train->vote, fsfm_stop_signal_count() > 1) != 0;
}

/* Brings batch to the device, unless it is there. */
static fsfm_status bring(fsfm_train *train, const fsfm_batch *batch, fsfm_error *err)
{
    const fsfm_learner_input input = input_of(batch);
    if (train->brought == batch->batch && fsfm_learner_has_batch(train->learner)) return FSFM_OK;
    train->brought = batch->batch;
    return fsfm_learner_bring(train->learner, &input, err);
}

/* The next step's first batch crosses to the device while that one computes: behind all that the step
 * enqueues but its update, for which the host has to wait. Not where the reader would be waited for, nor
 * where nothing crosses. A failure is the next step's. A bench has no reader: its batches are the same in
 * every step. */
static void look_ahead(fsfm_train *train)
{
    fsfm_status *st = &train->ahead.failure.status;
    fsfm_error *err = &train->ahead.failure;
    const fsfm_batch *next = &train->batches[0];
    if (train->dev->memory_is_host || train->at.step + 1 >= train->end_step) return;
    *st = FSFM_OK;
    if (train->reader) {
        if (!fsfm_reader_is_ready(train->reader)) return;
        next = &train->ahead.batch;
        train->ahead.is_taken = true;
        UNLESS_FAILED(*st, fsfm_reader_next(train->reader, &train->ahead.batch, err));
    }
    UNLESS_FAILED(*st, bring(train, next, err));
}

/* The target features of one micro-batch, which are also in train->keys afterwards if they were known. */
static fsfm_status find_target(fsfm_train *train, int64_t m, fsfm_error *err)
{
    const fsfm_batch *batch = &train->batches[m];
    const int64_t first = m * train->micro_batch;
    fsfm_watchdog_tell(train->watchdog, FSFM_PHASE_TARGET, train->at.step);
    if (train->features) {
        float *rows = train->keys + first * train->job->model->projection_size;
        if (fsfm_feature_cache_recall(train->features, batch->refs, batch->B, rows)) {
            train->targets.recalled += batch->B;
            return fsfm_learner_set_features(train->learner, first, batch->B, rows, err);
        }
    }
    train->targets.computed += batch->B;
    FSFM_TRY(bring(train, batch, err));
    return fsfm_learner_target(train->learner, first, err);
}

static void remember_targets(fsfm_train *train)
{
    for (int64_t m = 0; m < train->micro_count; m++)
        fsfm_feature_cache_remember(train->features, train->batches[m].refs, train->batches[m].B,
                                    train->keys +
                                        m * train->micro_batch * train->job->model->projection_size);
}

/* InfoNCE compares with the keys of the global batch: all of them come first. Collective. */
static fsfm_status gather_keys(fsfm_train *train, fsfm_status st, bool *gives_up, fsfm_error *err)
{
    for (int64_t m = 0; m < train->micro_count; m++) {
        if ((*gives_up = is_given_up(train, m))) return st;
        UNLESS_FAILED(st, find_target(train, m, err));
    }
    UNLESS_FAILED(st, fsfm_learner_get_keys(train->learner, train->keys, err));
    fsfm_comm_gather_all(train->comm, train->keys,
                         train->local_batch * train->job->model->projection_size * (int64_t)sizeof(float),
                         train->all_keys);
    return UNLESS_FAILED(
        st, fsfm_learner_set_keys(train->learner, train->all_keys, train->rank * train->local_batch, err));
}

/* Both networks on micro-batch m: gradients and sums are added to; exact: they are its slice's. */
static fsfm_status compute_micro_batch(fsfm_train *train, int64_t m, const fsfm_learner_totals *totals,
                                       fsfm_error *err)
{
    fsfm_learner *learner = train->learner;
    const bool is_exact = train->job->train->reduction == FSFM_REDUCTION_EXACT;
    const bool tells = !is_exact && train->ranks > 1 && m + 1 == train->micro_count;
    if (is_exact && m > 0) FSFM_TRY(fsfm_learner_begin_step(learner, err));
    FSFM_TRY(bring(train, &train->batches[m], err));
    if (fsfm_learner_has_target(learner) && !train->all_keys) FSFM_TRY(find_target(train, m, err));
    fsfm_watchdog_tell(train->watchdog, FSFM_PHASE_LEARNING, train->at.step);
    FSFM_TRY(fsfm_learner_online(learner, m * train->micro_batch, totals, tells ? fsfm_reduce_ready : NULL,
                                 train->reduce, err));
    if (!is_exact) return FSFM_OK;
    FSFM_TRY(fsfm_learner_keep_sums(learner, m, err));
    return fsfm_reduce_slice(train->reduce, err);
}

/* Gradients of the global batch; the sums of the losses are still on the device, each rank's own. A step is
 * given up before its sums over ranks begin, or not at all. */
static fsfm_status compute_gradients(fsfm_train *train, fsfm_step_outcome *out, fsfm_error *err)
{
    const int64_t computed_before = train->targets.computed;
    const int64_t first_part = step_parts(train) - train->micro_count;
    fsfm_error late = {FSFM_OK, ""};
    fsfm_status st = fsfm_learner_begin_step(train->learner, err), finished = FSFM_OK;
    fsfm_reduce_begin(train->reduce);
    if (train->all_keys) {
        finished = gather_keys(train, st, &out->is_given_up, st == FSFM_OK ? err : &late);
        UNLESS_FAILED(st, finished);
    }
    for (int64_t m = 0; m < train->micro_count && !out->is_given_up; m++) {
        if ((out->is_given_up = is_given_up(train, first_part + m))) break;
        UNLESS_FAILED(st, compute_micro_batch(train, m, &out->totals, err));
    }
    if (out->is_given_up) return st;
    finished = fsfm_reduce_gradients(train->reduce, st == FSFM_OK ? err : &late);
    UNLESS_FAILED(st, finished);
    if (!train->features || train->targets.computed == computed_before) return st;
    if (!train->all_keys) UNLESS_FAILED(st, fsfm_learner_get_keys(train->learner, train->keys, err));
    if (st == FSFM_OK) remember_targets(train);
    return st;
}

void fsfm_train_tell_targets(fsfm_train *train)
{
    int64_t counts[2] = {train->targets.computed, train->targets.recalled};
    if (!fsfm_learner_has_target(train->learner)) return;
    fsfm_comm_sum_i64(train->comm, counts, 2);
    fsfm_train_record_targets(train, counts[0], counts[1]);
}

fsfm_status fsfm_train_compute(fsfm_train *train, fsfm_step_outcome *out, fsfm_error *err)
{
    const bool has_target = fsfm_learner_has_target(train->learner);
    fsfm_learner_results results = {0};
    fsfm_status st = compute_gradients(train, out, err);
    if (out->is_given_up) return st;
    UNLESS_FAILED(st, fsfm_learner_start_read(train->learner, err));
    if (st == FSFM_OK) look_ahead(train);
    UNLESS_FAILED(st, fsfm_learner_finish_read(train->learner, &results, train->slice_sums, err));
    fsfm_reduce_sums(train->reduce, train->slice_sums, &results.sums);
    out->norm_squared = results.norm_squared;
    out->lr = fsfm_schedule_lr(&train->schedule, train->at.step);
    out->ema_momentum = train->job->model->target_update == FSFM_TARGET_EMA && has_target
                            ? fsfm_schedule_momentum(&train->schedule, train->at.step)
                            : NAN;
    out->losses = fsfm_losses_from_sums(train->job->model, &results.sums, &out->totals);
    out->norm = sqrt(out->norm_squared);
    out->is_bad = !isfinite(out->losses.loss) || !isfinite(out->norm_squared);
    if (!has_target) out->losses.sim = NAN;
    return st;
}

void fsfm_train_update(fsfm_train *train, const fsfm_step_outcome *out)
{
    const fsfm_learner_update step = {.lr = out->lr,
                                      .ema_momentum =
                                          fsfm_schedule_momentum(&train->schedule, train->at.step),
                                      .norm_squared = out->norm_squared,
                                      .adam_t = train->at.adam_t + 1};
    fsfm_watchdog_tell(train->watchdog, FSFM_PHASE_UPDATE, train->at.step);
    train->pending.status = fsfm_learner_finish_step(train->learner, &step, &train->pending);
    train->at.adam_t++;
}

fsfm_status fsfm_train_note_bad(fsfm_train *train, const fsfm_bad_sample *found, int64_t count, int64_t step,
                                fsfm_error *err)
{
    const int64_t most = train->job->data->max_bad;
    fsfm_bad_sample *added = NULL;
    int64_t added_count = 0;
    FSFM_TRY(fsfm_bad_samples_merge(&train->bad, train->comm, found, count, &added, &added_count, err));
    for (int64_t i = 0; i < added_count && train->rank == 0; i++) {
        fsfm_log_line(train->log, "damaged sample %" PRId64 " of %s replaced: %s", added[i].sample,
                      fsfm_train_data_folder(&train->data, added[i].source), added[i].message);
        fsfm_train_record_event(train, "bad_sample", step, added[i].message);
    }
    free(added);
    if (train->bad.count <= most) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_FORMAT,
                     "%" PRId64 " damaged samples, more than data.max_bad = %" PRId64
                     " (`fsfm inspect DATASET --verify` names them)",
                     train->bad.count, most);
}

/* How often the next step asks, from the seconds that the slowest rank took for the last one (0: not known).
 */
static void choose_vote(fsfm_train *train, double step_s)
{
    const int64_t parts = step_parts(train);
    const double every = step_s > 0 ? ceil(PATIENCE_S / step_s * (double)parts) : 1;
    if (train->vote) fsfm_comm_vote_end(train->vote);
    train->vote_every = every < (double)parts ? (int64_t)every : 0;
}

/* Rank 0: seconds from here to a checkpoint behind the next step, which waits for one that is written then.
 */
static double save_seconds(const fsfm_train *train)
{
    const bool saves_now = fsfm_train_saves_after(train, train->at.step + 1);
    return train->rank == 0 ? fsfm_checkpointer_seconds(train->checkpoints, saves_now ? 2 : 1) : 0;
}

/* Whatever ranks have to tell each other at the end of a step. */
static fsfm_status compare_notes(fsfm_train *train, fsfm_status mine, fsfm_step_outcome *out, fsfm_error *err)
{
    const int64_t count = train->found_count;
    int64_t *notes = train->times.notes;
    notes[0] = mine != FSFM_OK;
    notes[1] = out->is_bad;
    notes[2] = count;
    notes[3] = (int64_t)fsfm_stop_asked(&train->stop, train->step_s + save_seconds(train) + 1.0);
    notes[4] = (int64_t)(train->step_s * 1e6);
    fsfm_comm_max_i64(train->comm, notes, FSFM_NOTES + fsfm_train_put_times(train));
    if (notes[0]) return fsfm_comm_agree(train->comm, mine, err);
    choose_vote(train, (double)notes[4] * 1e-6);
    fsfm_train_take_times(train);
    out->is_bad = notes[1] != 0;
    out->stop = (fsfm_stop_reason)notes[3];
    return notes[2] ? fsfm_train_note_bad(train, train->found, count, train->at.step, err) : FSFM_OK;
}

fsfm_status fsfm_train_step(fsfm_train *train, fsfm_step_outcome *out, fsfm_error *err)
{
    const double began_s = fsfm_clock_monotonic_s();
    memset(out, 0, sizeof *out);
    fsfm_train_begin_times(train);
    FSFM_TRY(take_batches(train, &out->totals, err));
    const fsfm_status computed = fsfm_train_compute(train, out, err);
    if (out->is_given_up) {
        out->stop = FSFM_STOP_SIGNAL;
        return fsfm_comm_agree(train->comm, computed, err);
    }
    FSFM_TRY(compare_notes(train, computed, out, err));
    if (!out->is_bad) fsfm_train_update(train, out);
    for (int64_t m = 0; m < train->micro_count; m++) fsfm_reader_release(train->reader);
    train->at.bad_in_row = out->is_bad ? train->at.bad_in_row + 1 : 0;
    train->at.bad_steps += out->is_bad;
    train->at.no_region_steps += out->totals.region_patches == 0;
    train->at.step++;
    train->at.samples += train->job->train->global_batch;
    fsfm_train_end_times(train);
    train->step_s = fsfm_clock_monotonic_s() - began_s;
    return FSFM_OK;
}
