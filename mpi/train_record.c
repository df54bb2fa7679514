/* SPDX-License-Identifier: Apache-2.0
 * mpi/train_record.c - what a run tells: lines and a bar for people, records in metrics.jsonl,
 * environment.json. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "io/file.h"
#include "mpi/train_state.h"

void fsfm_train_end_record(fsfm_train *train)
{
    fsfm_error err = {FSFM_OK, ""};
    if (fsfm_metrics_end(train->run, &err) == FSFM_OK || train->metrics_failed) return;
    train->metrics_failed = true;
    fsfm_log_line(train->log, "records are being lost: %s", err.message);
}

static int count_hosts(const fsfm_train *train)
{
    int hosts = 0;
    for (int r = 0; r < train->ranks; r++) {
        int first = 0;
        while (strcmp(train->places[first].host, train->places[r].host)) first++;
        hosts += first == r;
    }
    return hosts;
}

static void log_data(const fsfm_train *train)
{
    const fsfm_train_data *data = &train->data;
    const int64_t dropped = data->samples - train->steps_per_epoch * train->job->train->global_batch;
    for (int i = 0; i < data->count; i++)
        fsfm_log_line(train->log, "data      %s: %" PRId64 " samples of %d pixels",
                      fsfm_dataset_folder(data->sets[i]), fsfm_dataset_describe(data->sets[i])->count,
                      fsfm_dataset_describe(data->sets[i])->kind.size);
    if (data->eval_samples)
        fsfm_log_line(train->log, "evaluate  %" PRId64 " samples of %s", data->eval_samples,
                      data->eval_set ? fsfm_dataset_folder(data->eval_set) : "these, held out");
    fsfm_log_line(train->log,
                  "epoch     %" PRId64 " samples, %" PRId64 " steps; the last %" PRId64
                  " of an epoch's order are left out of it",
                  data->samples, train->steps_per_epoch, dropped);
}

void fsfm_train_log_header(fsfm_train *train)
{
    const fsfm_train_job *job = train->job;
    const fsfm_parameters *parameters = fsfm_learner_parameters(train->learner);
    if (train->rank != 0) return;
    fsfm_log_line(train->log, "run       %s (fsfm %s, %s)", job->run_dir, job->version, job->revision);
    fsfm_log_line(train->log, "device    %s; %d rank%s on %d host%s, %d thread%s each", train->dev->name,
                  train->ranks, train->ranks == 1 ? "" : "s", count_hosts(train),
                  count_hosts(train) == 1 ? "" : "s", train->dev->threads,
                  train->dev->threads == 1 ? "" : "s");
    log_data(train);
    fsfm_log_line(train->log, "model     %.2f M parameters in %d tensors",
                  (double)parameters->total_elements / 1e6, parameters->count);
    const char *way = fsfm_reduce_way(train->reduce);
    fsfm_log_line(train->log,
                  "batch     %" PRId64 " images = %d ranks x %" PRId64 " x %" PRId64
                  ", recompute %s, %s reduction%s%s",
                  job->train->global_batch, train->ranks, train->micro_count, train->micro_batch,
                  fsfm_recompute_names[train->recompute],
                  job->train->reduction == FSFM_REDUCTION_EXACT ? "exact" : "fast", way[0] ? ": " : "", way);
    fsfm_log_line(train->log, "schedule  %g epochs, %" PRId64 " steps%s", job->train->epochs,
                  train->schedule_steps,
                  train->end_step < train->schedule_steps ? ", ended early by train.max_steps" : "");
}

static fsfm_status print_environment(fsfm_train *train, FILE *stream)
{
    fsfm_json json = {stream, false};
    char library[128];
    fsfm_json_object_begin(&json, NULL);
    fsfm_json_text(&json, "version", train->job->version);
    fsfm_json_text(&json, "revision", train->job->revision);
    fsfm_json_text(&json, "libraries", train->job->libraries);
    fsfm_json_text(&json, "compiler", __VERSION__);
    fsfm_json_text(&json, "mpi", fsfm_comm_library(library, sizeof library));
    fsfm_json_int(&json, "ranks", train->ranks);
    fsfm_json_int(&json, "hosts", count_hosts(train));
    fsfm_json_int(&json, "threads", train->dev->threads);
    fsfm_json_text(&json, "device", train->dev->name);
    fsfm_json_text(&json, "slurm_job_id", getenv("SLURM_JOB_ID"));
    fsfm_json_list_begin(&json, "places");
    for (int r = 0; r < train->ranks; r++) {
        fsfm_json_object_begin(&json, NULL);
        fsfm_json_int(&json, "rank", r);
        fsfm_json_text(&json, "host", train->places[r].host);
        fsfm_json_int(&json, "threads", train->places[r].threads);
        fsfm_json_text(&json, "device", train->places[r].device);
        fsfm_json_object_end(&json);
    }
    fsfm_json_list_end(&json);
    fsfm_json_object_end(&json);
    fputc('\n', stream);
    return ferror(stream) ? FSFM_ERR_MEMORY : FSFM_OK;
}

fsfm_status fsfm_train_write_environment(fsfm_train *train, fsfm_error *err)
{
    char path[FSFM_TEXT_SIZE + 64], *text = NULL;
    size_t length = 0;
    fsfm_status st = FSFM_OK;
    FILE *stream = open_memstream(&text, &length);
    if (!stream) return fsfm_fail(err, FSFM_ERR_MEMORY, "environment.json: no memory");
    st = print_environment(train, stream);
    if (fclose(stream) != 0 || st != FSFM_OK) {
        free(text);
        return fsfm_fail(err, FSFM_ERR_MEMORY, "environment.json: no memory");
    }
    st = fsfm_path_join(path, sizeof path, train->job->run_dir, "environment.json", err);
    if (st == FSFM_OK) st = fsfm_file_write(path, text, length, err);
    free(text);
    if (st != FSFM_OK) return st;
    FSFM_TRY(fsfm_path_join(path, sizeof path, train->job->run_dir, "config.yaml", err));
    return fsfm_file_write(path, train->job->config, strlen(train->job->config), err);
}

/* Speed over the steps since the last record, which begins a new block. */
static void end_block(fsfm_train *train, double *images_per_s, double *data_wait)
{
    const double now_s = fsfm_clock_monotonic_s(), waited_s = fsfm_reader_waited_s(train->reader);
    const double took_s = fmax(now_s - train->speed.since_s, 1e-9);
    *images_per_s = (double)train->speed.images / took_s;
    *data_wait = (waited_s - train->speed.waited_s) / took_s;
    train->speed.since_s = now_s;
    train->speed.waited_s = waited_s;
    train->speed.images = 0;
}

static void tell_step(fsfm_train *train, int64_t step, const fsfm_step_outcome *out, double images_per_s,
                      double data_wait)
{
    const double run_s = fsfm_clock_monotonic_s() - train->speed.run_since_s;
    const int64_t left = (train->end_step - step - 1) * train->job->train->global_batch;
    char eta[32], losses[160], sums[32] = "";
    fsfm_log_duration(run_s / (double)train->speed.run_images * (double)left, eta);
    if (out->is_bad)
        snprintf(losses, sizeof losses, "loss not finite, step skipped");
    else
        snprintf(losses, sizeof losses, "loss %.4f  rec %.4f  region %.4f  sim %.4f", out->losses.loss,
                 out->losses.rec_m, out->losses.rec_fr, out->losses.sim);
    if (train->ranks > 1 && isfinite(train->times.reduce_wait))
        snprintf(sums, sizeof sums, "  sums %.0f %%", 100 * train->times.reduce_wait);
    const double epoch = fsfm_schedule_epoch(&train->schedule, step);
    if (train->log->is_terminal)
        fsfm_log_bar(train->log, (double)(step + 1) / (double)train->end_step,
                     "step %" PRId64 "/%" PRId64 "  %s  %.0f img/s  ETA %s", step + 1, train->end_step,
                     losses, images_per_s, eta);
    else
        fsfm_log_line(train->log,
                      "epoch %.2f  step %" PRId64 "/%" PRId64
                      "  %s  lr %.3g  norm %.3g  %.1f img/s  data %.0f %%%s  ETA %s",
                      epoch, step + 1, train->end_step, losses, out->lr, out->norm, images_per_s,
                      100 * data_wait, sums, eta);
}

void fsfm_train_record_step(fsfm_train *train, int64_t step, const fsfm_step_outcome *out)
{
    double images_per_s = 0, data_wait = 0;
    fsfm_json *json = NULL;
    const double gone = out->is_bad ? NAN : 0; /* added to what is null in a skipped step */
    if (train->rank != 0) return;
    train->speed.images += train->job->train->global_batch;
    train->speed.run_images += train->job->train->global_batch;
    if (out->is_bad) fsfm_train_record_event(train, "bad_step", step, NULL);
    const bool ends_block = fsfm_train_ends_block(train, step);
    if (!ends_block && !out->is_bad) return;
    end_block(train, &images_per_s, &data_wait);
    json = fsfm_metrics_begin(train->run, "train", step);
    fsfm_json_real(json, "epoch", fsfm_schedule_epoch(&train->schedule, step));
    fsfm_json_int(json, "samples", train->at.samples);
    fsfm_json_real(json, "loss", out->losses.loss + gone);
    fsfm_json_real(json, "loss_rec_m", out->losses.rec_m + gone);
    fsfm_json_real(json, "loss_rec_fr", out->losses.rec_fr + gone);
    fsfm_json_real(json, "loss_sim", out->losses.sim + gone);
    fsfm_json_real(json, "lr", out->lr);
    fsfm_json_real(json, "ema_momentum", out->ema_momentum);
    fsfm_json_real(json, "grad_norm", out->norm + gone);
    fsfm_json_int(json, "masked_patches", out->totals.masked_patches);
    fsfm_json_int(json, "region_patches", out->totals.region_patches);
    fsfm_json_int(json, "no_region_steps", train->at.no_region_steps);
    fsfm_json_real(json, "images_per_s", images_per_s);
    fsfm_json_real(json, "data_wait", data_wait);
    fsfm_json_real(json, "reduce_wait", ends_block ? train->times.reduce_wait : NAN);
    fsfm_json_int(json, "bad_steps", train->at.bad_steps);
    fsfm_train_end_record(train);
    tell_step(train, step, out, images_per_s, data_wait);
}

void fsfm_train_record_evaluation(fsfm_train *train, const fsfm_evaluation *evaluation, bool is_best)
{
    const int64_t step = train->at.step - 1; /* the step that it comes after */
    fsfm_json *json = NULL;
    if (train->rank != 0) return;
    json = fsfm_metrics_begin(train->run, "eval", step);
    fsfm_json_real(json, "epoch", fsfm_schedule_epoch(&train->schedule, train->at.step));
    fsfm_json_int(json, "samples", train->at.samples);
    fsfm_json_real(json, "loss", evaluation->losses.loss);
    fsfm_json_real(json, "loss_rec_m", evaluation->losses.rec_m);
    fsfm_json_real(json, "loss_rec_fr", evaluation->losses.rec_fr);
    fsfm_json_real(json, "loss_sim", evaluation->losses.sim);
    fsfm_json_int(json, "eval_samples", evaluation->totals.samples);
    fsfm_json_bool(json, "best", is_best);
    fsfm_train_end_record(train);
    fsfm_log_line(train->log, "evaluated after step %" PRId64 ": loss %.4f  rec %.4f  region %.4f%s",
                  train->at.step, evaluation->losses.loss, evaluation->losses.rec_m,
                  evaluation->losses.rec_fr, is_best ? "  (best so far)" : "");
}

void fsfm_train_record_start(fsfm_train *train, bool is_resumed)
{
    char file[32];
    fsfm_json *json = NULL;
    if (train->rank != 0) return;
    json = fsfm_metrics_begin(train->run, "event", train->at.step);
    fsfm_json_text(json, "event", "start");
    fsfm_json_int(json, "ranks", train->ranks);
    fsfm_json_int(json, "threads", train->dev->threads);
    fsfm_json_text(json, "device", train->dev->name);
    fsfm_json_int(json, "micro_batch", train->micro_batch);
    fsfm_json_text(json, "recompute", fsfm_recompute_names[train->recompute]);
    fsfm_json_text(json, "revision", train->job->revision);
    fsfm_train_end_record(train);
    if (!is_resumed) return;
    snprintf(file, sizeof file, "step-%08" PRId64 ".h5", train->at.step);
    fsfm_train_record_event(train, "resume", train->at.step, file);
    fsfm_log_line(train->log, "resumes   after step %" PRId64 " of %" PRId64 ", from %s", train->at.step,
                  train->end_step, file);
}

void fsfm_train_record_targets(fsfm_train *train, int64_t computed, int64_t recalled)
{
    fsfm_json *json = NULL;
    if (train->rank != 0) return;
    json = fsfm_metrics_begin(train->run, "event", train->at.step - 1); /* the step that it comes after */
    fsfm_json_text(json, "event", "targets");
    fsfm_json_int(json, "computed", computed);
    fsfm_json_int(json, "recalled", recalled);
    fsfm_train_end_record(train);
}

void fsfm_train_record_outlier(fsfm_train *train, const fsfm_health_outlier *outlier)
{
    fsfm_json *json = NULL;
    if (train->rank != 0) return;
    json = fsfm_metrics_begin(train->run, "event", train->at.step);
    fsfm_json_text(json, "event", "health");
    fsfm_json_int(json, "rank", outlier->rank);
    fsfm_json_text(json, "host", train->places[outlier->rank].host);
    fsfm_json_text(json, "part", fsfm_health_part_name(outlier->part));
    fsfm_json_text(json, "unit", fsfm_health_part_unit(outlier->part));
    fsfm_json_real(json, "rate", outlier->rate);
    fsfm_json_real(json, "median", outlier->median);
    fsfm_train_end_record(train);
}

void fsfm_train_record_slow(fsfm_train *train, int rank, double times)
{
    fsfm_json *json = NULL;
    const char *host = train->places[rank].host;
    if (train->rank != 0) return;
    json = fsfm_metrics_begin(train->run, "event", train->at.step);
    fsfm_json_text(json, "event", "slow_rank");
    fsfm_json_int(json, "rank", rank);
    fsfm_json_text(json, "host", host);
    fsfm_json_real(json, "times_median", times);
    fsfm_train_end_record(train);
    fsfm_log_line(train->log,
                  "slow      rank %d (%s): its own part of a step takes %.1f times the median of all ranks, "
                  "which wait for it",
                  rank, host, times);
}

void fsfm_train_record_event(fsfm_train *train, const char *event, int64_t step, const char *detail)
{
    fsfm_json *json = NULL;
    if (train->rank != 0) return;
    json = fsfm_metrics_begin(train->run, "event", step);
    fsfm_json_text(json, "event", event);
    if (detail) fsfm_json_text(json, "detail", detail);
    fsfm_train_end_record(train);
}
