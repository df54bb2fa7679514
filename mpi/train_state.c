/* SPDX-License-Identifier: Apache-2.0
 * mpi/train_state.c - the state of a run: made anew, loaded from a checkpoint on rank 0 and sent to all,
 * saved. */
#include "mpi/train_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fsfm_status accept_checkpoint(void *context, const char *config,
                                     const fsfm_checkpoint_counters *counters, fsfm_error *err)
{
    const fsfm_train *train = context;
    const fsfm_train_job *job = train->job;
    if (job->compare(job->compare_context, config, err) != FSFM_OK)
        return fsfm_context(err, "%s", job->run_dir);
    if (strcmp(counters->dataset, train->data.checksums))
        return fsfm_fail(
            err, FSFM_ERR_ARG,
            "data.path: the dataset is not the one that the run in %s was started with (checksum %s, "
            "now %s)",
            job->run_dir, counters->dataset, train->data.checksums);
    return FSFM_OK;
}

/* Sends what rank 0 has in values, and sets it. */
static fsfm_status spread(fsfm_train *train, fsfm_state state, float *values, fsfm_error *err)
{
    const int64_t count = fsfm_learner_state_floats(train->learner, state);
    if (count == 0) return FSFM_OK;
    fsfm_comm_broadcast(train->comm, values, count * (int64_t)sizeof *values, 0);
    return fsfm_comm_agree(train->comm, fsfm_learner_set_state(train->learner, state, values, err), err);
}

static fsfm_status init_weights(fsfm_train *train, float *values, fsfm_error *err)
{
    const fsfm_train_job *job = train->job;
    const fsfm_parameters *parameters = fsfm_learner_parameters(train->learner);
    int found = 0;
    memset(values, 0, (size_t)parameters->total_floats * sizeof *values);
    fsfm_parameters_init(parameters, job->seed, values);
    if (!job->model->init[0]) return FSFM_OK;
    if (fsfm_checkpoint_read_online(parameters, job->model->init, values, &found, err) != FSFM_OK)
        return fsfm_context(err, "model.init");
    fsfm_log_line(train->log, "start     %d of %d tensors from %s", found, parameters->count,
                  job->model->init);
    return FSFM_OK;
}

fsfm_status fsfm_train_start_anew(fsfm_train *train, float *values, fsfm_error *err)
{
    const fsfm_train_job *job = train->job;
    fsfm_checkpoint_counters *at = &train->at;
    fsfm_status st = FSFM_OK;
    memset(at, 0, sizeof *at);
    at->eval_step = at->best_step = -1;
    at->seed = job->seed;
    at->slices = job->train->slices;
    memcpy(at->mean, train->data.mean, sizeof at->mean);
    memcpy(at->std, train->data.std, sizeof at->std);
    snprintf(at->dataset, sizeof at->dataset, "%s", train->data.checksums);
    snprintf(at->revision, sizeof at->revision, "%s", job->revision);
    if (train->rank == 0) st = init_weights(train, values, err);
    FSFM_TRY(fsfm_comm_agree(train->comm, st, err));
    FSFM_TRY(spread(train, FSFM_STATE_ONLINE, values, err));
    if (!fsfm_learner_has_target(train->learner)) return FSFM_OK;
    return fsfm_comm_agree(train->comm, fsfm_learner_copy_target(train->learner, err), err);
}

/* The list of damaged samples, as rank 0 has it in the snapshot, to all ranks. */
static fsfm_status spread_bad(fsfm_train *train, fsfm_error *err)
{
    int64_t length = 0;
    char *text = NULL;
    fsfm_status st = FSFM_OK;
    if (train->rank == 0)
        length = (int64_t)strlen(fsfm_checkpointer_snapshot(train->checkpoints)->bad_samples);
    fsfm_comm_broadcast(train->comm, &length, (int64_t)sizeof length, 0);
    if (!(text = calloc((size_t)length + 1, 1))) st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a list");
    if ((st = fsfm_comm_agree(train->comm, st, err)) != FSFM_OK) goto done;
    if (train->rank == 0)
        memcpy(text, fsfm_checkpointer_snapshot(train->checkpoints)->bad_samples, (size_t)length);
    fsfm_comm_broadcast(train->comm, text, length, 0);
    st = fsfm_comm_agree(train->comm, fsfm_bad_samples_parse(text, &train->bad, err), err);
done:
    free(text);
    return st;
}

fsfm_status fsfm_train_load(fsfm_train *train, bool *is_resumed, fsfm_error *err)
{
    fsfm_comm *comm = train->comm;
    const int64_t total = fsfm_learner_parameters(train->learner)->total_floats;
    float *work = NULL; /* a state of ranks other than 0, which has its snapshot's buffers */
    int64_t found = 0;
    fsfm_status st = FSFM_OK;
    train->saved_step = -1;
    if (train->rank == 0) {
        bool has_one = false;
        st = fsfm_checkpointer_load(train->checkpoints, accept_checkpoint, train, train->log, &has_one, err);
        found = has_one;
    } else if (!(work = malloc((size_t)total * sizeof *work))) {
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to receive the state");
    }
    if ((st = fsfm_comm_agree(comm, st, err)) != FSFM_OK) goto done;
    fsfm_comm_broadcast(comm, &found, (int64_t)sizeof found, 0);
    *is_resumed = found;
    if (!found) {
        st = fsfm_train_start_anew(
            train, work ? work : fsfm_checkpointer_snapshot(train->checkpoints)->values[0], err);
        goto done;
    }
    if (train->rank == 0) train->at = fsfm_checkpointer_snapshot(train->checkpoints)->counters;
    fsfm_comm_broadcast(comm, &train->at, (int64_t)sizeof train->at, 0);
    train->saved_step = train->at.step;
    for (int s = 0; s < FSFM_STATES && st == FSFM_OK; s++)
        st = spread(train, (fsfm_state)s,
                    work ? work : fsfm_checkpointer_snapshot(train->checkpoints)->values[s], err);
    if (st == FSFM_OK) st = spread_bad(train, err);
done:
    free(work);
    return st;
}

bool fsfm_train_saves_after(const fsfm_train *train, int64_t steps)
{
    const int64_t every = train->job->train->checkpoint_every_steps;
    return every > 0 && steps % every == 0;
}

fsfm_status fsfm_train_save(fsfm_train *train, bool is_best, fsfm_error *err)
{
    fsfm_checkpoint *snapshot = fsfm_checkpointer_snapshot(train->checkpoints);
    if (fsfm_train_report_saved(train, true, err) != FSFM_OK)
        err->message[0] = 0; /* told; this one may do better */
    free(snapshot->bad_samples);
    snapshot->bad_samples = NULL;
    snapshot->counters = train->at;
    FSFM_TRY(fsfm_bad_samples_write(&train->bad, &snapshot->bad_samples, err));
    for (int s = 0; s < FSFM_STATES; s++)
        if (snapshot->floats[s])
            FSFM_TRY(fsfm_learner_get_state(train->learner, (fsfm_state)s, snapshot->values[s], err));
    train->saved_step = train->at.step;
    fsfm_checkpointer_start(train->checkpoints, is_best);
    return FSFM_OK;
}

fsfm_status fsfm_train_report_saved(fsfm_train *train, bool waits, fsfm_error *err)
{
    fsfm_checkpoint_result result;
    if (waits) fsfm_checkpointer_wait(train->checkpoints);
    if (fsfm_checkpointer_take_result(train->checkpoints, &result)) {
        fsfm_json *json = fsfm_metrics_begin(train->run, "checkpoint", result.step);
        train->saved = result;
        fsfm_json_text(json, "file", result.file);
        fsfm_json_bool(json, "written", result.status == FSFM_OK);
        fsfm_json_real(json, "seconds", result.seconds);
        fsfm_json_int(json, "bytes", (int64_t)result.size_bytes);
        fsfm_json_text(json, "error", result.status == FSFM_OK ? NULL : result.error.message);
        fsfm_train_end_record(train);
        if (result.status != FSFM_OK) {
            fsfm_log_line(train->log, "checkpoint %s not written: %s", result.file, result.error.message);
            fsfm_train_record_event(train, "checkpoint_failed", result.step, result.error.message);
        }
    }
    if (train->saved.status != FSFM_OK && err) *err = train->saved.error;
    return train->saved.status;
}
