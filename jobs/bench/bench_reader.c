/* SPDX-License-Identifier: Apache-2.0
 * jobs/bench/bench_reader.c - `fsfm bench reader`: how fast the reader makes batches of a dataset's images,
 * checksums compared and JPEG decoded, beside bare preads of the same bytes.
 *
 * The two take turns, so that what else the machine does hits both. A turn of the reader is timed from the
 * moment when every slot was filled once to the arrival of the turn's last batch; the bare turn reads all
 * that is stored of the same samples, in the same order, on as many threads, into buffers as large as the
 * slots. A turn that does not count comes first and brings the files into the page cache. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/median.h"
#include "core/base/thread_pool.h"
#include "io/reader.h"
#include "jobs/bench/bench.h"
#include "jobs/bench/bench_report.h"
#include "jobs/command.h"

enum { BATCH_MAX = 32, TURNS = 11, RING_MIB = 64 /* data.prefetch_mib's default */, CACHE_MIB = 4096 };

static const double turn_s = 0.1;

typedef struct {
    fsfm_dataset *dataset;
    fsfm_sampler *sampler;
    fsfm_reader_plan plan;
    int64_t ring, turn;                /* batches in the slots, batches that a turn times */
    int64_t images;                    /* of a turn */
    fsfm_stored_place *places;         /* (images) */
    uint64_t image_bytes, rest_bytes;  /* most that is stored of a sample: its image, the rest */
    double stored_bytes;               /* of a sample, on average */
    uint8_t *images_into;              /* (ring * batch_size, image_bytes) */
    uint8_t *rest_into;                /* (threads, rest_bytes) */
    fsfm_thread_pool *pool;            /* of the bare preads */
    fsfm_error *errors;                /* (threads) */
    double reader[TURNS], bare[TURNS]; /* images/s */
} bench;

/* Batches of the run in order: each is a step, so that epochs follow one another. */
static void make_plan(bench *b, int threads)
{
    const fsfm_dataset_card *card = fsfm_dataset_describe(b->dataset);
    const int64_t image_bytes = (int64_t)card->kind.size * card->kind.size * 3;
    const int64_t batch = card->count < BATCH_MAX ? card->count : BATCH_MAX;
    b->ring = ((int64_t)RING_MIB << 20) / (batch * image_bytes) + 1;
    b->plan = (fsfm_reader_plan){
        .sources = &b->dataset,
        .source_count = 1,
        .sampler = b->sampler,
        .size = card->kind.size,
        .patch = card->kind.size,
        .global_batch = batch,
        .steps_per_epoch = card->count / batch,
        .share_count = batch,
        .batch_size = batch,
        .threads = threads,
        .prefetch_bytes = (int64_t)RING_MIB << 20,
        .hold = 1,
    };
}

/* Runs the reader over ring + turn batches and times the last turn of them. refs: (images) of those, or NULL.
 */
static fsfm_status run_reader(bench *b, int64_t turn, fsfm_sample_ref *refs, double *images_per_s,
                              fsfm_error *err)
{
    fsfm_reader *reader = NULL;
    fsfm_batch batch;
    double began_s = 0;
    b->plan.end_batch = b->ring + turn;
    FSFM_TRY(fsfm_reader_open(&b->plan, &reader, err));
    fsfm_status st = FSFM_OK;
    for (int64_t i = 0; i < b->plan.end_batch && st == FSFM_OK; i++) {
        if (i == b->ring) began_s = fsfm_clock_monotonic_s();
        if ((st = fsfm_reader_next(reader, &batch, err)) != FSFM_OK) break;
        if (refs && i >= b->ring)
            memcpy(refs + (i - b->ring) * batch.B, batch.refs, (size_t)batch.B * sizeof *refs);
        fsfm_reader_release(reader);
    }
    *images_per_s = (double)(turn * b->plan.batch_size) / (fsfm_clock_monotonic_s() - began_s);
    fsfm_reader_close(&reader);
    return st;
}

/* How many batches take turn_s: of two runs the second counts, whose files are in the page cache. Many epochs
 * of a small dataset, or as much of a large one as the page cache can be trusted to hold. */
static fsfm_status choose_turn(bench *b, fsfm_error *err)
{
    const fsfm_reader_plan *plan = &b->plan;
    const int64_t image_bytes = (int64_t)plan->size * plan->size * 3;
    const int64_t most = ((int64_t)CACHE_MIB << 20) / (image_bytes * plan->batch_size) - b->ring;
    double rate = 0;
    for (int i = 0; i < 2; i++) FSFM_TRY(run_reader(b, b->ring, NULL, &rate, err));
    b->turn = (int64_t)(rate * turn_s) / plan->batch_size + 1;
    if (b->ring + b->turn > plan->steps_per_epoch && b->turn > most) b->turn = most;
    b->images = b->turn * plan->batch_size;
    return FSFM_OK;
}

/* The turn that does not count: what it read is what the bare turns read. */
static fsfm_status find_places(bench *b, fsfm_error *err)
{
    fsfm_sample_ref *refs = calloc((size_t)b->images, sizeof *refs);
    fsfm_status st = FSFM_OK;
    double stored = 0, rate = 0;
    b->places = calloc((size_t)b->images, sizeof *b->places);
    if (!refs || !b->places)
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the places of %" PRId64 " images", b->images);
    else
        st = run_reader(b, b->turn, refs, &rate, err);
    b->image_bytes = (uint64_t)b->plan.size * (uint64_t)b->plan.size * 3;
    for (int64_t i = 0; i < b->images && st == FSFM_OK; i++) {
        uint64_t rest = 0;
        st = fsfm_dataset_locate(b->dataset, refs[i].place.sample, &b->places[i], err);
        for (int p = 1; p < b->places[i].count; p++) rest += b->places[i].part[p].size_bytes;
        stored += (double)(b->places[i].part[0].size_bytes + rest);
        if (b->places[i].part[0].size_bytes > b->image_bytes)
            b->image_bytes = b->places[i].part[0].size_bytes;
        if (rest > b->rest_bytes) b->rest_bytes = rest;
    }
    b->stored_bytes = stored / (double)b->images;
    free(refs);
    return st;
}

static size_t aligned(uint64_t bytes)
{
    return (size_t)(bytes + FSFM_ARENA_ALIGN - 1) / FSFM_ARENA_ALIGN * FSFM_ARENA_ALIGN;
}

static fsfm_status prepare_bare(bench *b, fsfm_error *err)
{
    const size_t threads = (size_t)b->plan.threads;
    const size_t images = aligned((uint64_t)(b->ring * b->plan.batch_size) * b->image_bytes);
    b->rest_bytes = aligned(b->rest_bytes + 1);
    b->images_into = aligned_alloc(FSFM_ARENA_ALIGN, images);
    b->rest_into = aligned_alloc(FSFM_ARENA_ALIGN, threads * b->rest_bytes);
    b->errors = calloc(threads, sizeof *b->errors);
    if (!b->images_into || !b->rest_into || !b->errors)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %zu MiB of buffers", images >> 20);
    memset(b->images_into, 0, images); /* these pages are there before a turn begins, as those of the slots */
    return fsfm_thread_pool_start(b->plan.threads, &b->pool, err);
}

static fsfm_status read_place(const fsfm_stored_place *place, uint8_t *image, uint8_t *rest, fsfm_error *err)
{
    for (int p = 0; p < place->count; p++) {
        const size_t want = place->part[p].size_bytes;
        const ssize_t got = pread(place->fd, p ? rest : image, want, (off_t)place->part[p].offset);
        if (got != (ssize_t)want)
            return fsfm_fail(err, FSFM_ERR_IO, "a bare pread gave %zd of %zu bytes", got, want);
        if (p) rest += want;
    }
    return FSFM_OK;
}

static void read_share(void *context, int64_t share, int thread)
{
    bench *b = context;
    const int64_t buffers = b->ring * b->plan.batch_size;
    uint8_t *rest = b->rest_into + (uint64_t)share * b->rest_bytes;
    (void)thread;
    for (int64_t i = share; i < b->images && b->errors[share].status == FSFM_OK; i += b->plan.threads)
        (void)read_place(&b->places[i], b->images_into + (uint64_t)(i % buffers) * b->image_bytes, rest,
                         &b->errors[share]);
}

static fsfm_status run_bare(bench *b, double *images_per_s, fsfm_error *err)
{
    const double began_s = fsfm_clock_monotonic_s();
    fsfm_thread_pool_run(b->pool, b->plan.threads, read_share, b);
    *images_per_s = (double)b->images / (fsfm_clock_monotonic_s() - began_s);
    for (int t = 0; t < b->plan.threads; t++)
        if (b->errors[t].status != FSFM_OK) {
            *err = b->errors[t];
            return err->status;
        }
    return FSFM_OK;
}

static fsfm_status measure(bench *b, fsfm_error *err)
{
    FSFM_TRY(choose_turn(b, err));
    FSFM_TRY(find_places(b, err));
    FSFM_TRY(prepare_bare(b, err));
    for (int i = 0; i < TURNS; i++) {
        FSFM_TRY(run_reader(b, b->turn, NULL, &b->reader[i], err));
        FSFM_TRY(run_bare(b, &b->bare[i], err));
    }
    return FSFM_OK;
}

static void print_json(bench *b, const char *order, const char *encoding)
{
    const fsfm_dataset_card *card = fsfm_dataset_describe(b->dataset);
    fsfm_json json = {stdout, false};
    fsfm_json_object_begin(&json, NULL);
    fsfm_json_real(&json, "images_per_s", fsfm_median(b->reader, TURNS));
    fsfm_json_real(&json, "images_per_s_best", fsfm_bench_max(b->reader, TURNS));
    fsfm_json_real(&json, "pread_images_per_s", fsfm_median(b->bare, TURNS));
    fsfm_json_int(&json, "threads", b->plan.threads);
    fsfm_json_text(&json, "order", order);
    fsfm_json_text(&json, "encoding", encoding);
    fsfm_json_real(&json, "bytes_per_image", b->stored_bytes);
    fsfm_json_bool(&json, "checksums", true);
    fsfm_json_int(&json, "file_opens", fsfm_dataset_opens(b->dataset));
    fsfm_json_int(&json, "shards", card->shard_count);
    fsfm_json_int(&json, "samples", card->count);
    fsfm_json_int(&json, "turns", TURNS);
    fsfm_json_int(&json, "images_per_turn", b->images);
    fsfm_json_object_end(&json);
    putchar('\n');
}

static void print_table(bench *b, const char *order, const char *encoding)
{
    const fsfm_dataset_card *card = fsfm_dataset_describe(b->dataset);
    const int64_t opens = fsfm_dataset_opens(b->dataset);
    const double reader = fsfm_median(b->reader, TURNS), bare = fsfm_median(b->bare, TURNS);
    printf("%" PRId64 " samples of %d pixels, %s, %.0f bytes each; checksums compared\n", card->count,
           card->kind.size, encoding, b->stored_bytes);
    printf("%s order, %d thread%s; median of %d turns of %" PRId64 " images; %" PRId64 " file%s opened\n",
           order, b->plan.threads, b->plan.threads == 1 ? "" : "s", TURNS, b->images, opens,
           opens == 1 ? "" : "s");
    printf("reader      %9.0f images/s  (best %.0f)\n", reader, fsfm_bench_max(b->reader, TURNS));
    printf("bare pread  %9.0f images/s  %.2f GB/s; the reader gives %.2f of it\n", bare,
           bare * b->stored_bytes / 1e9, reader / bare);
}

static fsfm_status open_data(bench *b, const char *folder, bool in_order, fsfm_error *err)
{
    FSFM_TRY(fsfm_dataset_open(folder, &b->dataset, err));
    const fsfm_sampler_source source = {fsfm_dataset_describe(b->dataset)->count, 1.0};
    if (source.count < 1) return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: expected samples, found none", folder);
    FSFM_TRY(fsfm_sampler_create(&source, 1, 0, 0, &b->sampler, err));
    if (in_order) fsfm_sampler_keep_order(b->sampler);
    return FSFM_OK;
}

static void close_all(bench *b)
{
    fsfm_thread_pool_stop(&b->pool);
    fsfm_sampler_free(&b->sampler);
    fsfm_dataset_close(&b->dataset);
    free(b->places);
    free(b->images_into);
    free(b->rest_into);
    free(b->errors);
}

fsfm_status fsfm_bench_reader(int argc, char **argv, fsfm_error *err)
{
    static const char *const valued[] = {"--threads", "--order", NULL};
    static const char *const flags[] = {"--json", NULL};
    fsfm_arguments arguments;
    int64_t threads = 0;
    bench b = {0};
    FSFM_TRY(fsfm_arguments_parse(argc, argv, valued, flags, &arguments, err));
    FSFM_TRY(fsfm_arguments_int(&arguments, "--threads", 1, 1, 256, &threads, err));
    const char *order = fsfm_arguments_get(&arguments, "--order", "random");
    const bool in_order = strcmp(order, "sequential") == 0;
    if (!in_order && strcmp(order, "random") != 0)
        return fsfm_fail(err, FSFM_ERR_ARG, "--order: expected random or sequential, found '%.60s'", order);
    if (arguments.word_count != 1)
        return fsfm_fail(err, FSFM_ERR_ARG, "bench reader: expected one DATASET, found %d words",
                         arguments.word_count);
    fsfm_status st = open_data(&b, arguments.words[0], in_order, err);
    if (st == FSFM_OK) {
        make_plan(&b, (int)threads);
        st = measure(&b, err);
    }
    if (st == FSFM_OK) {
        const bool is_raw = fsfm_dataset_describe(b.dataset)->kind.encoding == FSFM_ENCODING_RAW;
        const bool as_json = fsfm_arguments_has(&arguments, "--json");
        (as_json ? print_json : print_table)(&b, order, is_raw ? "raw" : "jpeg");
    }
    close_all(&b);
    return st;
}
