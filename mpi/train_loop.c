/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/train_loop.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "io/file.h"
#include "mpi/reconstruction.h"
#include "mpi/train_state.h"

/* Whether a multiple of period epochs ends with this many steps done. */
static bool is_due(const fsfm_train *train, double period_epochs)
{
    const double period_steps = period_epochs * (double)train->steps_per_epoch;
    const int64_t done = train->at.step;
    if (done == 0) return false;
    if (done == train->end_step) return true;
    return period_epochs > 0 && floor((double)done / period_steps) > floor((double)(done - 1) / period_steps);
}

static bool is_evaluation_due(const fsfm_train *train)
{
    return train->data.eval_samples && train->at.eval_step != train->at.step &&
           is_due(train, train->job->train->eval_every_epochs);
}

static int64_t stop_asked(void *context)
{
    fsfm_train *train = context;
    const double checkpoint_s = train->rank == 0 ? fsfm_checkpointer_seconds(train->checkpoints, 1) : 0;
    return (int64_t)fsfm_stop_asked(&train->stop, checkpoint_s + 1.0);
}

/* What an evaluation has found; *is_best if it is the best so far. */
static fsfm_status note_evaluation(fsfm_train *train, const fsfm_evaluation *evaluation, bool *is_best,
                                   fsfm_error *err)
{
    FSFM_TRY(fsfm_train_note_bad(train, evaluation->bad, evaluation->bad_count, train->at.step - 1, err));
    train->at.eval_step = train->at.step;
    *is_best = isfinite(evaluation->losses.loss) &&
               (train->at.best_step < 0 || evaluation->losses.loss < train->at.best_loss);
    if (*is_best) {
        train->at.best_step = train->at.step;
        train->at.best_loss = evaluation->losses.loss;
    }
    fsfm_train_record_evaluation(train, evaluation, *is_best);
    return FSFM_OK;
}

/* Evaluates if it is due and not done yet. Whoever asks the run to stop may not wait long: the evaluation is
 * then given up, *stop says why, and it is done when the run goes on. */
static fsfm_status evaluate(fsfm_train *train, fsfm_stop_reason *stop, bool *is_best, fsfm_error *err)
{
    const fsfm_evaluator evaluator = {.comm = train->comm,
                                      .data = &train->data,
                                      .learner = train->learner,
                                      .batch_size = train->eval_batch,
                                      .asked = stop_asked,
                                      .context = train,
                                      .vote = train->vote,
                                      .watchdog = train->watchdog,
                                      .step = train->at.step};
    fsfm_evaluation *evaluation = NULL;
    fsfm_status st = FSFM_OK;
    *is_best = false;
    if (!is_evaluation_due(train)) return FSFM_OK;
    evaluation = malloc(sizeof *evaluation);
    if (!evaluation) st = fsfm_fail(err, FSFM_ERR_MEMORY, "evaluation: no memory");
    if ((st = fsfm_comm_agree(train->comm, st, err)) == FSFM_OK)
        st = fsfm_evaluator_run(&evaluator, evaluation, err);
    if (st == FSFM_OK && evaluation->given_up)
        *stop = (fsfm_stop_reason)evaluation->given_up;
    else if (st == FSFM_OK)
        st = note_evaluation(train, evaluation, is_best, err);
    free(evaluation);
    return st;
}

/* A picture that cannot be drawn does not end a run. */
static void draw_picture(fsfm_train *train)
{
    const fsfm_train_options *options = train->job->train;
    char folder[FSFM_TEXT_SIZE + 64], path[FSFM_TEXT_SIZE + 128], name[32], title[64];
    fsfm_error err = {FSFM_OK, ""};
    fsfm_status st = FSFM_OK;
    if (train->rank != 0 || options->log_pictures == 0) return;
    if (!is_due(train, options->log_pictures_every_epochs)) return;
    fsfm_watchdog_tell(train->watchdog, FSFM_PHASE_PICTURE, train->at.step);
    snprintf(name, sizeof name, "step-%08" PRId64 ".png", train->at.step);
    snprintf(title, sizeof title, "after %" PRId64 " steps", train->at.step);
    st = fsfm_path_join(folder, sizeof folder, train->job->run_dir, "pictures", &err);
    if (st == FSFM_OK) st = fsfm_folder_make(folder, &err);
    if (st == FSFM_OK) st = fsfm_path_join(path, sizeof path, folder, name, &err);
    if (st == FSFM_OK)
        st = fsfm_reconstruction_draw(&train->data, train->learner, options->log_pictures, title, path, &err);
    if (st != FSFM_OK)
        fsfm_log_line(train->log, "picture not drawn: %s", err.message);
    else
        fsfm_log_line(train->log, "picture   %s", path);
}

/* Rank 0: saves where it is time to. Its failure is told to the others with the next step, as is the loss of
 * the run directory to another run, whose checkpoints a save here would remove. */
static void save_if_due(fsfm_train *train, bool is_last, bool is_best)
{
    const bool is_due_now = is_last || is_best || fsfm_train_saves_after(train, train->at.step);
    if (train->rank != 0) return;
    fsfm_watchdog_tell(train->watchdog, FSFM_PHASE_SAVING, train->at.step);
    fsfm_train_report_saved(train, false, NULL);
    if (train->pending.status != FSFM_OK) return;
    train->pending.status = fsfm_run_directory_check(train->run, is_due_now, &train->pending);
    if (train->pending.status != FSFM_OK) return;
    if (!is_due_now || (train->saved_step == train->at.step && !is_best)) return;
    train->pending.status = fsfm_train_save(train, is_best, &train->pending);
}

/* What a stop left undone. Behind the last step nothing else would save that it is done now. */
static fsfm_status finish_evaluation(fsfm_train *train, fsfm_stop_reason *stop, fsfm_error *err)
{
    const bool was_due = is_evaluation_due(train), is_end = train->at.step == train->end_step;
    bool is_best = false;
    FSFM_TRY(evaluate(train, stop, &is_best, err));
    if (!was_due || *stop != FSFM_STOP_NO) return FSFM_OK;
    if (is_end) draw_picture(train);
    if (is_end) train->saved_step = -1;
    if (is_end || is_best) save_if_due(train, is_end, is_best);
    return FSFM_OK;
}

/* Says once why a micro-batch's kernels are not replayed, where they were to be. */
static void tell_graph(fsfm_train *train)
{
    const char *note = fsfm_learner_replay_note(train->learner);
    if (train->rank != 0 || train->is_graph_told || !note[0]) return;
    fsfm_log_line(train->log, "graph     none, the step's kernels are enqueued one by one: %s", note);
    train->is_graph_told = true;
}

/* Once, as a step has the shapes of all others. */
static void tell_slow_products(fsfm_train *train)
{
    const char *shapes = train->dev->slow_products;
    if (shapes[0])
        fsfm_log_line(train->log,
                      "products  %s (M x N x K) by a plain kernel, slower: no fast one takes them", shapes);
}

static fsfm_status run_steps(fsfm_train *train, fsfm_stop_reason *stop, fsfm_error *err)
{
    const int64_t bad_most = train->job->train->max_bad_steps, first_step = train->at.step;
    while (train->at.step < train->end_step && *stop == FSFM_STOP_NO) {
        fsfm_step_outcome out;
        bool is_best = false, is_end = false;
        FSFM_TRY(fsfm_train_step(train, &out, err));
        if (out.is_given_up) {
            *stop = out.stop;
            if (train->rank == 0)
                fsfm_log_line(train->log, "step %" PRId64 " given up at a second signal", train->at.step);
            save_if_due(train, true, false);
            return FSFM_OK;
        }
        fsfm_train_record_step(train, train->at.step - 1, &out);
        tell_graph(train);
        if (train->at.step == first_step + 1) tell_slow_products(train);
        if (train->at.bad_in_row >= bad_most)
            return fsfm_fail(err, FSFM_ERR_NUMERIC,
                             "step %" PRId64 ": the loss was not finite %" PRId64
                             " steps in a row (train.max_bad_steps); the last checkpoint is as it was",
                             train->at.step - 1, train->at.bad_in_row);
        is_end = train->at.step == train->end_step;
        if (!is_end) *stop = out.stop;
        if (*stop == FSFM_STOP_NO) FSFM_TRY(evaluate(train, stop, &is_best, err));
        if (*stop == FSFM_STOP_NO) draw_picture(train);
        save_if_due(train, is_end || *stop != FSFM_STOP_NO, is_best);
    }
    return FSFM_OK;
}

/* The last write must have succeeded. */
static fsfm_status finish_saving(fsfm_train *train, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    fsfm_watchdog_tell(train->watchdog, FSFM_PHASE_SAVING, train->at.step);
    if (train->rank == 0) {
        st = train->pending.status;
        if (st != FSFM_OK)
            *err = train->pending;
        else
            st = fsfm_train_report_saved(train, true, err);
        if (st != FSFM_OK) fsfm_context(err, "the last checkpoint");
    }
    return fsfm_comm_agree(train->comm, st, err);
}

static fsfm_status tell_stop(fsfm_train *train, fsfm_stop_reason reason)
{
    const char *why = fsfm_stop_describe(reason, fsfm_stop_signal());
    if (train->rank != 0) return FSFM_ERR_INTERRUPTED;
    fsfm_train_record_event(train, "stop", train->at.step, why);
    if (reason == FSFM_STOP_FILE) fsfm_stop_remove_file(&train->stop);
    fsfm_log_line(train->log,
                  "stopped   by %s after step %" PRId64 " of %" PRId64 ", saved; start it again to go on",
                  why, train->at.step, train->end_step);
    return FSFM_ERR_INTERRUPTED;
}

/* Everything between a loaded state and the end. */
static fsfm_status go_on(fsfm_train *train, bool is_resumed, fsfm_error *err)
{
    fsfm_stop_reason stop = FSFM_STOP_NO;
    fsfm_status st = FSFM_OK;
    if (train->rank == 0) {
        st = fsfm_train_write_environment(train, err);
        if (st == FSFM_OK)
            st = fsfm_run_directory_open_metrics(train->run, train->at.step,
                                                 train->at.eval_step == train->at.step, err);
        if (st == FSFM_OK) st = fsfm_run_directory_state(train->run, "running", -1, train->at.step, err);
    }
    FSFM_TRY(fsfm_comm_agree(train->comm, st, err));
    FSFM_TRY(fsfm_train_open_features(train, err));
    fsfm_train_record_start(train, is_resumed);
    FSFM_TRY(fsfm_train_check_health(train, err));
    FSFM_TRY(fsfm_train_open_reader(train, err));
    FSFM_TRY(finish_evaluation(train, &stop, err));
    train->speed.since_s = train->speed.run_since_s = fsfm_clock_monotonic_s();
    st = run_steps(train, &stop, err);
    if (st != FSFM_OK) {
        if (train->rank == 0) fsfm_train_report_saved(train, true, NULL);
        return st;
    }
    fsfm_train_tell_targets(train);
    FSFM_TRY(finish_saving(train, err));
    return stop == FSFM_STOP_NO ? FSFM_OK : tell_stop(train, stop);
}

/* Rank 0: state.json, unless the run was refused before it began (it is then as it was). */
static void write_state(fsfm_train *train, fsfm_status st, bool has_begun)
{
    const char *status = st == FSFM_OK ? "done" : st == FSFM_ERR_INTERRUPTED ? "stopped" : "failed";
    fsfm_error err = {FSFM_OK, ""};
    if (!train->run || (st == FSFM_ERR_ARG && !has_begun)) return;
    if (fsfm_run_directory_state(train->run, status, train->job->exit_code(st), train->at.step, &err) !=
        FSFM_OK)
        fsfm_log_line(train->log, "%s", err.message);
}

static fsfm_status open_watchdog(fsfm_train *train, fsfm_error *err)
{
    const fsfm_watchdog_setup setup = {.comm = train->comm,
                                       .run_dir = train->job->run_dir,
                                       .timeout_s = train->job->hang_timeout_s,
                                       .exit_code = train->job->exit_code};
    return setup.timeout_s > 0 ? fsfm_watchdog_open(&setup, &train->watchdog, err) : FSFM_OK;
}

fsfm_status fsfm_train_run(fsfm_comm *comm, const fsfm_train_job *job, fsfm_log *log, fsfm_error *err)
{
    fsfm_train *train = calloc(1, sizeof *train);
    bool is_resumed = false, has_begun = false;
    fsfm_status st = FSFM_OK;
    if (!train) st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the run");
    if ((st = fsfm_comm_agree(comm, st, err)) != FSFM_OK) {
        free(train);
        return st;
    }
    train->job = job;
    train->comm = comm;
    train->log = log;
    train->rank = fsfm_comm_rank(comm);
    train->ranks = fsfm_comm_size(comm);
    train->local_ranks = fsfm_comm_local_size(comm);
    if ((st = open_watchdog(train, err)) != FSFM_OK) goto done;
    fsfm_start_guard_end(job->start_guard);
    if ((st = fsfm_comm_agree(comm, fsfm_comm_vote_open(comm, &train->vote, err), err)) != FSFM_OK) goto done;
    train->vote_every = 1; /* of the first step nothing is known */
    if ((st = fsfm_train_setup(train, err)) != FSFM_OK) goto done;
    fsfm_train_log_header(train);
    if ((st = fsfm_train_load(train, &is_resumed, err)) != FSFM_OK) goto done;
    if (is_resumed && (train->at.step > train->end_step ||
                       (train->at.step == train->end_step && !is_evaluation_due(train)))) {
        fsfm_log_line(log,
                      "finished  %" PRId64 " of %" PRId64 " steps were done before, nothing is left to do",
                      train->at.step, train->end_step);
        goto done;
    }
    has_begun = true;
    st = go_on(train, is_resumed, err);
    if (st == FSFM_OK)
        fsfm_log_line(log, "finished  %" PRId64 " steps, %" PRId64 " images; everything is in %s",
                      train->at.step, train->at.samples, job->run_dir);
done:
    write_state(train, st, has_begun);
    if (st == FSFM_ERR_INTERRUPTED && err) err->message[0] = 0;
    fsfm_train_close(train);
    fsfm_comm_vote_close(&train->vote);
    fsfm_watchdog_close(&train->watchdog);
    free(train);
    return st;
}
