/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/step_bench.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/random.h"
#include "core/mask/strategy.h"
#include "mpi/train_state.h"

enum { LARGEST_SHAPES = 5 };

/* A run without files. */
typedef struct {
    const fsfm_step_bench_setup *setup;
    fsfm_train train;
    fsfm_device *dev;      /* the real one, where train.dev is the profile's */
    fsfm_profile *profile; /* NULL: none */
    uint8_t *images;       /* (local_batch, size, size, 3) */
    uint8_t *masks;        /* (3, local_batch, L): mask, region, target mask */
    fsfm_learner_totals totals;
    fsfm_work_list work; /* of a micro-batch */
} bench;

/* Noise: what is in an image does not change how long it takes. */
static void draw_image(uint64_t seed, int64_t number, uint8_t *pixels, int64_t count)
{
    fsfm_random random = fsfm_random_stream(seed, FSFM_RANDOM_BENCH, 0, (uint64_t)number);
    for (int64_t i = 0; i < count; i += 4) {
        const uint32_t four = fsfm_random_u32(&random);
        memcpy(pixels + i, &four, count - i < 4 ? (size_t)(count - i) : 4);
    }
}

/* Masks as pretrain draws them, for a face whose patches have one region each, at random. */
static void draw_masks(bench *b, int64_t row, int64_t number, uint8_t *mask, uint8_t *region,
                       uint8_t *target_mask)
{
    uint16_t bits[FSFM_PATCHES_MAX];
    fsfm_mask_feed *feed = &b->train.data.feed;
    const fsfm_sample_ref ref = {.place = {.sample = number}, .position = number};
    fsfm_random random = fsfm_random_stream(feed->seed, FSFM_RANDOM_BENCH, 1, (uint64_t)number);
    for (int l = 0; l < feed->patches; l++)
        bits[l] = (uint16_t)(1u << fsfm_random_below(&random, FSFM_REGIONS));
    fsfm_mask_feed_draw(feed, &ref, bits, NULL, mask + row * feed->patches, region + row * feed->patches,
                        target_mask + row * feed->patches);
}

/* This rank's part of one global batch, which all steps see. */
static fsfm_status make_batches(bench *b, fsfm_error *err)
{
    fsfm_train *train = &b->train;
    const int64_t size = train->job->model->img_size, pixels = size * size * 3;
    const int64_t B = train->local_batch, L = train->data.feed.patches;
    b->images = malloc((size_t)(B * pixels));
    b->masks = malloc((size_t)(3 * B * L));
    if (!b->images || !b->masks)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %" PRId64 " random images", B);
    uint8_t *mask = b->masks, *region = mask + B * L, *target_mask = region + B * L;
    for (int64_t row = 0; row < B; row++) {
        const int64_t number = train->rank * B + row;
        draw_image(train->job->seed, number, b->images + row * pixels, pixels);
        draw_masks(b, row, number, mask, region, target_mask);
    }
    for (int64_t m = 0; m < train->micro_count; m++) {
        const int64_t first = m * train->micro_batch;
        train->batches[m] = (fsfm_batch){.batch = m,
                                         .B = train->micro_batch,
                                         .images = b->images + first * pixels,
                                         .mask = mask + first * L,
                                         .region = region + first * L,
                                         .target_mask = target_mask + first * L};
        fsfm_train_count_patches(train, &train->batches[m], &b->totals.masked_patches,
                                 &b->totals.region_patches);
    }
    b->totals.samples = B;
    return FSFM_OK;
}

static fsfm_status start_weights(fsfm_train *train, fsfm_error *err)
{
    const size_t floats = (size_t)fsfm_learner_parameters(train->learner)->total_floats;
    float *values = malloc(floats * sizeof *values);
    fsfm_status st = values ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for random weights");
    st = fsfm_comm_agree(train->comm, st, err);
    if (st == FSFM_OK) st = fsfm_train_start_anew(train, values, err);
    free(values);
    return st;
}

/* What pretrain opens, but the data: an epoch is one batch. */
static fsfm_status open_bench(bench *b, fsfm_error *err)
{
    fsfm_train *train = &b->train;
    const fsfm_model_options *model = train->job->model;
    fsfm_status st = fsfm_mask_feed_make(train->job->mask, train->job->seed, (int)model->img_size,
                                         (int)model->patch_size, false, NULL, 0, &train->data.feed, err);
    FSFM_TRY(fsfm_comm_agree(train->comm, st, err));
    train->data.samples = train->job->train->global_batch;
    for (int c = 0; c < 3; c++) train->data.mean[c] = train->data.std[c] = 0.5;
    FSFM_TRY(fsfm_train_open_device(train, err));
    b->dev = train->dev;
    if (b->setup->profiles) {
        st = fsfm_profile_open(b->dev, &b->profile, err);
        FSFM_TRY(fsfm_comm_agree(train->comm, st, err));
        train->dev = fsfm_profile_device(b->profile);
    }
    FSFM_TRY(fsfm_comm_agree(train->comm, fsfm_train_shape(train, err), err));
    FSFM_TRY(fsfm_train_open_learner(train, err));
    FSFM_TRY(start_weights(train, err));
    FSFM_TRY(fsfm_comm_agree(train->comm, make_batches(b, err), err));
    int64_t counts[3] = {b->totals.samples, b->totals.masked_patches, b->totals.region_patches};
    fsfm_comm_sum_i64(train->comm, counts, 3);
    b->totals = (fsfm_learner_totals){counts[0], counts[1], counts[2]};
    return FSFM_OK;
}

/* Runs through on every rank, whether it fails or not. */
static fsfm_status run_step(bench *b, fsfm_error *err)
{
    fsfm_train *train = &b->train;
    fsfm_step_outcome out = {.totals = b->totals};
    FSFM_TRY(fsfm_train_compute(train, &out, err));
    if (out.is_bad) return fsfm_fail(err, FSFM_ERR_NUMERIC, "the loss of random images is not finite");
    fsfm_train_update(train, &out);
    train->at.step++;
    if (train->pending.status != FSFM_OK) *err = train->pending;
    return train->pending.status;
}

/* Seconds of one step, as this rank sees it: every step waits for all ranks. */
static fsfm_status time_step(bench *b, double *seconds, fsfm_error *err)
{
    fsfm_comm_barrier(b->train.comm);
    const double began_s = fsfm_clock_monotonic_s();
    fsfm_status st = run_step(b, err);
    if (st == FSFM_OK) st = b->dev->ops->synchronize(b->dev, err);
    st = fsfm_comm_agree(b->train.comm, st, err);
    *seconds = fsfm_clock_monotonic_s() - began_s;
    return st;
}

/* All ranks at the same time, as in a step; the better of this and what *best has. */
static fsfm_status measure_peaks(bench *b, fsfm_device_peaks *best, fsfm_error *err)
{
    fsfm_train *train = &b->train;
    fsfm_product_shape shapes[LARGEST_SHAPES];
    fsfm_device_peaks peaks = {0};
    const int count = fsfm_flops_largest(&b->work, shapes, LARGEST_SHAPES);
    fsfm_comm_barrier(train->comm);
    const fsfm_status st = fsfm_device_measure_peaks(b->dev, shapes, count, &peaks, err);
    FSFM_TRY(fsfm_comm_agree(train->comm, st, err));
    double both[2] = {peaks.gemm_gflops, peaks.memory_gb_s};
    fsfm_comm_sum_double(train->comm, both, 2);
    best->gemm_gflops = fmax(best->gemm_gflops, both[0]);
    best->memory_gb_s = fmax(best->memory_gb_s, both[1]);
    return FSFM_OK;
}

static fsfm_status list_work(bench *b, fsfm_error *err)
{
    const fsfm_train *train = &b->train;
    const fsfm_work_setup setup = {.options = train->job->model,
                                   .kept = train->data.feed.patches - train->data.feed.budget,
                                   .B = train->micro_batch,
                                   .recompute = train->recompute,
                                   .precision = b->dev->precision};
    return fsfm_comm_agree(train->comm, fsfm_work_list_make(&setup, &b->work, err), err);
}

static void describe(const bench *b, fsfm_step_bench *out)
{
    const fsfm_train *train = &b->train;
    out->ranks = train->ranks;
    out->threads = b->dev->threads;
    out->micro_batch = train->micro_batch;
    out->local_batch = train->local_batch;
    out->kept = train->data.feed.patches - train->data.feed.budget;
    memcpy(out->device, b->dev->name, sizeof out->device);
    memcpy(out->slow_products, b->dev->slow_products, sizeof out->slow_products);
    out->precision = b->dev->precision;
    out->flops = fsfm_flops_count(&b->work);
    out->sums = fsfm_roofline_sums(&b->work);
}

static fsfm_status keep_profile(const bench *b, fsfm_step_bench *out, fsfm_error *err)
{
    if (!b->profile) return FSFM_OK;
    const fsfm_profile_entry *entries = fsfm_profile_entries(b->profile, &out->profile_count);
    const size_t size_bytes = (size_t)out->profile_count * sizeof *entries;
    if (!(out->profile = malloc(size_bytes)))
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a profile");
    memcpy(out->profile, entries, size_bytes);
    return FSFM_OK;
}

/* Step and peaks by turns, as the machine may have others to serve. The peaks take memory of their own, some
 * of it for good, as the library's code: what a step takes is read off before the first. */
static fsfm_status time_all(bench *b, fsfm_step_bench *out, fsfm_error *err)
{
    double warm_s = 0;
    for (int64_t s = 0; s < b->setup->warmup; s++) FSFM_TRY(time_step(b, &warm_s, err));
    int64_t rss = (int64_t)fsfm_environment_peak_rss_bytes();
    if (b->profile) fsfm_profile_reset(b->profile);
    FSFM_TRY(measure_peaks(b, &out->peaks, err));
    for (int64_t s = 0; s < b->setup->steps; s++) {
        FSFM_TRY(time_step(b, &out->step_s[s], err));
        FSFM_TRY(measure_peaks(b, &out->peaks, err));
    }
    fsfm_comm_max_i64(b->train.comm, &rss, 1);
    out->peak_rss_bytes = (uint64_t)rss;
    return FSFM_OK;
}

/* The sum that every step ends with, alone: what of it a step waits for is for others to tell. */
static fsfm_status time_sums(bench *b, fsfm_step_bench *out, fsfm_error *err)
{
    double warm_s = 0;
    out->sum_bytes = fsfm_learner_parameters(b->train.learner)->total_floats * (int64_t)sizeof(float);
    if (b->train.ranks == 1) return FSFM_OK;
    FSFM_TRY(fsfm_reduce_time(b->train.reduce, &warm_s, err));
    for (int i = 0; i < FSFM_STEP_BENCH_SUMS; i++)
        FSFM_TRY(fsfm_reduce_time(b->train.reduce, &out->sum_s[i], err));
    return FSFM_OK;
}

static fsfm_status measure(bench *b, fsfm_step_bench *out, fsfm_error *err)
{
    const int64_t steps = b->setup->steps;
    FSFM_TRY(list_work(b, err));
    describe(b, out);
    out->step_s = calloc((size_t)steps, sizeof *out->step_s);
    fsfm_status st =
        out->step_s ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %" PRId64 " times", steps);
    FSFM_TRY(fsfm_comm_agree(b->train.comm, st, err));
    FSFM_TRY(time_all(b, out, err));
    FSFM_TRY(time_sums(b, out, err));
    return fsfm_comm_agree(b->train.comm, keep_profile(b, out, err), err);
}

fsfm_status fsfm_step_bench_run(fsfm_comm *comm, const fsfm_step_bench_setup *setup, fsfm_log *log,
                                fsfm_step_bench *out, fsfm_error *err)
{
    bench *b = calloc(1, sizeof *b);
    fsfm_status st = b ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a bench");
    memset(out, 0, sizeof *out);
    if ((st = fsfm_comm_agree(comm, st, err)) != FSFM_OK) goto done;
    b->setup = setup;
    b->train.job = setup->job;
    b->train.comm = comm;
    b->train.log = log;
    b->train.rank = fsfm_comm_rank(comm);
    b->train.ranks = fsfm_comm_size(comm);
    b->train.local_ranks = fsfm_comm_local_size(comm);
    st = open_bench(b, err);
    if (st == FSFM_OK) st = measure(b, out, err);
    if (st != FSFM_OK) fsfm_step_bench_free(out);
    if (b->dev) b->train.dev = b->dev; /* to be closed; the profile has none of its own */
    fsfm_train_close(&b->train);
    fsfm_profile_close(&b->profile);
    fsfm_work_list_free(&b->work);
    free(b->images);
    free(b->masks);
done:
    free(b);
    return st;
}

void fsfm_step_bench_free(fsfm_step_bench *gone)
{
    free(gone->step_s);
    free(gone->profile);
    memset(gone, 0, sizeof *gone);
}
