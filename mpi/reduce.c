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

    /* fast */
    fsfm_carrier *carrier; /* NULL: one rank */
    int64_t bucket_floats, buckets;
    int64_t *missing;    /* (buckets): floats not complete yet */
    int64_t next_bucket; /* begun: those from here on */

    /* exact */
    float *host; /* the gradients where the host can reach them: gradients_dev itself, or a copy */
    bool host_is_copy;
    int64_t local_slices, taken;
    float *level_dev[LEVELS_MAX];
    float *theirs;               /* half of the gradients, rounded up */
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

static fsfm_status cut_buckets(fsfm_reduce *reduce, fsfm_error *err)
{
    const fsfm_reduce_setup *setup = &reduce->setup;
    const int64_t floats = setup->bucket_mib * (1024 * 1024 / (int64_t)sizeof(float));
    const int64_t most = (int64_t)1 << 28;
    reduce->bucket_floats = floats < 1024 ? 1024 : floats > most ? most : floats;
    reduce->buckets = (setup->count + reduce->bucket_floats - 1) / reduce->bucket_floats;
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
    reduce->all_sums = calloc((size_t)ranks, sizeof *reduce->all_sums);
    reduce->host_is_copy = !setup->dev->memory_is_host && ranks > 1;
    reduce->host = reduce->host_is_copy ? malloc(bytes) : setup->gradients_dev;
    if (ranks > 1) reduce->theirs = malloc((bytes / 8 + 1) * sizeof(float));
    if (!reduce->all_sums || !reduce->host || (ranks > 1 && !reduce->theirs))
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the exchange of gradients (%zu bytes)",
                         bytes / 2);
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
        st = is_fast ? cut_buckets(reduce, err) : open_exact(reduce, err);
    }
    st = fsfm_comm_agree(setup->comm, st, err);
    if (st == FSFM_OK && is_fast) st = open_carrier(reduce, err);
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
    if (r->host_is_copy) free(r->host);
    free(r->missing);
    free(r->theirs);
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
 * both halves hold its middle; both then compute the same bits for it. */
static void sum_tree(fsfm_reduce *reduce)
{
    fsfm_comm *comm = reduce->setup.comm;
    const int rank = fsfm_comm_rank(comm), ranks = fsfm_comm_size(comm);
    int64_t first[LEVELS_MAX], count[LEVELS_MAX], at = 0, length = reduce->setup.count;
    int bits = 0;
    for (; 1 << bits < ranks; bits++) {
        const int64_t half = (length + 1) / 2, lower = at, upper = at + length - half;
        const bool keeps_upper = rank >> bits & 1;
        first[bits] = at;
        count[bits] = length;
        at = keeps_upper ? upper : lower;
        fsfm_comm_exchange(comm, rank ^ 1 << bits, reduce->host + (keeps_upper ? lower : upper),
                           reduce->theirs, half * (int64_t)sizeof(float));
        for (int64_t i = 0; i < half; i++) reduce->host[at + i] += reduce->theirs[i];
        length = half;
    }
    while (bits-- > 0) {
        const int64_t half = (count[bits] + 1) / 2, lower = first[bits], upper = lower + count[bits] - half;
        const bool keeps_upper = rank >> bits & 1;
        fsfm_comm_exchange(comm, rank ^ 1 << bits, reduce->host + (keeps_upper ? upper : lower),
                           reduce->theirs, half * (int64_t)sizeof(float));
        memcpy(reduce->host + (keeps_upper ? lower : upper), reduce->theirs, (size_t)half * sizeof(float));
    }
}

static fsfm_status sum_exact(fsfm_reduce *reduce, fsfm_error *err)
{
    fsfm_device *dev = reduce->setup.dev;
    const size_t bytes = (size_t)reduce->setup.count * sizeof(float);
    if (fsfm_comm_size(reduce->setup.comm) == 1) return FSFM_OK;
    const fsfm_status st =
        reduce->host_is_copy ? dev->ops->download(dev, reduce->host, reduce->setup.gradients_dev, bytes, err)
                             : dev->ops->synchronize(dev, err);
    sum_tree(reduce);
    if (st != FSFM_OK || !reduce->host_is_copy) return st;
    return dev->ops->upload(dev, reduce->setup.gradients_dev, reduce->host, bytes, err);
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
    if (reduce->carrier) return fsfm_carrier_way(reduce->carrier);
    return fsfm_comm_size(reduce->setup.comm) == 1 ? "" : "MPI, one tree over the slices";
}

bool fsfm_reduce_waits_in_mpi(const fsfm_reduce *reduce)
{
    return !reduce->carrier || fsfm_carrier_waits_in_mpi(reduce->carrier);
}
