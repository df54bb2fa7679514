/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "core/base/json.h"
#include "jobs/plan/report.h"

static void print_memory(fsfm_json *json, const char *key, const fsfm_rank_memory *memory)
{
    char name[64];
    if (!memory) {
        fsfm_json_text(json, key, NULL);
        return;
    }
    fsfm_json_object_begin(json, key);
    for (int i = 0; i < FSFM_MEMORY_PARTS; i++) {
        snprintf(name, sizeof name, "%s_mib", fsfm_memory_part_name((fsfm_memory_part)i));
        fsfm_json_real(json, name, (double)memory->part[i] / (1 << 20));
    }
    fsfm_json_real(json, "total_mib", (double)memory->total / (1 << 20));
    fsfm_json_object_end(json);
}

/* Memory of this machine: null where GPUs compute. */
static void print_host(fsfm_json *json, const fsfm_forecast *f)
{
    const fsfm_train_plan *plan = &f->plan;
    print_memory(json, "memory", f->has_gpu ? NULL : &plan->first);
    print_memory(json, "memory_other_ranks", f->has_gpu || plan->ranks == 1 ? NULL : &plan->others);
    fsfm_json_real(json, "all_ranks_mib", f->has_gpu ? NAN : fsfm_forecast_all_ranks_bytes(f) / (1 << 20));
    fsfm_json_real(json, "machine_mib", f->has_gpu ? NAN : (double)plan->machine_bytes / (1 << 20));
}

static void print_gpu(fsfm_json *json, const fsfm_forecast *f)
{
    const fsfm_gpu_machine *gpu = &f->gpu;
    const fsfm_learner_memory *m = &f->gpu_memory;
    const double all = fsfm_forecast_gpu_bytes(f);
    if (!f->has_gpu) {
        fsfm_json_text(json, "gpu", NULL);
        return;
    }
    fsfm_json_object_begin(json, "gpu");
    fsfm_json_text(json, "name", gpu->name);
    fsfm_json_text(json, "file", gpu->path);
    fsfm_json_real(json, "bf16_tflops", gpu->bf16_tflops);
    fsfm_json_real(json, "fp32_tflops", gpu->fp32_tflops);
    fsfm_json_real(json, "gemm_share", gpu->gemm_share);
    fsfm_json_real(json, "attention_tflops", gpu->attention_tflops);
    fsfm_json_real(json, "memory_tb_s", gpu->memory_tb_s);
    fsfm_json_real(json, "memory_share", gpu->memory_share);
    fsfm_json_real(json, "nvlink_gb_s", gpu->nvlink_gb_s);
    fsfm_json_real(json, "nvlink_us", gpu->nvlink_us);
    fsfm_json_real(json, "network_gb_s", gpu->network_gb_s);
    fsfm_json_real(json, "network_us", gpu->network_us);
    fsfm_json_real(json, "gpus_per_node", gpu->gpus_per_node);
    fsfm_json_real(json, "memory_gb", gpu->memory_gb);
    fsfm_json_real(json, "usable_gb", 1e-9 * f->gpu_budget_bytes);
    fsfm_json_real(json, "activations_gb", 1e-9 * (double)m->activations);
    fsfm_json_real(json, "batch_gb", 1e-9 * (double)m->batch);
    fsfm_json_real(json, "states_gb", 1e-9 * fsfm_forecast_gpu_states_bytes(f));
    fsfm_json_real(json, "total_gb", 1e-9 * all);
    fsfm_json_bool(json, "fits", all <= f->gpu_budget_bytes);
    fsfm_json_object_end(json);
}

static void print_part(fsfm_json *json, const fsfm_forecast *f, fsfm_part part)
{
    const fsfm_work_time *t = &f->time.micro.part[part];
    const double ms = 1e3 * (double)f->micro_count;
    fsfm_json_object_begin(json, fsfm_part_name(part));
    fsfm_json_real(json, "gflop_per_image", 1e-9 * f->flops.part[part]);
    fsfm_json_real(json, "products_ms", ms * t->products_s);
    fsfm_json_real(json, "attention_ms", ms * t->attention_s);
    fsfm_json_real(json, "elementwise_ms", ms * t->rows_s);
    fsfm_json_real(json, "total_ms", ms * (t->products_s + t->attention_s + t->rows_s));
    fsfm_json_object_end(json);
}

static void print_products(fsfm_json *json, const fsfm_forecast *f)
{
    static const char *const passes[] = {"forward", "backward_input", "backward_weight", "forward_again"};
    fsfm_product_time products[FSFM_PRODUCTS_MAX];
    const int count = fsfm_roofline_products(&f->work, &f->time.rates, products);
    fsfm_json_list_begin(json, "products");
    for (int i = 0; i < count; i++) {
        const fsfm_product_time *p = &products[i];
        fsfm_json_object_begin(json, NULL);
        fsfm_json_text(json, "part", fsfm_part_name(p->part));
        fsfm_json_text(json, "name", p->name);
        fsfm_json_text(json, "pass", passes[p->pass]);
        fsfm_json_int(json, "m", p->shape.M);
        fsfm_json_int(json, "n", p->shape.N);
        fsfm_json_int(json, "k", p->shape.K);
        fsfm_json_int(json, "count", p->count * f->micro_count);
        fsfm_json_real(json, "ms", 1e3 * p->seconds * (double)f->micro_count);
        fsfm_json_text(json, "bound", p->is_bound_by_bytes ? "memory" : "flop");
        fsfm_json_object_end(json);
    }
    fsfm_json_list_end(json);
}

static void print_slow(fsfm_json *json, const fsfm_forecast *f)
{
    fsfm_json_list_begin(json, "slow_kernels");
    for (int i = 0; i < f->slow_count; i++) {
        const fsfm_slow_work *s = &f->slow[i];
        fsfm_json_object_begin(json, NULL);
        fsfm_json_text(json, "part", fsfm_part_name(s->part));
        fsfm_json_text(json, "name", s->name);
        fsfm_json_bool(json, "is_backward", s->is_backward);
        fsfm_json_real(json, "times_bound", s->ratio);
        fsfm_json_object_end(json);
    }
    fsfm_json_list_end(json);
}

static void print_time(fsfm_json *json, const fsfm_forecast *f)
{
    const fsfm_forecast_time *t = &f->time;
    if (!t->is_known) {
        fsfm_json_text(json, "time", NULL);
        return;
    }
    fsfm_json_object_begin(json, "time");
    fsfm_json_text(json, "basis", FSFM_FORECAST_BASIS);
    fsfm_json_text(json, "rates_from", f->has_gpu ? f->gpu.path : f->local.path);
    fsfm_json_text(json, "rates_preset", f->measured ? f->measured->preset : NULL);
    fsfm_json_object_begin(json, "parts");
    for (int p = 0; p < FSFM_PARTS; p++) print_part(json, f, (fsfm_part)p);
    fsfm_json_object_end(json);
    fsfm_json_real(json, "encoder_backward_ms", 1e3 * t->micro.encoder_backward_s);
    fsfm_json_real(json, "optimizer_ms", 1e3 * t->micro.optimizer_s);
    fsfm_json_real(json, "exchange_inside_ms", 1e3 * t->exchange.inside_s);
    fsfm_json_real(json, "exchange_between_ms", 1e3 * t->exchange.between_s);
    fsfm_json_real(json, "exchange_ms", 1e3 * t->exchange.total_s);
    fsfm_json_real(json, "exchange_buckets", t->exchange.buckets);
    fsfm_json_real(json, "exchange_exposed_ms", 1e3 * t->exchange_exposed_s);
    fsfm_json_real(json, "between_ms", 1e3 * t->other_s);
    fsfm_json_real(json, "step_ms", 1e3 * t->step_s);
    fsfm_json_real(json, "later_step_ms", 1e3 * t->later_step_s);
    fsfm_json_real(json, "efficiency", t->efficiency);
    fsfm_json_real(json, "efficiency_same_batch", t->efficiency_same_batch);
    fsfm_json_real(json, "node_read_gb_s", 1e-9 * t->node_read_bytes_s);
    fsfm_json_real(json, "peak_share", fsfm_forecast_peak_share(f));
    print_products(json, f);
    print_slow(json, f);
    fsfm_json_object_end(json);
}

static void print_shape(fsfm_json *json, const fsfm_forecast *f)
{
    const fsfm_train_plan *plan = &f->plan;
    fsfm_json_text(json, "device", f->has_gpu ? f->gpu.name : plan->device);
    fsfm_json_text(json, "precision", fsfm_precision_name(f->precision));
    fsfm_json_int(json, "ranks", plan->ranks);
    fsfm_json_int(json, "nodes", f->has_gpu ? f->time.exchange.nodes : 1);
    fsfm_json_int(json, "threads", plan->threads);
    fsfm_json_int(json, "parameters", plan->parameters);
    fsfm_json_int(json, "target_parameters", plan->target_parameters);
    fsfm_json_real(json, "gflop_per_image", 1e-9 * f->flops.step);
    fsfm_json_int(json, "local_batch", plan->local_batch);
    fsfm_json_int(json, "micro_batch", f->micro_batch);
    fsfm_json_int(json, "accumulation", f->micro_count);
    fsfm_json_text(json, "recompute", fsfm_recompute_names[f->recompute]);
    fsfm_json_int(json, "largest_micro_batch", f->largest_micro_batch);
    fsfm_json_int(json, "samples", plan->samples);
    fsfm_json_int(json, "dropped_samples", plan->dropped);
    fsfm_json_int(json, "shards", plan->shards);
    fsfm_json_int(json, "steps_per_epoch", plan->steps_per_epoch);
    fsfm_json_int(json, "steps", plan->steps);
    fsfm_json_int(json, "warmup_steps", plan->warmup_steps);
    fsfm_json_real(json, "lr", plan->lr_peak);
    fsfm_json_int(json, "checkpoint_bytes", (int64_t)plan->checkpoint_bytes);
    fsfm_json_int(json, "checkpoints_kept", plan->checkpoints_kept);
    fsfm_json_real(json, "disk_bytes", f->disk_bytes);
    fsfm_json_real(json, "checkpoint_write_s", f->checkpoint_s);
}

void fsfm_forecast_print_json(const fsfm_forecast *f)
{
    fsfm_json json = {.stream = stdout};
    fsfm_json_object_begin(&json, NULL);
    print_shape(&json, f);
    print_host(&json, f);
    print_gpu(&json, f);
    fsfm_json_real(&json, "images_per_s", f->time.is_known ? f->time.images_per_s : NAN);
    fsfm_json_real(&json, "hours", f->time.is_known ? f->time.hours : NAN);
    print_time(&json, f);
    fsfm_json_list_begin(&json, "warnings");
    for (int i = 0; i < f->warnings; i++) fsfm_json_text(&json, NULL, f->warning[i]);
    fsfm_json_list_end(&json);
    fsfm_json_object_end(&json);
    putchar('\n');
}
