/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/plan/report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define BEHIND "  (" FSFM_FORECAST_BASIS ")\n"

double fsfm_forecast_all_ranks_bytes(const fsfm_forecast *f)
{
    return (double)f->plan.first.total + (double)(f->plan.ranks - 1) * (double)f->plan.others.total;
}

double fsfm_forecast_peak_share(const fsfm_forecast *f)
{
    const double rate = f->flops.step * f->time.images_per_s / f->plan.ranks;
    if (!f->time.is_known) return NAN;
    if (!f->has_gpu) return rate / (1e9 * f->measured->gemm_peak_gflops);
    return rate / (1e12 * (f->precision == FSFM_PRECISION_BF16 ? f->gpu.bf16_tflops : f->gpu.fp32_tflops));
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static void print_memory(const fsfm_forecast *f)
{
    const fsfm_train_plan *plan = &f->plan;
    const bool has_others = plan->ranks > 1;
    printf("memory at the moment of most, MiB\n");
    if (has_others) printf("%-12s%8s %8s\n", "", "rank 0", "others");
    for (int i = 0; i <= FSFM_MEMORY_PARTS; i++) {
        const bool is_total = i == FSFM_MEMORY_PARTS;
        const uint64_t first = is_total ? plan->first.total : plan->first.part[i];
        const uint64_t others = is_total ? plan->others.total : plan->others.part[i];
        printf("%-12s%8.1f", is_total ? "total" : fsfm_memory_part_name((fsfm_memory_part)i), mib(first));
        if (has_others) printf(" %8.1f", mib(others));
        printf("\n");
    }
    if (has_others) printf("%-12s%8.1f\n", "all ranks", fsfm_forecast_all_ranks_bytes(f) / (1 << 20));
    printf("%-12s%8.1f%s\n", "machine", mib(plan->machine_bytes),
           fsfm_forecast_all_ranks_bytes(f) > (double)plan->machine_bytes ? ": TOO LITTLE" : "");
}

static void print_gpu_memory(const fsfm_forecast *f)
{
    const double all = fsfm_forecast_gpu_bytes(f);
    printf("memory of a GPU, GB: activations %.1f, batch %.1f, states %.1f = %.1f of %.1f%s" BEHIND,
           1e-9 * (double)f->gpu_memory.activations, 1e-9 * (double)f->gpu_memory.batch,
           1e-9 * fsfm_forecast_gpu_states_bytes(f), 1e-9 * all, 1e-9 * f->gpu_budget_bytes,
           all > f->gpu_budget_bytes ? ": TOO LITTLE" : "");
}

static void print_part(const char *name, double gflop, const fsfm_work_time *t, double scale)
{
    printf("%-14s%9.2f%10.2f%10.2f%12.2f%9.2f" BEHIND, name, gflop, scale * t->products_s,
           scale * t->attention_s, scale * t->rows_s, scale * (t->products_s + t->attention_s + t->rows_s));
}

static void print_plain(const char *name, double seconds)
{
    printf("%-14s%50.2f" BEHIND, name, 1e3 * seconds);
}

static void print_exchange(const fsfm_forecast *f)
{
    const fsfm_forecast_time *t = &f->time;
    if (t->exchange.total_s <= 0) return;
    printf(
        "gradients     %.1f ms for %d ranks on %d node%s: %.1f inside, %.1f between; %.1f not hidden" BEHIND,
        1e3 * t->exchange.total_s, f->plan.ranks, t->exchange.nodes, t->exchange.nodes == 1 ? "" : "s",
        1e3 * t->exchange.inside_s, 1e3 * t->exchange.between_s, 1e3 * t->exchange_exposed_s);
}

static void print_scaling(const fsfm_forecast *f)
{
    const fsfm_forecast_time *t = &f->time;
    if (f->plan.ranks == 1) return;
    printf("efficiency    %.1f %% of %d ranks alone with %" PRId64
           " images each, %.1f %% of one with %" PRId64 "; a node reads %.2f GB/s" BEHIND,
           100 * t->efficiency, f->plan.ranks, f->plan.local_batch, 100 * t->efficiency_same_batch,
           f->plan.local_batch * f->plan.ranks, 1e-9 * t->node_read_bytes_s);
}

static void print_slow(const fsfm_forecast *f)
{
    const fsfm_rates bounds = fsfm_gpu_machine_bounds(&f->gpu, f->precision);
    printf("kernels       over %g x max(bytes / %.2g TB/s, FLOP / %.0f TFLOP/s):", FSFM_FORECAST_SLOW,
           1e-12 * bounds.bytes, 1e-12 * bounds.product_flop);
    for (int i = 0; i < f->slow_count; i++) {
        const fsfm_slow_work *s = &f->slow[i];
        printf("%s %s %s%s %.1f", i ? "," : "", fsfm_part_name(s->part), s->name,
               s->is_backward ? " backward" : "", s->ratio);
    }
    printf("%s" BEHIND, f->slow_count ? "" : " none");
}

static void print_time(const fsfm_forecast *f)
{
    const fsfm_forecast_time *t = &f->time;
    const double ms = 1e3 * (double)f->micro_count;
    printf("%-14s%9s%10s%10s%12s%9s" BEHIND, "step, ms", "GFLOP/img", "products", "attention", "elementwise",
           "sum");
    for (int p = 0; p < FSFM_PARTS; p++)
        print_part(fsfm_part_name((fsfm_part)p), 1e-9 * f->flops.part[p], &t->micro.part[p], ms);
    print_plain("optimizer", t->micro.optimizer_s);
    print_plain("exchange", t->exchange_exposed_s);
    print_plain("between", t->other_s);
    print_plain("step", t->step_s);
    if (f->has_gpu) print_slow(f);
    print_exchange(f);
    print_scaling(f);
    printf("speed         %.*f images/s, %.0f %% of the products' peak" BEHIND, t->images_per_s < 100 ? 2 : 0,
           t->images_per_s, 100 * fsfm_forecast_peak_share(f));
    printf("run           %.4g hours for %" PRId64 " steps, without evaluations%s" BEHIND, t->hours,
           f->plan.steps, f->plan.keeps_features ? "; target features are computed in the first epoch" : "");
}

static void print_no_time(const fsfm_forecast *f)
{
    const char *precision = fsfm_precision_name(f->precision);
    printf(
        "time          not known: `fsfm bench step --preset %s --batch %d --precision %s --write-machine %s` "
        "measures this machine\n",
        fsfm_model_preset_name(f->settings->model.preset), 16, precision, f->local.path);
}

static void print_shape(const fsfm_forecast *f)
{
    const fsfm_train_plan *plan = &f->plan;
    printf("model       %.2f M parameters, %.2f GFLOP an image (forward %.2f, backward %.2f, target %.2f)\n",
           1e-6 * (double)plan->parameters, 1e-9 * f->flops.step, 1e-9 * f->flops.online_forward,
           1e-9 * f->flops.online_backward, 1e-9 * f->flops.target);
    printf("device      %s, %s; %d rank%s\n", f->has_gpu ? f->gpu.name : plan->device,
           fsfm_precision_name(f->precision), plan->ranks, plan->ranks == 1 ? "" : "s");
    printf("batch       %" PRId64 " images = %d x %" PRId64 " x %" PRId64
           " (ranks, accumulation, micro-batch), recompute %s; micro-batches of up to %" PRId64 " fit\n",
           plan->local_batch * plan->ranks, plan->ranks, f->micro_count, f->micro_batch,
           fsfm_recompute_names[f->recompute], f->largest_micro_batch);
    printf("schedule    %" PRId64 " steps, %" PRId64 " an epoch of %" PRId64 " samples, of which %" PRId64
           " are left out; lr %g at its peak, after %" PRId64 " steps\n",
           plan->steps, plan->steps_per_epoch, plan->samples, plan->dropped, plan->lr_peak,
           plan->warmup_steps);
    printf("checkpoint  %.1f MB; up to %" PRId64 " of them on disk, %.1f GB\n",
           1e-6 * (double)plan->checkpoint_bytes, plan->checkpoints_kept, 1e-9 * f->disk_bytes);
    if (isfinite(f->checkpoint_s))
        printf("            written in %.1f s, beside the steps" BEHIND, f->checkpoint_s);
}

void fsfm_forecast_print_text(const fsfm_forecast *f)
{
    print_shape(f);
    if (f->has_gpu)
        print_gpu_memory(f);
    else
        print_memory(f);
    if (f->measured)
        printf("rates of this machine from %s of %s, %s, %g rank%s x %g thread%s (%s)\n", f->measured->preset,
               f->local.path, f->measured->precision, f->measured->ranks, f->measured->ranks == 1 ? "" : "s",
               f->measured->threads, f->measured->threads == 1 ? "" : "s", f->measured->device);
    if (f->time.is_known)
        print_time(f);
    else
        print_no_time(f);
    for (int i = 0; i < f->warnings; i++) printf("warning: %s\n", f->warning[i]);
}
