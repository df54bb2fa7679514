/* SPDX-License-Identifier: Apache-2.0
 * jobs/plan/warnings.c - what a plan has that is allowed but odd. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "jobs/plan/forecast.h"

/* The published recipe scales its rate from 256 images and trains with 4096. */
enum { BATCH_LEAST = 256, BATCH_MOST = 4096 };
#define DROPPED_MOST 0.05   /* of an epoch's samples */
#define LOST_HOURS_MOST 2.0 /* of work between checkpoints */
#define NODE_READS_MOST 5e9 /* bytes a second from one node's share of a file system */

static void check_schedule(fsfm_forecast *f)
{
    const fsfm_train_options *o = &f->settings->train;
    const double warmup = f->settings->model.warmup_epochs;
    if (o->global_batch > BATCH_MOST || o->global_batch < BATCH_LEAST)
        fsfm_forecast_warn(f,
                           "train.global_batch %" PRId64 " is outside %d to %d, the batches of the published "
                           "recipe: whether lr %g by its linear rule trains well is not known",
                           o->global_batch, BATCH_LEAST, BATCH_MOST, f->plan.lr_peak);
    if (warmup >= o->epochs)
        fsfm_forecast_warn(f,
                           "optim.warmup_epochs (%g) is not less than train.epochs (%g): the learning rate "
                           "never reaches its peak",
                           warmup, o->epochs);
    else if (f->plan.warmup_steps >= f->plan.steps)
        fsfm_forecast_warn(f, "train.max_steps ends the run after %" PRId64 " of %" PRId64 " warm-up steps",
                           f->plan.steps, f->plan.warmup_steps);
    if ((double)f->plan.dropped > DROPPED_MOST * (double)f->plan.samples)
        fsfm_forecast_warn(f,
                           "an epoch leaves out %" PRId64 " of %" PRId64
                           " samples, as the global batch does not divide them",
                           f->plan.dropped, f->plan.samples);
}

static void check_ranks(fsfm_forecast *f)
{
    const fsfm_train_options *o = &f->settings->train;
    const int ranks = f->plan.ranks;
    if (f->plan.shards > 0 && f->plan.shards < ranks)
        fsfm_forecast_warn(f,
                           "%" PRId64
                           " shards are fewer than %d ranks: some check none at the start, and all "
                           "read the same files (pack with a smaller --shard-mib)",
                           f->plan.shards, ranks);
    if (o->reduction == FSFM_REDUCTION_EXACT)
        fsfm_forecast_warn(f,
                           "train.reduction exact with train.slices %" PRId64
                           ": the run can only ever go on on a power of two of ranks up to %" PRId64
                           ", with micro-batches of %" PRId64,
                           o->slices, o->slices, o->global_batch / o->slices);
    if (f->has_gpu && ranks > f->gpu.gpus_per_node && ranks % (int)f->gpu.gpus_per_node)
        fsfm_forecast_warn(f, "%d ranks do not fill nodes of %g GPUs", ranks, f->gpu.gpus_per_node);
    if (!f->has_gpu && ranks * f->plan.threads > f->plan.processors)
        fsfm_forecast_warn(f, "%d ranks x %d threads are more than this machine's %d processors", ranks,
                           f->plan.threads, f->plan.processors);
}

static void check_gpu_memory(fsfm_forecast *f)
{
    const double all = fsfm_forecast_gpu_bytes(f);
    if (all > f->gpu_budget_bytes)
        fsfm_forecast_warn(f,
                           "a micro-batch of %" PRId64
                           " takes %.1f GB, more than the %.1f GB of the GPU that "
                           "a run may take; at most %" PRId64 " images fit",
                           f->micro_batch, 1e-9 * all, 1e-9 * f->gpu_budget_bytes, f->largest_micro_batch);
}

static void check_local_memory(fsfm_forecast *f)
{
    const double all =
        (double)f->plan.first.total + (double)(f->plan.ranks - 1) * (double)f->plan.others.total;
    if (all > (double)f->plan.machine_bytes)
        fsfm_forecast_warn(f,
                           "all ranks take %.0f MiB, more than the machine's %.0f MiB; a rank can have "
                           "micro-batches of at most %" PRId64 " images",
                           all / (1 << 20), (double)f->plan.machine_bytes / (1 << 20),
                           f->largest_micro_batch);
}

/* fp32 on a GPU does not use what it is best at. */
static fsfm_status check_gpu_precision(fsfm_forecast *f, fsfm_error *err)
{
    const fsfm_rates rates = fsfm_gpu_machine_rates(&f->gpu, FSFM_PRECISION_BF16);
    fsfm_work_list work;
    if (f->precision == FSFM_PRECISION_BF16) return FSFM_OK;
    const fsfm_status st = fsfm_forecast_list_work(f, FSFM_PRECISION_BF16, &work, err);
    if (st == FSFM_OK)
        fsfm_forecast_warn(f,
                           "train.precision fp32: bf16 would be about %.1f times as fast on this GPU (model, "
                           "not measured)",
                           f->time.micro.total_s / fsfm_roofline_time(&work, &rates).total_s);
    fsfm_work_list_free(&work);
    return st;
}

static void check_time(fsfm_forecast *f)
{
    const fsfm_train_options *o = &f->settings->train;
    const fsfm_forecast_time *t = &f->time;
    const int64_t every = o->checkpoint_every_steps > 0 ? o->checkpoint_every_steps : f->plan.steps;
    const double apart_s = t->step_s * (double)every;
    if (!t->is_known) return;
    if (apart_s > 3600 * LOST_HOURS_MOST)
        fsfm_forecast_warn(f,
                           "checkpoints are %.1f hours apart: a failure loses up to so much (model, not "
                           "measured)",
                           apart_s / 3600);
    if (f->checkpoint_s > apart_s)
        fsfm_forecast_warn(f,
                           "a checkpoint takes %.1f s to write, and one is due every %.1f s (model, not "
                           "measured)",
                           f->checkpoint_s, apart_s);
    if (!f->has_gpu) return;
    if (t->exchange_exposed_s > 0.1 * t->step_s)
        fsfm_forecast_warn(f,
                           "the sum of gradients is %.0f %% of a step: fewer ranks or more accumulation "
                           "would use GPUs better (model, not measured)",
                           100 * t->exchange_exposed_s / t->step_s);
    if (t->node_read_bytes_s > NODE_READS_MOST)
        fsfm_forecast_warn(f,
                           "a node reads %.1f GB/s of raw images: data.stage keeps them on its own disk "
                           "(model, not measured)",
                           1e-9 * t->node_read_bytes_s);
}

fsfm_status fsfm_forecast_add_warnings(fsfm_forecast *f, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    check_schedule(f);
    check_ranks(f);
    if (f->has_gpu) {
        check_gpu_memory(f);
        st = check_gpu_precision(f, err);
    } else {
        check_local_memory(f);
    }
    check_time(f);
    return st;
}
