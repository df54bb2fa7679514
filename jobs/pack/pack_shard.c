/* SPDX-License-Identifier: Apache-2.0
 * One shard: threads decode a batch of samples, then they are added in order. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/pack/pack.h"

enum { BATCH_PER_THREAD = 8 };

typedef struct {
    const pack_plan *plan;
    int64_t first; /* source of products[0] */
    pack_product *products;
    fsfm_status *status; /* of each product */
    fsfm_error *errors;
} batch;

static void do_piece(void *context, int64_t piece, int thread)
{
    batch *b = context;
    (void)thread;
    b->status[piece] = pack_sample(b->plan, &b->plan->list.sources[b->first + piece], &b->products[piece],
                                   &b->errors[piece]);
}

/* A shard in the making. */
typedef struct {
    fsfm_shard_writer *writer;
    fsfm_pixel_sums sums;
    char **quarantine; /* owned; room for every sample */
    int64_t quarantine_count;
} work;

static fsfm_status quarantine(work *w, const char *path, const char *reason, fsfm_error *err)
{
    char *line = NULL;
    if (asprintf(&line, "%s: %s", path, reason) < 0)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a line");
    /* A decoder's words may hold a line break; the list has one line a file. */
    for (char *at = line; *at; at++)
        if (*at == '\n' || *at == '\r') *at = ' ';
    w->quarantine[w->quarantine_count++] = line;
    return FSFM_OK;
}

static fsfm_status add_product(const pack_plan *plan, const pack_source *source, const pack_product *product,
                               work *w, fsfm_error *err)
{
    char id[PACK_PATH_SIZE];
    const char *path = pack_text(&plan->list, source->path);
    if (product->reason) return quarantine(w, path, product->reason, err);
    snprintf(id, sizeof id, "%.*s", (int)source->id_length, path);
    const fsfm_shard_sample sample = {.id = id,
                                      .image = product->image,
                                      .image_bytes = product->image_bytes,
                                      .regions_p16 = product->regions_p16,
                                      .regions_p14 = product->regions_p14,
                                      .map_deflated = product->map_deflated,
                                      .map_bytes = product->map_bytes,
                                      .label = source->label,
                                      .group = pack_text(&plan->list, source->group),
                                      .domain = pack_text(&plan->list, source->domain),
                                      .frame = source->frame};
    FSFM_TRY(fsfm_shard_writer_add(w->writer, &sample, err));
    w->sums.pixels += product->sums.pixels;
    for (int c = 0; c < 3; c++) {
        w->sums.sum[c] += product->sums.sum[c];
        w->sums.sum_of_squares[c] += product->sums.sum_of_squares[c];
    }
    return FSFM_OK;
}

static fsfm_status do_batch(const pack_plan *plan, batch *b, int64_t count, fsfm_thread_pool *pool, work *w,
                            fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    fsfm_thread_pool_run(pool, count, do_piece, b);
    for (int64_t i = 0; i < count; i++) {
        if (st == FSFM_OK && b->status[i] != FSFM_OK) {
            st = b->status[i];
            if (err) *err = b->errors[i];
        }
        if (st == FSFM_OK) st = add_product(plan, &plan->list.sources[b->first + i], &b->products[i], w, err);
        pack_product_free(&b->products[i]);
    }
    return st;
}

static fsfm_status do_samples(const pack_plan *plan, const pack_shard *shard, fsfm_thread_pool *pool, work *w,
                              pack_progress_fn progress, void *context, fsfm_error *err)
{
    const int64_t room = (int64_t)fsfm_thread_pool_size(pool) * BATCH_PER_THREAD;
    batch b = {plan, shard->first, calloc((size_t)room, sizeof *b.products),
               calloc((size_t)room, sizeof *b.status), calloc((size_t)room, sizeof *b.errors)};
    fsfm_status st = FSFM_OK;
    if (!b.products || !b.status || !b.errors) st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a batch");
    for (int64_t done = 0; st == FSFM_OK && done < shard->count; done += room) {
        const int64_t count = shard->count - done < room ? shard->count - done : room;
        b.first = shard->first + done;
        st = do_batch(plan, &b, count, pool, w, err);
        if (progress) progress(context, count);
    }
    free(b.products);
    free(b.status);
    free(b.errors);
    return st;
}

fsfm_status pack_one_shard(const pack_plan *plan, int64_t number, fsfm_thread_pool *pool,
                           pack_progress_fn progress, void *context, fsfm_error *err)
{
    const pack_shard *shard = &plan->shards[number];
    char path[PACK_PATH_SIZE];
    work w = {0};
    FSFM_TRY(pack_shard_path(plan->options, number, path, err));
    w.quarantine = calloc((size_t)shard->count + 1, sizeof *w.quarantine);
    fsfm_status st = w.quarantine ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a shard's list");
    if (st == FSFM_OK) st = fsfm_shard_writer_open(path, &plan->kind, shard->count, &w.writer, err);
    if (st == FSFM_OK) st = do_samples(plan, shard, pool, &w, progress, context, err);
    if (st == FSFM_OK)
        st = fsfm_shard_writer_finish(&w.writer, &w.sums, shard->plan_xxh3, (const char *const *)w.quarantine,
                                      w.quarantine_count, err);
    fsfm_shard_writer_abandon(&w.writer);
    for (int64_t i = 0; i < w.quarantine_count; i++) free(w.quarantine[i]);
    free(w.quarantine);
    return st;
}
