/* SPDX-License-Identifier: Apache-2.0
 * Datasets: dataset.yaml comes back as it was, samples are found across shards, what does not fit is refused
 * by name. */
#include <math.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/thread_pool.h"
#include "io/dataset.h"
#include "io/file.h"
#include "tests/io/shard_fixture.h"

enum { SHARDS = 4, TOTAL = 9 };
static const int64_t counts[SHARDS] = {4, 0, 2, 3};

typedef struct {
    char folder[256];
} state;

/* Four shards, one of them empty, and their card. */
static int setup(void **context)
{
    state *s = calloc(1, sizeof *s);
    fsfm_error err;
    fsfm_dataset_shard shards[SHARDS];
    char *quarantine[] = {"a/b.png: truncated: at byte 5", "odd \"name\".jpg: map missing"};
    fsfm_dataset_card card = {fixture_kind(FSFM_ENCODING_RAW, true, false),
                              TOTAL,
                              {0.1, 1.0 / 3, 0.5},
                              {0.2, 0.25, 0.3},
                              shards,
                              SHARDS,
                              quarantine,
                              2,
                              0};
    strcpy(card.kind.label_scheme, "lapa11");
    make_folder(s->folder);
    for (int64_t i = 0, first = 0; i < SHARDS; first += counts[i], i++) {
        char path[700];
        snprintf(shards[i].file, sizeof shards[i].file, "shard-%05d.h5", (int)i);
        snprintf(path, sizeof path, "%s/%s", s->folder, shards[i].file);
        shards[i].count = counts[i];
        fixture_write(path, fixture_kind(FSFM_ENCODING_RAW, true, false), first, counts[i]);
        assert_ok(fsfm_shard_checksum(path, &shards[i].xxh3, &err), &err);
    }
    assert_ok(fsfm_dataset_card_write(s->folder, &card, &err), &err);
    *context = s;
    return 0;
}

static int teardown(void **context)
{
    state *s = *context;
    remove_folder(s->folder);
    free(s);
    return 0;
}

static void test_statistics(void **context)
{
    (void)context;
    double mean[3], std[3];
    const fsfm_pixel_sums sums = {4, {0 + 10 + 20 + 30, 255 * 4, 0}, {100 + 400 + 900, 65025 * 4, 0}};
    fsfm_dataset_statistics(&sums, mean, std);
    assert_true(fabs(mean[0] - 15.0 / 255) < 1e-15 && fabs(std[0] - sqrt(125.0) / 255) < 1e-15);
    assert_true(mean[1] == 1.0 && std[1] == 0.0 && mean[2] == 0.0);
    /* 5e9 images: sums near 2^64 keep their precision. */
    const uint64_t n = 250000000000000ull;
    const fsfm_pixel_sums large = {n, {n * 200, n * 200, n * 200}, {n * 40001, n * 40001, n * 40001}};
    fsfm_dataset_statistics(&large, mean, std);
    assert_true(fabs(std[2] - 1.0 / 255) < 1e-9);
}

static void test_the_card_comes_back(void **context)
{
    const state *s = *context;
    fsfm_error err;
    fsfm_dataset_card card;
    assert_ok(fsfm_dataset_card_read(s->folder, &card, &err), &err);
    assert_int_equal(card.count, TOTAL);
    assert_int_equal(card.kind.size, FIXTURE_SIZE);
    assert_true(card.kind.has_regions && !card.kind.has_labels);
    assert_string_equal(card.kind.label_scheme, "lapa11");
    assert_true(card.mean[1] == 1.0 / 3 && card.std[2] == 0.3);
    assert_int_equal(card.shard_count, SHARDS);
    assert_int_equal(card.shards[3].count, 3);
    assert_int_equal(card.quarantine_count, 2);
    assert_string_equal(card.quarantine[0], "a/b.png: truncated: at byte 5");
    assert_string_equal(card.quarantine[1], "odd \"name\".jpg: map missing");
    assert_int_not_equal(card.xxh3, 0);
    fsfm_dataset_card_free(&card);
}

static void edit_card(const state *s, const char *old, const char *new)
{
    char path[700];
    fsfm_error err;
    uint8_t *text;
    size_t bytes;
    snprintf(path, sizeof path, "%s/dataset.yaml", s->folder);
    assert_ok(fsfm_file_read(path, &text, &bytes, &err), &err);
    char *at = strstr((char *)text, old);
    assert_non_null(at);
    FILE *file = fopen(path, "wb");
    fprintf(file, "%.*s%s%s", (int)(at - (char *)text), (char *)text, new, at + strlen(old));
    assert_int_equal(fclose(file), 0);
    free(text);
}

static void test_a_changed_card_is_refused(void **context)
{
    const state *s = *context;
    static const char *const edits[][3] = {
        {"count: 9", "count: 8", "its shards have 9"},
        {"fsfm-dataset-1", "fsfm-dataset-2", "has format 'fsfm-dataset-2'"},
        {"encoding: raw", "encoding: png", "encoding: expected raw or jpeg"},
        {"mean: [0.1", "mean: [0.15", "checksum"},
        {"has_labels: false", "has_labels: true", "checksum"},
        {"size: 112\n", "", "size is missing"},
        {"file: shard-00002.h5", "file: ../x.h5", "a file in this folder"},
        {"shards:\n", "shards: [", "dataset.yaml"},
    };
    for (size_t e = 0; e < sizeof edits / sizeof *edits; e++) {
        fsfm_error err;
        fsfm_dataset_card card;
        state copy = *s;
        void *fresh = &copy;
        assert_int_equal(setup(&fresh), 0);
        edit_card(fresh, edits[e][0], edits[e][1]);
        assert_fails(fsfm_dataset_card_read(((state *)fresh)->folder, &card, &err), FSFM_ERR_FORMAT, &err,
                     edits[e][2]);
        teardown(&fresh);
    }
}

typedef struct {
    fsfm_dataset *dataset;
    _Atomic int failures;
} shared_read;

static void read_one(void *context, int64_t piece, int thread)
{
    (void)thread;
    shared_read *shared = context;
    fsfm_error err;
    fsfm_stored_sample got = {0};
    fixture_sample *f = malloc(sizeof *f);
    fixture_fill(f, FSFM_ENCODING_RAW, piece % TOTAL);
    if (fsfm_dataset_read(shared->dataset, piece % TOTAL, NULL, &got, &err) != FSFM_OK ||
        memcmp(got.image, f->image, sizeof f->image) != 0 ||
        memcmp(got.regions_p14, f->p14, sizeof f->p14) != 0)
        shared->failures++;
    fsfm_stored_sample_free(&got);
    free(f);
}

static void test_samples_are_found_across_shards_by_threads(void **context)
{
    const state *s = *context;
    fsfm_error err;
    fsfm_thread_pool *pool;
    shared_read shared = {0};
    char *id;
    assert_ok(fsfm_dataset_open(s->folder, &shared.dataset, &err), &err);
    assert_int_equal(fsfm_dataset_opens(shared.dataset), 0);
    assert_ok(fsfm_thread_pool_start(4, &pool, &err), &err);
    fsfm_thread_pool_run(pool, 200, read_one, &shared);
    fsfm_thread_pool_stop(&pool);
    assert_int_equal(shared.failures, 0);
    assert_int_equal(fsfm_dataset_opens(shared.dataset), 3); /* nobody wanted the empty one */
    assert_ok(fsfm_dataset_check_shards(shared.dataset, 0, 1, &err), &err);
    assert_int_equal(fsfm_dataset_opens(shared.dataset), 4);
    assert_ok(fsfm_dataset_id(shared.dataset, 6, &id, &err), &err);
    assert_string_equal(id, "person02/face_0006");
    free(id);
    fsfm_stored_sample sample = {0};
    assert_fails(fsfm_dataset_read(shared.dataset, TOTAL, NULL, &sample, &err), FSFM_ERR_ARG, &err,
                 "does not exist");
    fsfm_dataset_close(&shared.dataset);
    assert_null(shared.dataset);
}

/* Shards that were opened to be checked still get their tables when their first sample is read. */
static void test_checked_shards_are_read_by_threads(void **context)
{
    const state *s = *context;
    fsfm_error err;
    fsfm_thread_pool *pool;
    shared_read shared = {0};
    assert_ok(fsfm_dataset_open(s->folder, &shared.dataset, &err), &err);
    assert_ok(fsfm_dataset_check_shards(shared.dataset, 0, 1, &err), &err);
    assert_ok(fsfm_thread_pool_start(4, &pool, &err), &err);
    fsfm_thread_pool_run(pool, 200, read_one, &shared);
    fsfm_thread_pool_stop(&pool);
    assert_int_equal(shared.failures, 0);
    assert_int_equal(fsfm_dataset_opens(shared.dataset), SHARDS);
    fsfm_dataset_close(&shared.dataset);
}

/* The bytes at a sample's place are those that reading it gives: its image, then what its masks are drawn
 * from. */
static void test_places_hold_what_is_read(void **context)
{
    const state *s = *context;
    fsfm_error err;
    fsfm_dataset *dataset;
    fsfm_stored_sample sample = {0};
    fsfm_stored_place place;
    assert_ok(fsfm_dataset_open(s->folder, &dataset, &err), &err);
    for (int64_t i = 0; i < TOTAL; i++) {
        uint8_t bytes[FIXTURE_SIZE * FIXTURE_SIZE * 4];
        uint64_t at = 0;
        assert_ok(fsfm_dataset_read(dataset, i, NULL, &sample, &err), &err);
        assert_ok(fsfm_dataset_locate(dataset, i, &place, &err), &err);
        assert_int_equal(place.part[0].size_bytes, sample.image_bytes);
        for (int p = 0; p < place.count; at += place.part[p++].size_bytes) {
            assert_true(at + place.part[p].size_bytes <= sizeof bytes);
            assert_int_equal(
                pread(place.fd, bytes + at, place.part[p].size_bytes, (off_t)place.part[p].offset),
                place.part[p].size_bytes);
        }
        assert_int_equal(at, sample.image_bytes + sample.meta_bytes);
        assert_memory_equal(bytes, sample.image, sample.image_bytes);
        assert_memory_equal(bytes + sample.image_bytes, sample.meta, sample.meta_bytes);
    }
    assert_fails(fsfm_dataset_locate(dataset, TOTAL, &place, &err), FSFM_ERR_ARG, &err, "does not exist");
    fsfm_stored_sample_free(&sample);
    fsfm_dataset_close(&dataset);
}

static void test_bad_shards_are_named(void **context)
{
    const state *s = *context;
    fsfm_error err;
    fsfm_dataset *dataset;
    fsfm_stored_sample sample = {0};
    char path[700];
    assert_ok(fsfm_dataset_open(s->folder, &dataset, &err), &err);
    snprintf(path, sizeof path, "%s/shard-00002.h5", s->folder);
    fixture_write(path, fixture_kind(FSFM_ENCODING_RAW, true, false), 0, 1);
    assert_fails(fsfm_dataset_read(dataset, 4, NULL, &sample, &err), FSFM_ERR_FORMAT, &err,
                 "shard-00002.h5: has 1 samples, dataset.yaml says 2");
    fixture_write(path, fixture_kind(FSFM_ENCODING_JPEG, true, false), 4, 2);
    assert_fails(fsfm_dataset_check_shards(dataset, 2, 4, &err), FSFM_ERR_FORMAT, &err, "another kind");
    unlink(path);
    assert_fails(fsfm_dataset_check_shards(dataset, 0, 2, &err), FSFM_ERR_IO, &err, "shard-00002.h5");
    assert_ok(fsfm_dataset_read(dataset, 8, NULL, &sample, &err), &err);
    fsfm_stored_sample_free(&sample);
    fsfm_dataset_close(&dataset);
    assert_fails(fsfm_dataset_open("/nowhere", &dataset, &err), FSFM_ERR_IO, &err, "dataset.yaml is missing");
    assert_null(dataset);
}

static void test_too_many_open_files_is_said(void **context)
{
    const state *s = *context;
    fsfm_error err;
    fsfm_dataset *dataset;
    struct rlimit old, low;
    assert_ok(fsfm_dataset_open(s->folder, &dataset, &err), &err);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    const fsfm_status st = fsfm_dataset_check_shards(dataset, 0, 1, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_fails(st, FSFM_ERR_IO, &err, "too many open files");
    assert_ok(fsfm_dataset_check_shards(dataset, 0, 1, &err), &err);
    fsfm_dataset_close(&dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics),
        cmocka_unit_test_setup_teardown(test_the_card_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_changed_card_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_samples_are_found_across_shards_by_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_checked_shards_are_read_by_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_places_hold_what_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_shards_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_open_files_is_said, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
