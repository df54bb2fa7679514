/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/health_measure.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "mpi/environment.h"

/* How long each part is repeated; the best time counts. */
static const double product_s = 0.03, copy_s = 0.03, reading_s = 0.03;
enum { SAMPLES_MAX = 64, EXCHANGE_BYTES = 2 << 20, EXCHANGES = 4 };

/* What one turn of a measurement does. */
typedef fsfm_status (*turn_fn)(void *context, fsfm_error *err);

/* Turns until limit_s have passed, but the first, which warms up; at least two. */
static fsfm_status best_turn(fsfm_device *dev, double limit_s, turn_fn turn, void *context, double *best_s,
                             fsfm_error *err)
{
    double began_s = 0, now_s = 0;
    *best_s = INFINITY;
    for (int i = 0; i < 3 || now_s - began_s < limit_s; i++) {
        const double before_s = fsfm_clock_monotonic_s();
        FSFM_TRY(turn(context, err));
        FSFM_TRY(dev->ops->synchronize(dev, err));
        now_s = fsfm_clock_monotonic_s();
        if (i == 0)
            began_s = now_s;
        else
            *best_s = fmin(*best_s, now_s - before_s);
    }
    return FSFM_OK;
}

typedef struct {
    fsfm_device *dev;
    fsfm_linear_args linear;
    void *from, *to;
    size_t size_bytes;
} work;

static fsfm_status multiply(void *context, fsfm_error *err)
{
    work *w = context;
    return w->dev->ops->linear(w->dev, &w->linear, err);
}

static fsfm_status copy(void *context, fsfm_error *err)
{
    work *w = context;
    return w->dev->ops->copy(w->dev, w->to, w->from, w->size_bytes, err);
}

/* Zeros in the device's memory. */
static fsfm_status make_zeros(fsfm_device *dev, size_t size_bytes, void **out, fsfm_error *err)
{
    FSFM_TRY(dev->ops->alloc(dev, size_bytes, out, err));
    return dev->ops->zero(dev, *out, size_bytes, err);
}

static fsfm_status measure_products(fsfm_device *dev, double *gflops, fsfm_error *err)
{
    const int64_t C = dev->memory_is_host ? 768 : 4096, N = dev->memory_is_host ? 256 : 4096;
    void *x = NULL, *weight = NULL, *out = NULL;
    double best_s = NAN;
    fsfm_status st = make_zeros(dev, (size_t)(N * C) * dev->act_bytes, &x, err);
    if (st == FSFM_OK) st = make_zeros(dev, (size_t)(C * C) * sizeof(float), &weight, err);
    if (st == FSFM_OK) st = make_zeros(dev, (size_t)(N * C) * dev->act_bytes, &out, err);
    work w = {.dev = dev, .linear = {.N = N, .Cin = C, .Cout = C, .x = x, .weight = weight, .out = out}};
    if (st == FSFM_OK) st = best_turn(dev, product_s, multiply, &w, &best_s, err);
    *gflops = 2e-9 * (double)N * (double)C * (double)C / best_s;
    dev->ops->free(dev, out);
    dev->ops->free(dev, weight);
    dev->ops->free(dev, x);
    return st;
}

/* More than the caches of a core hold; a large one that cores share may hold it. */
static fsfm_status measure_memory(fsfm_device *dev, double *gb_s, fsfm_error *err)
{
    work w = {.dev = dev, .size_bytes = (size_t)(dev->memory_is_host ? 24 : 256) << 20};
    double best_s = NAN;
    fsfm_status st = make_zeros(dev, w.size_bytes, &w.from, err);
    if (st == FSFM_OK) st = make_zeros(dev, w.size_bytes, &w.to, err);
    if (st == FSFM_OK) st = best_turn(dev, copy_s, copy, &w, &best_s, err);
    *gb_s = 2e-9 * (double)w.size_bytes / best_s;
    dev->ops->free(dev, w.to);
    dev->ops->free(dev, w.from);
    return st;
}

/* Samples far from each other and from those of other ranks and rounds, as the run reads them. A damaged one
 * counts like any other: the run itself says so, and replaces it. */
static fsfm_status measure_reading(const fsfm_health_place *place, int round, double *samples_s,
                                   fsfm_error *err)
{
    const fsfm_dataset_card *card = fsfm_dataset_describe(place->dataset);
    const int64_t ranks = fsfm_comm_size(place->comm), first = 2 * fsfm_comm_rank(place->comm) + round;
    uint8_t *image = malloc((size_t)card->kind.size * (size_t)card->kind.size * 3);
    int64_t count = 0;
    if (!image) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for an image");
    const double began_s = fsfm_clock_monotonic_s();
    double took_s = 0;
    fsfm_status st = FSFM_OK;
    for (; count < SAMPLES_MAX && took_s < reading_s && (st == FSFM_OK || st == FSFM_ERR_FORMAT); count++) {
        const int64_t number = count * 2 * ranks + first; /* of 2 * ranks * SAMPLES_MAX, evenly spread */
        const int64_t index = number * card->count / (2 * ranks * SAMPLES_MAX);
        fsfm_stored_sample sample = {0};
        st = fsfm_dataset_read(place->dataset, index, image, &sample, err);
        fsfm_stored_sample_free(&sample);
        took_s = fsfm_clock_monotonic_s() - began_s;
    }
    free(image);
    *samples_s = (double)count / took_s;
    return st == FSFM_ERR_FORMAT ? FSFM_OK : st;
}

static double exchange_s(fsfm_comm *comm, int peer, const char *mine, char *theirs)
{
    double best_s = INFINITY;
    for (int i = 0; i < EXCHANGES; i++) {
        const double began_s = fsfm_clock_monotonic_s();
        fsfm_comm_exchange(comm, peer, mine, theirs, EXCHANGE_BYTES);
        best_s = fmin(best_s, fsfm_clock_monotonic_s() - began_s);
    }
    return best_s;
}

/* The best of two partners, as a slow one must not make its partner look slow; on other hosts, where there
 * are some. */
static fsfm_status measure_exchange(fsfm_comm *comm, double *gb_s, fsfm_error *err)
{
    const int rank = fsfm_comm_rank(comm), ranks = fsfm_comm_size(comm);
    char *bytes = calloc(2, EXCHANGE_BYTES);
    double best_s = INFINITY;
    int64_t near = ranks > fsfm_comm_local_size(comm) ? fsfm_comm_local_size(comm) : 1, distance = 1;
    fsfm_status st = bytes ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to exchange");
    fsfm_comm_max_i64(comm, &near, 1);
    st = fsfm_comm_agree(comm, st, err);
    while (distance < near) distance *= 2;
    for (int turn = 0; turn < 2 && st == FSFM_OK; turn++, distance *= 2) {
        const int64_t peer = rank ^ distance;
        fsfm_comm_barrier(comm);
        if (peer < ranks) best_s = fmin(best_s, exchange_s(comm, (int)peer, bytes, bytes + EXCHANGE_BYTES));
    }
    *gb_s = isfinite(best_s) ? 1e-9 * EXCHANGE_BYTES / best_s : NAN; /* NAN: it had no partner */
    free(bytes);
    return st;
}

fsfm_status fsfm_health_measure(void *context, int round, fsfm_health_rates *out, fsfm_error *err)
{
    const fsfm_health_place *place = context;
    int64_t is_crowded = 0;
    for (int part = 0; part < FSFM_HEALTH_PARTS; part++) out->rate[part] = NAN;
    if (place->dev->memory_is_host)
        FSFM_TRY(fsfm_environment_is_crowded(place->comm, place->dev->threads, &out->is_crowded, err));
    is_crowded = out->is_crowded;
    fsfm_comm_max_i64(place->comm, &is_crowded, 1);
    if (is_crowded) return FSFM_OK;
    fsfm_comm_barrier(place->comm);
    fsfm_status st = measure_products(place->dev, &out->rate[FSFM_HEALTH_PRODUCTS], err);
    fsfm_comm_barrier(place->comm);
    if (st == FSFM_OK) st = measure_memory(place->dev, &out->rate[FSFM_HEALTH_MEMORY], err);
    fsfm_comm_barrier(place->comm);
    if (st == FSFM_OK) st = measure_reading(place, round, &out->rate[FSFM_HEALTH_READING], err);
    FSFM_TRY(fsfm_comm_agree(place->comm, st, err));
    return measure_exchange(place->comm, &out->rate[FSFM_HEALTH_EXCHANGE], err);
}
