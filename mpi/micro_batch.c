/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/micro_batch.h"

#include "mpi/environment.h"

/* Activations that need no thought: as long as they take no more, larger micro-batches are taken for the last
 * percents of speed. */
#define CHEAP_BYTES ((size_t)192 << 20)

int64_t fsfm_micro_batch_useful(const fsfm_device *dev, int64_t kept)
{
    return dev->useful_rows > 0 ? (dev->useful_rows + kept) / (1 + kept) : INT64_MAX;
}

/* The smallest divisor of the local batch that is enough for as many threads. */
static int64_t useful_batch(const fsfm_device *dev, const fsfm_learner_setup *setup)
{
    const int64_t local = setup->local_batch, pairs = dev->threads > 2 ? (dev->threads + 1) / 2 : 1;
    const int64_t images = fsfm_micro_batch_useful(dev, setup->kept);
    for (int64_t B = 1; B < local && images <= local / pairs; B++)
        if (local % B == 0 && B >= images * pairs) return B;
    return local;
}

typedef struct {
    const fsfm_device *dev;
    const fsfm_learner_setup *setup;
    int64_t smallest; /* images that evaluation needs at once */
    uint64_t budget;
} choice;

static fsfm_status measure(const choice *c, int64_t B, fsfm_learner_memory *out, fsfm_error *err)
{
    fsfm_learner_setup tried = *c->setup;
    tried.micro_batch = B > c->smallest ? B : c->smallest;
    return fsfm_learner_measure(c->dev, &tried, out, err);
}

/* Up while it is cheap. */
static fsfm_status grow(const choice *c, int64_t *B, fsfm_error *err)
{
    fsfm_learner_memory m;
    for (int64_t larger = *B + 1; larger <= c->setup->local_batch; larger++) {
        if (c->setup->local_batch % larger) continue;
        FSFM_TRY(measure(c, larger, &m, err));
        if (m.activations > CHEAP_BYTES) return FSFM_OK;
        *B = larger;
    }
    return FSFM_OK;
}

static uint64_t all_bytes(const fsfm_learner_memory *m)
{
    return (uint64_t)m->parameters + m->gradients + m->optimizer + m->target + m->activations + m->batch;
}

/* Down until it fits. */
static fsfm_status shrink(const choice *c, int64_t *B, fsfm_error *err)
{
    fsfm_learner_memory m;
    for (; *B > 1; (*B)--) {
        if (c->setup->local_batch % *B) continue;
        FSFM_TRY(measure(c, *B, &m, err));
        if (all_bytes(&m) <= c->budget) return FSFM_OK;
    }
    return FSFM_OK;
}

/* Of all memory there is, not of what happens to be free, so that equal machines choose alike. A GPU has it
 * for itself, but for what its driver and libraries take. */
static uint64_t budget(const fsfm_device *dev, int sharers)
{
    const uint64_t bytes =
        dev->memory_is_host ? fsfm_environment_memory_bytes() / 2 : dev->memory_bytes / 8 * 7;
    return bytes / (uint64_t)sharers;
}

fsfm_status fsfm_micro_batch_auto(fsfm_comm *comm, int sharers, const fsfm_device *dev,
                                  const fsfm_learner_setup *setup, int64_t smallest, int64_t *out,
                                  fsfm_error *err)
{
    const choice c = {dev, setup, smallest, budget(dev, sharers)};
    int64_t B = useful_batch(dev, setup);
    fsfm_status st = grow(&c, &B, err);
    if (st == FSFM_OK) st = shrink(&c, &B, err);
    FSFM_TRY(fsfm_comm_agree(comm, st, err));
    int64_t negative = -B; /* every rank's choice divides the local batch, so the smallest of them does */
    fsfm_comm_max_i64(comm, &negative, 1);
    *out = -negative;
    return FSFM_OK;
}

fsfm_status fsfm_recompute_auto(fsfm_comm *comm, int sharers, const fsfm_device *dev,
                                const fsfm_learner_setup *setup, fsfm_recompute *out, fsfm_error *err)
{
    fsfm_learner_setup none = *setup;
    fsfm_learner_memory m;
    none.recompute = FSFM_RECOMPUTE_NONE;
    const fsfm_status st = fsfm_learner_measure(dev, &none, &m, err);
    FSFM_TRY(fsfm_comm_agree(comm, st, err));
    int64_t lacks = dev->memory_is_host || all_bytes(&m) > budget(dev, sharers);
    fsfm_comm_max_i64(comm, &lacks, 1);
    *out = lacks ? FSFM_RECOMPUTE_GELU : FSFM_RECOMPUTE_NONE;
    return FSFM_OK;
}
