/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/reduce.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "mpi/node_sum.h"

enum { LEVELS_MAX = 32 };

struct fsfm_reduce {
    fsfm_reduce_setup setup;

    fsfm_carrier *carrier; /* NULL: one rank */
    int64_t bucket_floats;

    /* fast */
    int64_t buckets;
    int64_t *missing;    /* (buckets): floats not complete yet */
    int64_t next_bucket; /* begun: those from here on */

    /* exact */
    int64_t local_slices, taken;
    float *level_dev[LEVELS_MAX];
    float *theirs_dev;           /* half of the gradients, rounded up */
    fsfm_learner_sums *all_sums; /* (ranks) */
};

static bool is_power_of_two(int64_t n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

static fsfm_learner_sums add_sums(fsfm_learner_sums a, fsfm_learner_sums b)
{
    const fsfm_learner_sums sum = {a.rec_m + b.rec_m, a.rec_fr + b.rec_fr, a.sim + b.sim};
    return sum;
}

static int64_t floats_of_bucket(const fsfm_reduce_setup *setup)
{
    const int64_t floats = setup->bucket_mib * (1024 * 1024 / (int64_t)sizeof(float));
    const int64_t most = (int64_t)1 << 28;
    return floats < 1024 ? 1024 : floats > most ? most : floats;
}

static fsfm_status open_fast(fsfm_reduce *reduce, fsfm_error *err)
{
    reduce->buckets = (reduce->setup.count + reduce->bucket_floats - 1) / reduce->bucket_floats;
    if (!(reduce->missing = calloc((size_t)reduce->buckets + 1, sizeof *reduce->missing)))
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for gradient buckets");
    return FSFM_OK;
}

static int64_t bucket_length(const fsfm_reduce *reduce, int64_t bucket)
{
    const int64_t left = reduce->setup.count - bucket * reduce->bucket_floats;
    return left < reduce->bucket_floats ? left : reduce->bucket_floats;
}

static fsfm_status open_carrier(fsfm_reduce *reduce, fsfm_error *err)
{
    const fsfm_reduce_setup *setup = &reduce->setup;
    const fsfm_carrier_setup carrier = {.comm = setup->comm,
                                        .dev = setup->dev,
                                        .values_dev = setup->gradients_dev,
                                        .count = setup->count,
                                        .pieces = reduce->buckets,
                                        .piece_floats = bucket_length(reduce, 0),
                                        .exchanges = setup->kind == FSFM_REDUCTION_EXACT,
                                        .kind = setup->carrier};
    if (fsfm_comm_size(setup->comm) == 1) return FSFM_OK;
    return fsfm_carrier_open(&carrier, &reduce->carrier, err);
}

static fsfm_status open_exact(fsfm_reduce *reduce, fsfm_error *err)
{
    const fsfm_reduce_setup *setup = &reduce->setup;
    const int ranks = fsfm_comm_size(setup->comm);
    const size_t bytes = (size_t)setup->count * sizeof(float);
    if (!is_power_of_two(setup->slices))
        return fsfm_fail(err, FSFM_ERR_ARG, "train.slices: expected a power of two, found %" PRId64,
                         setup->slices);
    if (!is_power_of_two(ranks) || setup->slices % ranks)
        return fsfm_fail(
            err, FSFM_ERR_ARG,
            "train.reduction exact: expected a power of two of ranks that divides train.slices = %" PRId64
            ", found %d ranks",
            setup->slices, ranks);
    reduce->local_slices = setup->slices / ranks;
    for (int level = 0; (int64_t)1 << level < reduce->local_slices; level++) {
        void *memory = NULL;
        FSFM_TRY(setup->dev->ops->alloc(setup->dev, bytes, &memory, err));
        reduce->level_dev[level] = memory;
    }
    if (!(reduce->all_sums = calloc((size_t)ranks, sizeof *reduce->all_sums)))
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the exchange of losses");
    if (ranks == 1) return FSFM_OK;
    void *memory = NULL;
    FSFM_TRY(setup->dev->ops->alloc(setup->dev, (bytes / 8 + 1) * sizeof(float), &memory, err));
    reduce->theirs_dev = memory;
    return FSFM_OK;
}

fsfm_status fsfm_reduce_open(const fsfm_reduce_setup *setup, fsfm_reduce **out, fsfm_error *err)
{
    const bool is_fast = setup->kind == FSFM_REDUCTION_FAST;
    fsfm_reduce *reduce = calloc(1, sizeof *reduce);
    fsfm_status st = reduce ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the reduction");
    *out = NULL;
    if (reduce) {
        reduce->setup = *setup;
        reduce->bucket_floats = floats_of_bucket(setup);
        st = is_fast ? open_fast(reduce, err) : open_exact(reduce, err);
    }
    st = fsfm_comm_agree(setup->comm, st, err);
    if (st == FSFM_OK) st = open_carrier(reduce, err);
    if (st != FSFM_OK) {
        fsfm_reduce_close(&reduce);
        return st;
    }
    fsfm_reduce_begin(reduce);
    *out = reduce;
    return FSFM_OK;
}

void fsfm_reduce_close(fsfm_reduce **reduce)
{
    fsfm_reduce *r = *reduce;
    if (!r) return;
    fsfm_carrier_close(&r->carrier);
    for (int level = 0; level < LEVELS_MAX; level++)
        if (r->level_dev[level]) r->setup.dev->ops->free(r->setup.dev, r->level_dev[level]);
    if (r->theirs_dev) r->setup.dev->ops->free(r->setup.dev, r->theirs_dev);
    free(r->missing);
    free(r->all_sums);
    free(r);
    *reduce = NULL;
}

uint64_t fsfm_reduce_memory_bytes(const fsfm_reduce_setup *setup, int ranks)
{
    const uint64_t gradients = (uint64_t)setup->count * sizeof(float);
    uint64_t bytes = ranks > 1 ? gradients / 2 : 0;
    if (setup->kind == FSFM_REDUCTION_FAST)
        return ranks == 1 ? 0 : setup->carrier == FSFM_CARRIER_AUTO ? fsfm_node_sum_bytes(ranks) : gradients;
    for (int64_t held = 1; held < setup->slices / ranks; held *= 2) bytes += gradients;
    return bytes;
}

void fsfm_reduce_begin(fsfm_reduce *reduce)
{
    reduce->taken = 0;
    reduce->next_bucket = reduce->buckets;
    for (int64_t b = 0; b < reduce->buckets; b++) reduce->missing[b] = bucket_length(reduce, b);
}

/* Begins buckets from the last one down, in this order on every rank, while they are complete (or all of
 * them). */
static void begin_buckets(fsfm_reduce *reduce, bool all)
{
    while (reduce->next_bucket > 0 && (all || reduce->missing[reduce->next_bucket - 1] == 0)) {
        const int64_t bucket = --reduce->next_bucket;
        fsfm_carrier_begin(reduce->carrier, bucket * reduce->bucket_floats, bucket_length(reduce, bucket));
    }
}

void fsfm_reduce_ready(void *context, int64_t first, int64_t count)
{
    fsfm_reduce *reduce = context;
    if (!reduce->carrier) return;
    while (count > 0) {
        const int64_t bucket = first / reduce->bucket_floats;
        const int64_t room = (bucket + 1) * reduce->bucket_floats - first, part = count < room ? count : room;
        reduce->missing[bucket] -= part;
        first += part;
        count -= part;
    }
    begin_buckets(reduce, false);
    fsfm_carrier_progress(reduce->carrier);
}

fsfm_status fsfm_reduce_slice(fsfm_reduce *reduce, fsfm_error *err)
{
    fsfm_device *dev = reduce->setup.dev;
    float *gradients = reduce->setup.gradients_dev;
    const int64_t slice = reduce->taken++;
    int level = 0;
    for (; slice >> level & 1; level++) /* a carry: the subtree to the left is complete */
        FSFM_TRY(dev->ops->add(dev, reduce->setup.count, reduce->level_dev[level], gradients, err));
    if (slice + 1 == reduce->local_slices) return FSFM_OK;
    return dev->ops->copy(dev, reduce->level_dev[level], gradients,
                          (size_t)reduce->setup.count * sizeof(float), err);
}

/* Recursive halving over the rank's bits from the lowest, then the way back. Where a range has an odd length
 * both halves hold its middle; both then compute the same bits for it, and it is not sent back. */
static fsfm_status sum_tree(fsfm_reduce *reduce, fsfm_error *err)
{
    fsfm_device *dev = reduce->setup.dev;
    float *values = reduce->setup.gradients_dev;
    const int rank = fsfm_comm_rank(reduce->setup.comm), ranks = fsfm_comm_size(reduce->setup.comm);
    int64_t first[LEVELS_MAX], count[LEVELS_MAX], at = 0, length = reduce->setup.count;
    fsfm_status st = FSFM_OK;
    int bits = 0;
    for (; 1 << bits < ranks; bits++) {
        const int64_t half = (length + 1) / 2, lower = at, upper = at + length - half;
        const bool keeps_upper = rank >> bits & 1;
        first[bits] = at;
        count[bits] = length;
        at = keeps_upper ? upper : lower;
        fsfm_carrier_exchange(reduce->carrier, rank ^ 1 << bits, values + (keeps_upper ? lower : upper),
                              reduce->theirs_dev, half);
        if (st == FSFM_OK) st = dev->ops->add(dev, half, reduce->theirs_dev, values + at, err);
        length = half;
    }
    while (bits-- > 0) {
        const int64_t wanted = count[bits] / 2, lower = first[bits], upper = lower + count[bits] - wanted;
        const bool keeps_upper = rank >> bits & 1;
        fsfm_carrier_exchange(reduce->carrier, rank ^ 1 << bits, values + (keeps_upper ? upper : lower),
                              values + (keeps_upper ? lower : upper), wanted);
    }
    return st;
}

static fsfm_status sum_exact(fsfm_reduce *reduce, fsfm_error *err)
{
    fsfm_error late;
    if (!reduce->carrier) return FSFM_OK;
    const fsfm_status st = sum_tree(reduce, err);
    const fsfm_status finished = fsfm_carrier_finish(reduce->carrier, st == FSFM_OK ? err : &late);
    return st == FSFM_OK ? finished : st;
}

/* The tree over count sums, a power of two; its sum comes to be the first. */
static void add_in_tree(fsfm_learner_sums *sums, int64_t count)
{
    for (int64_t stride = 1; stride < count; stride *= 2)
        for (int64_t i = 0; i < count; i += 2 * stride) sums[i] = add_sums(sums[i], sums[i + stride]);
}

fsfm_status fsfm_reduce_gradients(fsfm_reduce *reduce, fsfm_error *err)
{
    if (reduce->setup.kind == FSFM_REDUCTION_EXACT) return sum_exact(reduce, err);
    if (!reduce->carrier) return FSFM_OK;
    begin_buckets(reduce, true);
    return fsfm_carrier_finish(reduce->carrier, err);
}

void fsfm_reduce_sums(fsfm_reduce *reduce, fsfm_learner_sums *slices, fsfm_learner_sums *sums)
{
    fsfm_comm *comm = reduce->setup.comm;
    const int ranks = fsfm_comm_size(comm);
    if (reduce->setup.kind == FSFM_REDUCTION_EXACT) {
        add_in_tree(slices, reduce->local_slices);
        fsfm_comm_gather_all(comm, slices, (int64_t)sizeof *slices, reduce->all_sums);
        add_in_tree(reduce->all_sums, ranks);
        *sums = reduce->all_sums[0];
    } else if (ranks > 1) {
        double values[3] = {sums->rec_m, sums->rec_fr, sums->sim};
        fsfm_comm_sum_double(comm, values, 3);
        *sums = (fsfm_learner_sums){values[0], values[1], values[2]};
    }
}

fsfm_status fsfm_reduce_time(fsfm_reduce *reduce, double *seconds, fsfm_error *err)
{
    const bool is_fast = reduce->setup.kind == FSFM_REDUCTION_FAST;
    fsfm_status st = FSFM_OK;
    fsfm_comm_barrier(reduce->setup.comm);
    const double began_s = fsfm_clock_monotonic_s();
    fsfm_reduce_begin(reduce);
    if (is_fast) fsfm_reduce_ready(reduce, 0, reduce->setup.count);
    for (int64_t s = 0; !is_fast && s < reduce->local_slices && st == FSFM_OK; s++)
        st = fsfm_reduce_slice(reduce, err);
    fsfm_error late;
    const fsfm_status gradients = fsfm_reduce_gradients(reduce, st == FSFM_OK ? err : &late);
    if (st == FSFM_OK) st = gradients;
    if (st == FSFM_OK) st = reduce->setup.dev->ops->synchronize(reduce->setup.dev, err);
    *seconds = fsfm_clock_monotonic_s() - began_s;
    fsfm_comm_max_double(reduce->setup.comm, seconds, 1);
    return fsfm_comm_agree(reduce->setup.comm, st, err);
}

const char *fsfm_reduce_way(const fsfm_reduce *reduce)
{
    return reduce->carrier ? fsfm_carrier_way(reduce->carrier) : "";
}

bool fsfm_reduce_waits_in_mpi(const fsfm_reduce *reduce)
{
    return !reduce->carrier || fsfm_carrier_waits_in_mpi(reduce->carrier);
}
