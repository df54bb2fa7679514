/* SPDX-License-Identifier: Apache-2.0
 * io/reader.h - threads that turn samples into batches ahead of the step that wants them.
 *
 * Each thread takes the next sample of the next batch, preads it, compares its checksums, decodes and
 * augments it and draws its masks by the callback, straight into the batch's slot. No HDF5 call, lock around
 * I/O or allocation of size that grows with the dataset in this path. What a batch holds depends on its
 * number alone, never on threads. */
#ifndef FSFM_IO_READER_H
#define FSFM_IO_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "io/data_options.h"
#include "io/dataset.h"
#include "io/sampler.h"

/* Which sample a row of a batch is. Plain data. */
typedef struct {
    fsfm_place place;
    int64_t step;     /* of the run; 0 in evaluation */
    int64_t position; /* in the step's global batch */
} fsfm_sample_ref;

/* Fills the masks of one sample on a reader's thread; patches bytes each. Exactly one of bits and map is
 * given where the dataset has maps (map (size, size): after augmentation, or where wants_map is set), else
 * both are NULL. target_mask is NULL unless the reader was asked for one. */
typedef void (*fsfm_draw_masks_fn)(void *context, const fsfm_sample_ref *ref, const uint16_t *bits,
                                   const uint8_t *map, uint8_t *mask, uint8_t *region, uint8_t *target_mask);

typedef struct {
    int64_t batch;         /* number of the batch, from plan.first_batch */
    int64_t B;             /* samples in it (the last one of an evaluation may have fewer) */
    const uint8_t *images; /* (B, size, size, 3) */
    const uint8_t *mask, *region, *target_mask; /* (B, patches); NULL where not drawn */
    const fsfm_sample_ref *refs;                /* (B) */
} fsfm_batch;

/* One damaged sample that was replaced. Plain data. */
typedef struct {
    int source;
    int64_t sample;
    char message[256]; /* shard, place, what was wrong */
} fsfm_bad_sample;

typedef struct {
    fsfm_dataset *const *sources; /* borrowed; order of the sampler's */
    int source_count;
    const fsfm_sampler *sampler; /* borrowed */
    bool held_out; /* walk the held-out samples in order (evaluation), each once, instead of epochs */
    uint64_t seed;
    int size, patch; /* pixels */
    fsfm_view view;
    bool wants_map; /* hand the callback maps, not packed bits (mask.patch_threshold > 0) */
    bool wants_target_mask;
    fsfm_draw_masks_fn draw_masks; /* NULL: no masks */
    void *draw_context;
    /* The batches of this process: in step s, samples [share_first, share_first + share_count) of the global
     * batch, in batches of batch_size (divides share_count). Held-out: samples [share_first, share_first +
     * share_count) of all held-out ones, each once, the last batch may be short. Batch b belongs to step b /
     * (share_count / batch_size). */
    int64_t global_batch, steps_per_epoch, share_first, share_count, batch_size;
    int64_t first_batch, end_batch;
    int threads;
    int64_t prefetch_bytes; /* memory for slots; at least hold + 1 slots are made */
    int64_t hold;           /* batches that the user keeps at a time */
} fsfm_reader_plan;

typedef struct fsfm_reader fsfm_reader;
/* Starts the threads. plan is copied. */
FSFM_MUST_USE
fsfm_status fsfm_reader_open(const fsfm_reader_plan *plan, fsfm_reader **out, fsfm_error *err);
/* Memory that it takes, from sizes and options alone: sources and sampler are not looked at. */
uint64_t fsfm_reader_memory_bytes(const fsfm_reader_plan *plan);
/* Waits for the next batch in order. It stays valid until fsfm_reader_release() gives it back; batches are
 * given back in the order in which they came. *out has B = 0 behind the last one. Fails with what a thread
 * ran into (a shard that cannot be read). */
FSFM_MUST_USE
fsfm_status fsfm_reader_next(fsfm_reader *reader, fsfm_batch *out, fsfm_error *err);
void fsfm_reader_release(fsfm_reader *reader);
/* Whether next() would not wait. */
bool fsfm_reader_is_ready(fsfm_reader *reader);
/* Seconds that next() has waited so far. */
double fsfm_reader_waited_s(const fsfm_reader *reader);
/* Takes up to max damaged samples met since the last call, of batches that next() has given out (so that when
 * a sample is reported does not depend on timing); returns how many. A sample met again is reported again. */
int64_t fsfm_reader_take_bad(fsfm_reader *reader, fsfm_bad_sample *out, int64_t max);
void fsfm_reader_close(fsfm_reader **reader); /* stops the threads; accepts NULL */
#endif
