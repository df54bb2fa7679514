/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/plan/forecast.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/device/counter.h"
#include "mpi/micro_batch.h"

#define MIB 1048576.0
enum { LARGEST_TRIED = 1 << 16 }; /* images of a micro-batch */

void fsfm_forecast_warn(fsfm_forecast *forecast, const char *fmt, ...)
{
    va_list args;
    if (forecast->warnings == FSFM_WARNINGS_MAX) return;
    va_start(args, fmt);
    vsnprintf(forecast->warning[forecast->warnings++], sizeof forecast->warning[0], fmt, args);
    va_end(args);
}

static fsfm_work_setup work_setup(const fsfm_forecast *f, fsfm_precision precision)
{
    return (fsfm_work_setup){.options = &f->settings->model,
                             .kept = f->plan.kept,
                             .B = f->micro_batch,
                             .recompute = f->recompute,
                             .precision = precision};
}

fsfm_status fsfm_forecast_list_work(const fsfm_forecast *f, fsfm_precision precision, fsfm_work_list *out,
                                    fsfm_error *err)
{
    const fsfm_work_setup setup = work_setup(f, precision);
    return fsfm_work_list_make(&setup, out, err);
}

void fsfm_forecast_free(fsfm_forecast *forecast)
{
    fsfm_work_list_free(&forecast->work);
}

static double states_bytes(const fsfm_learner_memory *m)
{
    return (double)m->parameters + (double)m->gradients + (double)m->optimizer + (double)m->target;
}

static double all_bytes(const fsfm_learner_memory *m)
{
    return states_bytes(m) + (double)m->activations + (double)m->batch;
}

double fsfm_forecast_gpu_bytes(const fsfm_forecast *forecast)
{
    return all_bytes(&forecast->gpu_memory);
}

double fsfm_forecast_gpu_states_bytes(const fsfm_forecast *forecast)
{
    return states_bytes(&forecast->gpu_memory);
}

/* A rank's learner on a GPU, as the run opens it. */
static fsfm_learner_setup gpu_learner(const fsfm_forecast *f, int64_t micro_batch)
{
    const fsfm_train_options *o = &f->settings->train;
    return (fsfm_learner_setup){.options = &f->settings->model,
                                .micro_batch = micro_batch,
                                .kept = f->plan.kept,
                                .global_batch = o->global_batch,
                                .local_batch = f->plan.local_batch,
                                .recompute = f->recompute,
                                .slices = o->reduction == FSFM_REDUCTION_EXACT ? f->micro_count : 0};
}

/* The most images at a time that take no more than budget_bytes; 0: not even one. */
static fsfm_status find_largest(const fsfm_forecast *f, const fsfm_device *gpu, double budget_bytes,
                                int64_t *out, fsfm_error *err)
{
    int64_t fits = 0, too_many = LARGEST_TRIED + 1;
    while (too_many - fits > 1) {
        const int64_t tried = fits + (too_many - fits) / 2;
        fsfm_learner_setup setup = gpu_learner(f, tried);
        fsfm_learner_memory m;
        if (setup.local_batch < tried) setup.local_batch = setup.global_batch = tried;
        FSFM_TRY(fsfm_learner_measure(gpu, &setup, &m, err));
        if (all_bytes(&m) <= budget_bytes)
            fits = tried;
        else
            too_many = tried;
    }
    *out = fits;
    return FSFM_OK;
}

/* What a GPU would be given: by the functions that the run calls, on a device of its shape. */
static fsfm_status choose_gpu_batch(fsfm_comm *comm, fsfm_forecast *f, fsfm_error *err)
{
    const fsfm_train_options *o = &f->settings->train;
    fsfm_counter counter;
    fsfm_counter_init(&counter, f->precision, (uint64_t)(1e9 * f->gpu.memory_gb), NULL, NULL);
    const fsfm_device *gpu = fsfm_counter_device(&counter);
    f->gpu_budget_bytes = 1e9 * (f->gpu.memory_gb - f->gpu.reserved_gb);
    if (o->reduction == FSFM_REDUCTION_FAST && o->micro_batch == FSFM_AUTO) {
        const fsfm_learner_setup setup = gpu_learner(f, 0);
        FSFM_TRY(fsfm_micro_batch_auto(comm, 1, gpu, &setup, 0, &f->micro_batch, err));
    }
    f->micro_count = f->plan.local_batch / f->micro_batch;
    fsfm_learner_setup setup = gpu_learner(f, f->micro_batch);
    if (o->recompute == FSFM_RECOMPUTE_AUTO && o->reduction == FSFM_REDUCTION_FAST)
        FSFM_TRY(fsfm_recompute_auto(comm, 1, gpu, &setup, &f->recompute, err));
    setup.recompute = f->recompute;
    fsfm_status st = fsfm_learner_measure(gpu, &setup, &f->gpu_memory, err);
    if (st == FSFM_OK) st = find_largest(f, gpu, f->gpu_budget_bytes, &f->largest_micro_batch, err);
    return fsfm_comm_agree(comm, st, err);
}

/* One rank alone has no sum to wait for; with the whole batch it has everybody's micro-batches, and the rest
 * of a step once. */
static void add_up_scaling(fsfm_forecast *f, double step_scale)
{
    fsfm_forecast_time *t = &f->time;
    const double alone_s = t->step_s - t->exchange_exposed_s, size = (double)f->settings->model.img_size;
    const double others_s =
        t->micro.total_s * (double)f->micro_count * step_scale * (double)(f->plan.ranks - 1);
    t->efficiency = alone_s / t->step_s;
    t->efficiency_same_batch = (alone_s + others_s) / (t->step_s * f->plan.ranks);
    t->node_read_bytes_s = t->images_per_s / fmax(1.0, t->exchange.nodes) * 3 * size * size;
}

/* Work, optimiser and all that follows from exchange and other_s, which are in. */
static void add_up(fsfm_forecast *f, double step_scale)
{
    fsfm_forecast_time *t = &f->time;
    const double micros = (double)f->micro_count, images = (double)(f->plan.local_batch * f->plan.ranks);
    const int64_t first = f->plan.keeps_features && f->plan.steps > f->plan.steps_per_epoch
                              ? f->plan.steps_per_epoch
                              : f->plan.steps;
    const double computed_s = t->micro.total_s * micros + t->micro.optimizer_s;
    t->other_s += computed_s * (step_scale - 1.0);
    t->step_s = computed_s + t->exchange_exposed_s + t->other_s;
    t->later_step_s = t->step_s - t->micro.target_s * micros * step_scale;
    t->images_per_s = images / t->step_s;
    add_up_scaling(f, step_scale);
    t->hours = (t->step_s * (double)first + t->later_step_s * (double)(f->plan.steps - first)) / 3600.0;
    t->is_known = true;
}

/* Gradients are floats. In `exact` nothing hides them, as the sum begins when every slice is there. */
static void forecast_gpu_time(fsfm_forecast *f)
{
    fsfm_forecast_time *t = &f->time;
    const fsfm_train_options *o = &f->settings->train;
    const fsfm_exchange_setup exchange = {.ranks = f->plan.ranks,
                                          .ranks_per_node = (int)f->gpu.gpus_per_node,
                                          .bytes = 4.0 * (double)f->plan.parameters,
                                          .bucket_bytes = (double)o->bucket_mib * MIB,
                                          .node_bytes_s = 1e9 * f->gpu.nvlink_gb_s,
                                          .network_bytes_s = 1e9 * f->gpu.network_gb_s,
                                          .node_latency_s = 1e-6 * f->gpu.nvlink_us,
                                          .network_latency_s = 1e-6 * f->gpu.network_us};
    const double late_share = (double)f->plan.encoder_parameters / (double)f->plan.parameters;
    const bool is_exact = o->reduction == FSFM_REDUCTION_EXACT;
    t->rates = fsfm_gpu_machine_rates(&f->gpu, f->precision);
    t->micro = fsfm_roofline_time(&f->work, &t->rates);
    const fsfm_rates bounds = fsfm_gpu_machine_bounds(&f->gpu, f->precision);
    f->slow_count = fsfm_roofline_slow(&f->work, &t->rates, &bounds, FSFM_FORECAST_SLOW, f->slow);
    t->exchange = fsfm_exchange_time_model(&exchange);
    t->exchange_exposed_s =
        fsfm_exchange_exposed_s(&t->exchange, is_exact ? 0.0 : t->micro.encoder_backward_s, late_share);
    t->other_s = 1e-3 * f->gpu.gap_ms;
    add_up(f, 1.0);
    f->checkpoint_s = (double)f->plan.checkpoint_bytes / (1e9 * f->gpu.storage_gb_s);
}

/* One way of a rank's sums, as a bench on ranks saw it. Where none did: two reads and a write of the memory
 * that ranks share for each byte that travels. */
static double local_sum_bytes_s(const fsfm_forecast *f)
{
    const fsfm_local_step *seen = fsfm_local_machine_choose_sum(&f->local, f->plan.ranks);
    if (!seen) return 1e9 * f->measured->memory_peak_gb_s * f->measured->ranks / 3.0 / f->plan.ranks;
    return 1e9 * seen->sum_gb_s;
}

/* The ranks share the processors and the memory that gradients go through, so that backward hides nothing. */
static void forecast_local_time(fsfm_forecast *f)
{
    fsfm_forecast_time *t = &f->time;
    const double ranks = f->plan.ranks, busy = ranks * f->plan.threads;
    const double crowd = fmax(1.0, busy / f->plan.processors);
    f->measured =
        fsfm_local_machine_choose(&f->local, f->precision, ranks, f->plan.threads, 1e-9 * f->flops.step);
    if (f->local.checkpoint_mb_s > 0)
        f->checkpoint_s = (double)f->plan.checkpoint_bytes / (1e6 * f->local.checkpoint_mb_s);
    if (!f->measured) return;
    t->rates = fsfm_local_step_rates(f->measured, f->plan.threads / crowd);
    t->micro = fsfm_roofline_time(&f->work, &t->rates);
    const double bytes = 4.0 * (double)f->plan.parameters;
    const fsfm_exchange_setup exchange = {.ranks = f->plan.ranks,
                                          .ranks_per_node = f->plan.ranks,
                                          .bytes = bytes,
                                          .bucket_bytes = bytes,
                                          .node_bytes_s = local_sum_bytes_s(f),
                                          .network_bytes_s = INFINITY};
    t->exchange = fsfm_exchange_time_model(&exchange);
    t->exchange_exposed_s = t->exchange.total_s;
    add_up(f, 1.0 / (1.0 - fmin(f->measured->other_share, 0.9)));
}

fsfm_status fsfm_forecast_make(fsfm_comm *comm, const fsfm_forecast_setup *setup, fsfm_log *log,
                               fsfm_forecast *out, fsfm_error *err)
{
    const fsfm_train_job job = fsfm_settings_job(setup->settings);
    const fsfm_train_plan_setup plan = {
        .job = &job, .ranks = setup->ranks, .samples = setup->samples, .is_elsewhere = setup->gpu != NULL};
    out->settings = setup->settings;
    out->has_gpu = setup->gpu != NULL;
    out->checkpoint_s = NAN;
    fsfm_status st = setup->gpu ? fsfm_gpu_machine_read(setup->gpu, &out->gpu, err)
                                : fsfm_local_machine_read(setup->machine_file, &out->local, err);
    FSFM_TRY(fsfm_comm_agree(comm, st, err));
    FSFM_TRY(fsfm_train_plan_make(comm, &plan, log, &out->plan, err));
    out->precision = setup->gpu ? (fsfm_precision)setup->settings->train.precision : out->plan.precision;
    out->recompute = out->plan.recompute;
    out->micro_batch = out->plan.micro_batch;
    out->micro_count = out->plan.micro_count;
    out->largest_micro_batch = out->plan.largest_micro_batch;
    out->disk_bytes = (double)out->plan.checkpoint_bytes * (double)out->plan.checkpoints_kept;
    if (out->has_gpu) FSFM_TRY(choose_gpu_batch(comm, out, err));
    st = fsfm_forecast_list_work(out, out->precision, &out->work, err);
    FSFM_TRY(fsfm_comm_agree(comm, st, err));
    out->flops = fsfm_flops_count(&out->work);
    if (out->has_gpu)
        forecast_gpu_time(out);
    else
        forecast_local_time(out);
    return fsfm_comm_agree(comm, fsfm_forecast_add_warnings(out, err), err);
}
