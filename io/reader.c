/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches stand in a ring of slots. Rows are handed to the threads one by one in the order of the run, so the
 * earliest unfinished batch is always the one being worked on. All counters are kept under one lock; rows are
 * filled outside. */
#include "io/reader.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/clock.h"
#include "io/reader_row.h"

typedef struct {
    uint8_t *images, *mask, *region, *target_mask;
    fsfm_sample_ref *refs;
    fsfm_bad_node **bad; /* (batch_size) lists */
    int64_t rows, done;
    int64_t failed_row; /* lowest row that failed, -1: none */
    fsfm_error error;   /* of that row */
} reader_slot;

struct fsfm_reader {
    fsfm_reader_plan plan;
    int64_t slot_count;
    reader_slot *slots;
    void *memory; /* of all slots' arrays */
    pthread_mutex_t lock;
    pthread_cond_t can_fill, is_ready;
    /* Batches [released, given) are with the user, [given, filling) in the making or ready, filling is being
     * handed out. */
    int64_t released, given, filling, filling_row;
    bool closing;
    double waited_s;
    fsfm_bad_node *reported, **reported_end; /* of batches given out, not yet taken */
    int thread_count;
    struct reader_thread {
        pthread_t thread;
        fsfm_reader *reader;
        fsfm_row_maker *maker;
    } * threads;
};

static int64_t rows_of_batch(const fsfm_reader_plan *plan, int64_t batch)
{
    const int64_t left = plan->share_count - batch * plan->batch_size;
    return plan->held_out && left < plan->batch_size ? left : plan->batch_size;
}

static fsfm_sample_ref row_ref(const fsfm_reader_plan *plan, int64_t batch, int64_t row)
{
    if (plan->held_out) {
        const int64_t position = plan->share_first + batch * plan->batch_size + row;
        return (fsfm_sample_ref){.place = fsfm_sampler_held_out_place(plan->sampler, position),
                                 .position = position};
    }
    const int64_t batches_per_step = plan->share_count / plan->batch_size;
    const int64_t step = batch / batches_per_step;
    const int64_t position = plan->share_first + batch % batches_per_step * plan->batch_size + row;
    const int64_t in_epoch = step % plan->steps_per_epoch * plan->global_batch + position;
    return (fsfm_sample_ref){
        .place = fsfm_sampler_place(plan->sampler, (uint32_t)(step / plan->steps_per_epoch), in_epoch),
        .step = step,
        .position = position,
    };
}

static reader_slot *slot_of(fsfm_reader *reader, int64_t batch)
{
    return &reader->slots[batch % reader->slot_count];
}

/* Called under the lock; it is not held while the row is made. */
static void work_on_next_row(struct reader_thread *self)
{
    fsfm_reader *reader = self->reader;
    const fsfm_reader_plan *plan = &reader->plan;
    const int64_t batch = reader->filling, row = reader->filling_row, patches = plan->size / plan->patch;
    const int64_t mask_at = row * patches * patches;
    reader_slot *slot = slot_of(reader, batch);
    fsfm_error error = {0};
    fsfm_status st = FSFM_OK;
    if (row == 0) {
        slot->rows = rows_of_batch(plan, batch);
        slot->done = 0;
        slot->failed_row = -1;
    }
    if (++reader->filling_row == slot->rows) {
        reader->filling++;
        reader->filling_row = 0;
    }
    /* Rows behind a failed one need not be made: every lower one was handed out before. */
    if (slot->failed_row < 0) {
        pthread_mutex_unlock(&reader->lock);
        slot->refs[row] = row_ref(plan, batch, row);
        const fsfm_row target = {
            .image = slot->images + row * plan->size * plan->size * 3,
            .mask = slot->mask ? slot->mask + mask_at : NULL,
            .region = slot->region ? slot->region + mask_at : NULL,
            .target_mask = slot->target_mask ? slot->target_mask + mask_at : NULL,
            .ref = &slot->refs[row],
            .bad = &slot->bad[row],
        };
        st = fsfm_row_make(self->maker, &target, &error);
        pthread_mutex_lock(&reader->lock);
    }
    if (st != FSFM_OK && (slot->failed_row < 0 || row < slot->failed_row)) {
        slot->failed_row = row;
        slot->error = error;
    }
    if (++slot->done == slot->rows && batch == reader->given) pthread_cond_signal(&reader->is_ready);
}

static void *run_thread(void *argument)
{
    struct reader_thread *self = argument;
    fsfm_reader *reader = self->reader;
    pthread_mutex_lock(&reader->lock);
    while (!reader->closing)
        if (reader->filling < reader->plan.end_batch &&
            reader->filling - reader->released < reader->slot_count)
            work_on_next_row(self);
        else
            pthread_cond_wait(&reader->can_fill, &reader->lock);
    pthread_mutex_unlock(&reader->lock);
    return NULL;
}

static void layout_slot(fsfm_arena *arena, const fsfm_reader_plan *plan, reader_slot *slot)
{
    const size_t B = (size_t)plan->batch_size, across = (size_t)(plan->size / plan->patch);
    const size_t masks = plan->draw_masks ? B * across * across : 0;
    slot->images =
        fsfm_arena_bytes(arena, B * (size_t)plan->size * (size_t)plan->size * 3); /* (B, size, size, 3) */
    slot->refs = fsfm_arena_bytes(arena, B * sizeof *slot->refs);
    slot->bad = fsfm_arena_bytes(arena, B * sizeof *slot->bad);
    if (!masks) return;
    slot->mask = fsfm_arena_bytes(arena, masks);   /* (B, patches) */
    slot->region = fsfm_arena_bytes(arena, masks); /* (B, patches) */
    if (plan->wants_target_mask) slot->target_mask = fsfm_arena_bytes(arena, masks);
}

static size_t measure_slot(const fsfm_reader_plan *plan)
{
    fsfm_arena arena = {.base = NULL};
    layout_slot(&arena, plan, &(reader_slot){.images = NULL});
    return arena.used_bytes;
}

/* As many as there is memory for, but no more than there are batches. */
static int64_t count_slots(const fsfm_reader_plan *plan, size_t slot_bytes)
{
    const int64_t batches = plan->end_batch - plan->first_batch, least = plan->hold + 1;
    const int64_t room = plan->prefetch_bytes / (int64_t)slot_bytes, slots = room < batches ? room : batches;
    return slots < least ? least : slots;
}

uint64_t fsfm_reader_memory_bytes(const fsfm_reader_plan *plan)
{
    const size_t slot_bytes = measure_slot(plan);
    return (uint64_t)slot_bytes * (uint64_t)count_slots(plan, slot_bytes) +
           (uint64_t)plan->threads * fsfm_row_maker_memory_bytes(plan);
}

static fsfm_status make_slots(fsfm_reader *reader, fsfm_error *err)
{
    const fsfm_reader_plan *plan = &reader->plan;
    const size_t slot_bytes = measure_slot(plan);
    reader->slot_count = count_slots(plan, slot_bytes);
    const size_t bytes = slot_bytes * (size_t)reader->slot_count;
    reader->slots = calloc((size_t)reader->slot_count, sizeof *reader->slots);
    reader->memory = aligned_alloc(FSFM_ARENA_ALIGN, bytes);
    if (!reader->slots || !reader->memory)
        return fsfm_fail(err, FSFM_ERR_MEMORY,
                         "no memory for %" PRId64 " batches of %" PRId64 " samples: %zu MiB",
                         reader->slot_count, plan->batch_size, bytes >> 20);
    fsfm_arena arena = {.base = reader->memory, .limit_bytes = bytes};
    for (int64_t i = 0; i < reader->slot_count; i++) {
        layout_slot(&arena, plan, &reader->slots[i]);
        memset(reader->slots[i].bad, 0, (size_t)plan->batch_size * sizeof(fsfm_bad_node *));
    }
    return FSFM_OK;
}

/* The threads take no signals: those are for the thread that started the reader. */
static fsfm_status start_threads(fsfm_reader *reader, fsfm_error *err)
{
    sigset_t all, before;
    fsfm_status st = FSFM_OK;
    if (!(reader->threads = calloc((size_t)reader->plan.threads, sizeof *reader->threads)))
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %d reader threads", reader->plan.threads);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < reader->plan.threads && st == FSFM_OK; i++) {
        struct reader_thread *self = &reader->threads[i];
        self->reader = reader;
        if ((st = fsfm_row_maker_create(&reader->plan, &self->maker, err)) != FSFM_OK) break;
        const int code = pthread_create(&self->thread, NULL, run_thread, self);
        if (code != 0) {
            st = fsfm_fail(err, FSFM_ERR_MEMORY, "reader thread %d of %d did not start: %s", i + 1,
                           reader->plan.threads, strerror(code));
            fsfm_row_maker_free(&self->maker);
        } else
            reader->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return st;
}

static fsfm_status check_share(const fsfm_reader_plan *plan, fsfm_error *err)
{
    const int64_t whole = plan->held_out ? fsfm_sampler_held_out(plan->sampler) : plan->global_batch;
    const int64_t N = fsfm_sampler_epoch_samples(plan->sampler);
    if (plan->share_first < 0 || plan->share_count < 0 || plan->share_first + plan->share_count > whole)
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "reader: samples %" PRId64 " to %" PRId64 " asked for, there are %" PRId64,
                         plan->share_first, plan->share_first + plan->share_count, whole);
    if (plan->batch_size < 1 || (!plan->held_out && plan->share_count % plan->batch_size != 0))
        return fsfm_fail(err, FSFM_ERR_ARG, "reader: a share of %" PRId64 " samples in batches of %" PRId64,
                         plan->share_count, plan->batch_size);
    const int64_t batches = (plan->share_count + plan->batch_size - 1) / plan->batch_size;
    if (plan->first_batch < 0 || plan->end_batch < plan->first_batch ||
        (plan->held_out && plan->end_batch > batches))
        return fsfm_fail(err, FSFM_ERR_ARG, "reader: batches %" PRId64 " to %" PRId64 " asked for",
                         plan->first_batch, plan->end_batch);
    if (!plan->held_out && (plan->steps_per_epoch < 1 || plan->share_count < 1 ||
                            plan->steps_per_epoch > N / plan->global_batch))
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "reader: %" PRId64 " steps of %" PRId64 " samples an epoch, but it has %" PRId64
                         " samples",
                         plan->steps_per_epoch, plan->global_batch, N);
    return FSFM_OK;
}

static fsfm_status check_plan(const fsfm_reader_plan *plan, fsfm_error *err)
{
    if (plan->threads < 1 || plan->hold < 1)
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "reader: %d threads and %" PRId64 " batches held, expected 1 or more", plan->threads,
                         plan->hold);
    if (plan->patch < 1 || plan->size < plan->patch || plan->size % plan->patch != 0)
        return fsfm_fail(err, FSFM_ERR_ARG, "reader: images of %d pixels do not divide into patches of %d",
                         plan->size, plan->patch);
    for (int i = 0; i < plan->source_count; i++) {
        const int size = fsfm_dataset_describe(plan->sources[i])->kind.size;
        if (size != plan->size)
            return fsfm_fail(err, FSFM_ERR_ARG, "%s: images of %d pixels, expected %d",
                             fsfm_dataset_folder(plan->sources[i]), size, plan->size);
    }
    return check_share(plan, err);
}

fsfm_status fsfm_reader_open(const fsfm_reader_plan *plan, fsfm_reader **out, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    fsfm_reader *reader = NULL;
    *out = NULL;
    FSFM_TRY(check_plan(plan, err));
    if (!(reader = calloc(1, sizeof *reader)))
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a reader");
    reader->plan = *plan;
    reader->released = reader->given = reader->filling = plan->first_batch;
    reader->reported_end = &reader->reported;
    pthread_mutex_init(&reader->lock, NULL);
    pthread_cond_init(&reader->can_fill, NULL);
    pthread_cond_init(&reader->is_ready, NULL);
    if ((st = make_slots(reader, err)) == FSFM_OK) st = start_threads(reader, err);
    if (st != FSFM_OK) fsfm_reader_close(&reader);
    *out = reader;
    return st;
}

static void report_bad(fsfm_reader *reader, reader_slot *slot)
{
    for (int64_t row = 0; row < slot->rows; row++) {
        *reader->reported_end = slot->bad[row];
        slot->bad[row] = NULL;
        while (*reader->reported_end) reader->reported_end = &(*reader->reported_end)->next;
    }
}

/* A batch is begun when its first row was handed out; only then do the slot's counters speak of it. */
static bool is_ready(fsfm_reader *reader)
{
    const reader_slot *slot = slot_of(reader, reader->given);
    return reader->filling > reader->given && slot->done == slot->rows;
}

fsfm_status fsfm_reader_next(fsfm_reader *reader, fsfm_batch *out, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    *out = (fsfm_batch){.batch = reader->given};
    if (reader->given == reader->plan.end_batch) return FSFM_OK;
    pthread_mutex_lock(&reader->lock);
    FSFM_ASSERT(reader->given - reader->released < reader->slot_count);
    reader_slot *slot = slot_of(reader, reader->given);
    const double before_s = fsfm_clock_monotonic_s();
    while (!is_ready(reader)) pthread_cond_wait(&reader->is_ready, &reader->lock);
    reader->waited_s += fsfm_clock_monotonic_s() - before_s;
    if (slot->failed_row >= 0) {
        if (err) *err = slot->error;
        st = slot->error.status;
    } else {
        out->B = slot->rows;
        out->images = slot->images;
        out->mask = slot->mask;
        out->region = slot->region;
        out->target_mask = slot->target_mask;
        out->refs = slot->refs;
        report_bad(reader, slot);
        reader->given++;
    }
    pthread_mutex_unlock(&reader->lock);
    return st;
}

bool fsfm_reader_is_ready(fsfm_reader *reader)
{
    pthread_mutex_lock(&reader->lock);
    const bool ready = reader->given == reader->plan.end_batch || is_ready(reader);
    pthread_mutex_unlock(&reader->lock);
    return ready;
}

void fsfm_reader_release(fsfm_reader *reader)
{
    pthread_mutex_lock(&reader->lock);
    FSFM_ASSERT(reader->released < reader->given);
    reader->released++;
    pthread_cond_broadcast(&reader->can_fill);
    pthread_mutex_unlock(&reader->lock);
}

double fsfm_reader_waited_s(const fsfm_reader *reader)
{
    return reader->waited_s; /* written by next() alone, on the caller's thread */
}

int64_t fsfm_reader_take_bad(fsfm_reader *reader, fsfm_bad_sample *out, int64_t max)
{
    int64_t count = 0;
    for (; count < max && reader->reported; count++) {
        fsfm_bad_node *node = reader->reported;
        out[count] = node->bad;
        if (!(reader->reported = node->next)) reader->reported_end = &reader->reported;
        free(node);
    }
    return count;
}

void fsfm_reader_close(fsfm_reader **reader)
{
    fsfm_reader *self = *reader;
    if (!self) return;
    pthread_mutex_lock(&self->lock);
    self->closing = true;
    pthread_cond_broadcast(&self->can_fill);
    pthread_mutex_unlock(&self->lock);
    for (int i = 0; i < self->thread_count; i++) pthread_join(self->threads[i].thread, NULL);
    for (int i = 0; i < self->thread_count; i++) fsfm_row_maker_free(&self->threads[i].maker);
    if (self->memory && self->slots)
        for (int64_t i = 0; i < self->slot_count * self->plan.batch_size; i++)
            fsfm_bad_list_free(&self->slots[i / self->plan.batch_size].bad[i % self->plan.batch_size]);
    fsfm_bad_list_free(&self->reported);
    pthread_cond_destroy(&self->is_ready);
    pthread_cond_destroy(&self->can_fill);
    pthread_mutex_destroy(&self->lock);
    free(self->threads);
    free(self->memory);
    free(self->slots);
    free(self);
    *reader = NULL;
}
