/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/verify/verify_step.h"

enum {
    BATCHES = 4,
    COLUMNS = 7
}; /* loss, loss_rec_m, loss_rec_fr, loss_sim, gradient norm, lr, EMA momentum */

static const double pi = 3.14159265358979323846;

/* FORMAT.md, "Trajectory": four steps of warm-up to 1e-3, then half a cosine to 0 at the last step. */
static double path_lr(int64_t step, int64_t steps)
{
    if (step < 4) return 1e-3 * (double)step / 4.0;
    return 1e-3 * 0.5 * (1.0 + cos(pi * (double)(step - 4) / (double)(steps - 4)));
}

static double path_momentum(int64_t step, int64_t steps)
{
    return 1.0 - 0.002 * (1.0 + cos(pi * (double)step / (double)steps));
}

typedef struct {
    fsfm_comparison losses, norm, schedule;
} path_comparison;

static void compare_record(const fsfm_verification *v, path_comparison *to, int64_t step, const double *got,
                           const double *want)
{
    const double norm_floor = v->tolerances->path_norm_is_relative ? 1e-300 : 0.2;
    for (int i = 0; i < 4; i++)
        fsfm_comparison_note(&to->losses, fsfm_compare_numbers(got[i], want[i], 0.2),
                             "step %" PRId64 ", column %d", step, i);
    fsfm_comparison_note(&to->norm, fsfm_compare_numbers(got[4], want[4], norm_floor), "step %" PRId64, step);
    fsfm_comparison_note(&to->schedule, fabs(got[5] - want[5]), "lr at step %" PRId64, step);
    fsfm_comparison_note(&to->schedule, fabs(got[6] - want[6]), "momentum at step %" PRId64, step);
}

static fsfm_status run_path(fsfm_verification *v, fsfm_learner *learner, const fsfm_golden_batch *batches,
                            const double *want, path_comparison *to, fsfm_error *err)
{
    const int64_t steps = v->golden->trajectory_steps;
    for (int64_t step = 0; step < steps; step++) {
        fsfm_losses losses;
        fsfm_learner_update update = {
            .lr = path_lr(step, steps), .ema_momentum = path_momentum(step, steps), .adam_t = step + 1};
        FSFM_TRY(fsfm_verify_run(learner, v->golden, &batches[step % BATCHES], &losses, &update.norm_squared,
                                 err));
        FSFM_TRY(fsfm_learner_finish_step(learner, &update, err));
        const double got[COLUMNS] = {
            losses.loss, losses.rec_m,       losses.rec_fr, losses.sim, sqrt(update.norm_squared),
            update.lr,   update.ema_momentum};
        compare_record(v, to, step, got, want + step * COLUMNS);
    }
    if (fsfm_learner_replay_note(learner)[0])
        fsfm_log_line(v->log, "no CUDA graph: %s", fsfm_learner_replay_note(learner));
    return FSFM_OK;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* One tensor after the last step: samples at every stride-th element, and the norm of the whole. */
static fsfm_status compare_tensor(fsfm_verification *v, const char *network, const fsfm_parameter *item,
                                  const float *got, fsfm_comparison *samples, fsfm_comparison *l2,
                                  fsfm_error *err)
{
    char path[FSFM_PARAMETER_NAME_SIZE + 48];
    int64_t stride, count;
    double want_l2, got_l2 = 0.0, largest = 0.0, worst = 0.0;
    snprintf(path, sizeof path, "trajectory/final/%s/%s", network, item->name);
    FSFM_TRY(fsfm_golden_int(v->golden->file, path, "stride", &stride, err));
    FSFM_TRY(fsfm_golden_real(v->golden->file, path, "l2", &want_l2, err));
    FSFM_TRY(fsfm_golden_count(v->golden->file, path, &count, err));
    float want[64];
    if (count < 1 || count > 64 || stride < 1 || (count - 1) * stride >= item->count)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "'%s': %" PRId64 " samples with stride %" PRId64, path, count,
                         stride);
    FSFM_TRY(fsfm_golden_floats(v->golden->file, path, count, want, err));
    for (int64_t i = 0; i < item->count; i++) got_l2 += (double)got[i] * (double)got[i];
    for (int64_t i = 0; i < count; i++) {
        const double difference = fabs((double)got[i * stride] - (double)want[i]);
        if (!(difference <= worst)) worst = difference;
        largest = fmax(largest, fabs((double)want[i]));
    }
    fsfm_comparison_note(samples, largest > 0.0 ? worst / largest : worst, "%s/%s", network, item->name);
    fsfm_comparison_note(l2, fsfm_compare_numbers(sqrt(got_l2), want_l2, 1e-300), "%s/%s", network,
                         item->name);
    return FSFM_OK;
}

static fsfm_status compare_network(fsfm_verification *v, fsfm_learner *learner, fsfm_state state,
                                   const char *network, fsfm_comparison *samples, fsfm_comparison *l2,
                                   fsfm_error *err)
{
    const fsfm_parameters *list = fsfm_learner_parameters(learner);
    const int count = state == FSFM_STATE_TARGET ? list->trunk_count : list->count;
    float *values = malloc((size_t)fsfm_learner_state_floats(learner, state) * sizeof *values);
    if (!values) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the weights of '%s'", network);
    fsfm_status st = fsfm_learner_get_state(learner, state, values, err);
    for (int i = 0; st == FSFM_OK && i < count; i++) {
        const fsfm_parameter *item = &list->items[i];
        if (ends_with(item->name, "attn.qkv.bias"))
            continue; /* the key part has no gradient: Adam divides noise */
        st = compare_tensor(v, network, item, values + item->offset, samples, l2, err);
    }
    free(values);
    return st;
}

static fsfm_status compare_final(fsfm_verification *v, fsfm_learner *learner, fsfm_error *err)
{
    fsfm_comparison samples = {0}, l2 = {0};
    FSFM_TRY(compare_network(v, learner, FSFM_STATE_ONLINE, "online", &samples, &l2, err));
    FSFM_TRY(compare_network(v, learner, FSFM_STATE_TARGET, "target", &samples, &l2, err));
    if (v->tolerances->final_sample > 0.0)
        fsfm_verify_report(v, &samples, "final weights, samples", v->tolerances->final_sample);
    fsfm_verify_report(v, &l2, "final weights, l2", v->tolerances->final_l2);
    return FSFM_OK;
}

static fsfm_status verify_path(fsfm_verification *v, fsfm_learner *learner, fsfm_golden_batch *batches,
                               double *want, fsfm_error *err)
{
    path_comparison path = {0};
    FSFM_TRY(fsfm_golden_doubles(v->golden->file, "trajectory/steps", v->golden->trajectory_steps * COLUMNS,
                                 want, err));
    for (int i = 0; i < BATCHES; i++) {
        char group[32];
        snprintf(group, sizeof group, "trajectory/batch%d", i + 1);
        FSFM_TRY(fsfm_golden_batch_read(v->golden, group, &batches[i], err));
    }
    FSFM_TRY(run_path(v, learner, batches, want, &path, err));
    fsfm_verify_report(v, &path.losses, "trajectory, losses", v->tolerances->path_loss);
    fsfm_verify_report(v, &path.norm, "trajectory, gradient norm", v->tolerances->path_norm);
    fsfm_verify_report(v, &path.schedule, "trajectory, lr, momentum", v->tolerances->path_schedule);
    return compare_final(v, learner, err);
}

fsfm_status fsfm_verify_trajectory(fsfm_verification *v, fsfm_error *err)
{
    fsfm_golden_batch batches[BATCHES] = {0};
    fsfm_learner *learner = NULL;
    double *want = calloc((size_t)v->golden->trajectory_steps * COLUMNS, sizeof *want);
    fsfm_status st = want ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the trajectory");
    if (st == FSFM_OK) st = fsfm_verify_open_learner(v, false, &learner, err);
    if (st == FSFM_OK) st = verify_path(v, learner, batches, want, err);
    fsfm_learner_close(&learner);
    for (int i = 0; i < BATCHES; i++) fsfm_golden_batch_free(&batches[i]);
    free(want);
    return st;
}
