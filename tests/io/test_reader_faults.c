/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/reader.h"
#include "tests/support/check.h"
#include "tests/support/small_dataset.h"

enum { SIZE = 112, PIXELS = SIZE * SIZE, PATCHES = 49, N = 100, B = 5 };

typedef struct {
    small_dataset plan;
    char folder[256];
    fsfm_dataset *dataset;
    fsfm_sampler *sampler;
} fixture;

static void open_shards(fixture *f, fsfm_encoding encoding, double eval_share, int64_t per_shard)
{
    fsfm_error err;
    f->plan = (small_dataset){
        .count = N, .per_shard = per_shard, .size = SIZE, .encoding = encoding, .has_regions = true};
    make_folder(f->folder);
    small_dataset_write(&f->plan, f->folder);
    assert_ok(fsfm_dataset_open(f->folder, &f->dataset, &err), &err);
    const fsfm_sampler_source source = {N, 1};
    assert_ok(fsfm_sampler_create(&source, 1, 5, eval_share, &f->sampler, &err), &err);
}

static void open_fixture(fixture *f, fsfm_encoding encoding, double eval_share)
{
    open_shards(f, encoding, eval_share, 25);
}

static void close_fixture(fixture *f)
{
    fsfm_sampler_free(&f->sampler);
    fsfm_dataset_close(&f->dataset);
    remove_folder(f->folder);
}

static void mark_sample(void *context, const fsfm_sample_ref *ref, const uint16_t *bits, const uint8_t *map,
                        uint8_t *mask, uint8_t *region, uint8_t *target_mask)
{
    (void)context, (void)map, (void)target_mask;
    memset(mask, (int)ref->place.sample, PATCHES);
    for (int p = 0; p < PATCHES; p++) region[p] = (uint8_t)bits[p];
}

/* All samples in index order. */
static fsfm_reader_plan in_order(fixture *f, int threads)
{
    return (fsfm_reader_plan){
        .sources = &f->dataset,
        .source_count = 1,
        .sampler = f->sampler,
        .held_out = true,
        .seed = 5,
        .size = SIZE,
        .patch = 16,
        .draw_masks = mark_sample,
        .share_count = N,
        .batch_size = B,
        .end_batch = N / B,
        .threads = threads,
        .prefetch_bytes = 1 << 20,
        .hold = 1,
    };
}

static fsfm_reader *open_reader(const fsfm_reader_plan *plan)
{
    fsfm_reader *reader = NULL;
    fsfm_error err;
    assert_ok(fsfm_reader_open(plan, &reader, &err), &err);
    return reader;
}

/* Sample 2 stands for 0, 1 and 99 (behind the last comes the first), 52 for 48 to 51. */
static void damaged_samples_are_replaced_and_reported(void **state)
{
    (void)state;
    const int64_t damaged[] = {0, 1, 48, 49, 50, 51, 99};
    static uint8_t want[PIXELS * 3];
    for (int round = 0; round < 6; round++) {
        fixture f;
        open_fixture(&f, (fsfm_encoding)(round % 2), 1.0);
        for (size_t i = 0; i < 7; i++) small_dataset_damage(&f.plan, f.folder, damaged[i]);
        const fsfm_reader_plan plan = in_order(&f, 1 + round);
        fsfm_reader *reader = open_reader(&plan);
        fsfm_batch batch;
        fsfm_error err;
        /* Row by row, what was met on the way: 0 1 | 1 | 48..51 | 49..51 | 50 51 | 51 | 99 0 1 */
        const int64_t reports[] = {0, 1, 1, 48, 49, 50, 51, 49, 50, 51, 50, 51, 51, 99, 0, 1};
        size_t reported = 0;
        for (int64_t b = 0; b < N / B; b++) {
            fsfm_bad_sample bad[3];
            assert_ok(fsfm_reader_next(reader, &batch, &err), &err);
            for (int64_t row = 0; row < B; row++) {
                const int64_t asked = b * B + row;
                const int64_t got = asked < 2 || asked == 99 ? 2 : asked >= 48 && asked <= 51 ? 52 : asked;
                assert_int_equal(batch.refs[row].place.sample, got);
                assert_int_equal(batch.refs[row].position, asked);
                assert_int_equal(batch.mask[row * PATCHES + 7], got);
                small_dataset_image(&f.plan, got, want);
                assert_memory_equal(batch.images + row * PIXELS * 3, want, sizeof want);
            }
            for (int64_t count; (count = fsfm_reader_take_bad(reader, bad, 3)) > 0;)
                for (int64_t i = 0; i < count; i++) {
                    assert_int_equal(bad[i].sample, reports[reported++]);
                    assert_int_equal(bad[i].source, 0);
                    assert_non_null(
                        strstr(bad[i].message, bad[i].sample < 25 ? "shard-00000" : "shard-0000"));
                }
            assert_int_equal(reported, b < 9 ? 3 : b == 9 ? 10 : b < 19 ? 13 : 16);
            fsfm_reader_release(reader);
        }
        fsfm_reader_close(&reader);
        close_fixture(&f);
    }
}

static void a_run_of_damage_ends_the_reader(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, FSFM_ENCODING_RAW, 1.0);
    for (int64_t i = 10; i < 10 + 65; i++) small_dataset_damage(&f.plan, f.folder, i);
    const fsfm_reader_plan plan = in_order(&f, 3);
    fsfm_reader *reader = open_reader(&plan);
    fsfm_batch batch;
    fsfm_error err;
    for (int b = 0; b < 2; b++) {
        assert_ok(fsfm_reader_next(reader, &batch, &err), &err);
        fsfm_reader_release(reader);
    }
    for (int again = 0; again < 2; again++)
        assert_fails(fsfm_reader_next(reader, &batch, &err), FSFM_ERR_FORMAT, &err,
                     "65 samples in a row are damaged");
    assert_int_equal(batch.B, 0);
    fsfm_reader_close(&reader);
    close_fixture(&f);
}

/* The shard of samples 50 to 74 is gone: the batches before it are good, its first row's error comes out. */
static void a_missing_shard_ends_the_reader(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        fixture f;
        char path[300];
        open_fixture(&f, FSFM_ENCODING_RAW, 1.0);
        snprintf(path, sizeof path, "%s/shard-00002.h5", f.folder);
        assert_int_equal(unlink(path), 0);
        fsfm_reader_plan plan = in_order(&f, threads);
        plan.batch_size = 4;
        plan.end_batch = 25;
        fsfm_reader *reader = open_reader(&plan);
        fsfm_batch batch;
        fsfm_error err;
        for (int b = 0; b < 12; b++) {
            assert_ok(fsfm_reader_next(reader, &batch, &err), &err);
            fsfm_reader_release(reader);
        }
        const fsfm_status st = fsfm_reader_next(reader, &batch, &err);
        assert_fails(st, FSFM_ERR_IO, &err, "shard-00002.h5");
        fsfm_reader_close(&reader);
        close_fixture(&f);
    }
}

/* Four threads meet four missing shards at about the same time. */
static void the_lowest_row_tells_the_error(void **state)
{
    (void)state;
    fixture f;
    open_shards(&f, FSFM_ENCODING_RAW, 1.0, 1);
    for (int shard = 10; shard < 14; shard++) {
        char path[300];
        snprintf(path, sizeof path, "%s/shard-%05d.h5", f.folder, shard);
        assert_int_equal(unlink(path), 0);
    }
    for (int i = 0; i < 50; i++) {
        fsfm_reader_plan plan = in_order(&f, 4);
        plan.batch_size = 20;
        plan.end_batch = 5;
        fsfm_reader *reader = open_reader(&plan);
        fsfm_batch batch;
        fsfm_error err;
        assert_fails(fsfm_reader_next(reader, &batch, &err), FSFM_ERR_IO, &err, "shard-00010.h5");
        fsfm_reader_close(&reader);
    }
    close_fixture(&f);
}

/* A training sample is never replaced by a held-out one. */
static void replacements_stay_in_training(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, FSFM_ENCODING_RAW, 0.5);
    bool held[N] = {false};
    for (int64_t i = 0; i < fsfm_sampler_held_out(f.sampler); i++)
        held[fsfm_sampler_held_out_place(f.sampler, i).sample] = true;
    for (int64_t i = 0; i < N; i += 3) small_dataset_damage(&f.plan, f.folder, i);
    fsfm_reader_plan plan = in_order(&f, 2);
    plan.held_out = false;
    plan.global_batch = plan.share_count = plan.batch_size = B;
    plan.steps_per_epoch = fsfm_sampler_epoch_samples(f.sampler) / B;
    plan.end_batch = plan.steps_per_epoch;
    fsfm_reader *reader = open_reader(&plan);
    fsfm_batch batch;
    fsfm_error err;
    for (int64_t b = 0; b < plan.end_batch; b++) {
        assert_ok(fsfm_reader_next(reader, &batch, &err), &err);
        for (int64_t row = 0; row < B; row++) {
            assert_false(held[batch.refs[row].place.sample]);
            assert_true(batch.refs[row].place.sample % 3 != 0);
        }
        fsfm_reader_release(reader);
    }
    fsfm_reader_close(&reader); /* with reports that nobody took */
    close_fixture(&f);
}

static void wrong_plans_are_refused(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, FSFM_ENCODING_RAW, 0);
    fsfm_reader_plan good = in_order(&f, 1);
    good.held_out = false;
    good.global_batch = good.share_count = good.batch_size = 12;
    good.steps_per_epoch = 8;
    fsfm_reader *reader = NULL;
    fsfm_error err;
    fsfm_reader_plan plan = good;
    plan.size = 224;
    assert_fails(fsfm_reader_open(&plan, &reader, &err), FSFM_ERR_ARG, &err,
                 "images of 112 pixels, expected 224");
    plan = good;
    plan.patch = 15;
    assert_fails(fsfm_reader_open(&plan, &reader, &err), FSFM_ERR_ARG, &err, "patches of 15");
    plan = good;
    plan.steps_per_epoch = 9;
    assert_fails(fsfm_reader_open(&plan, &reader, &err), FSFM_ERR_ARG, &err, "it has 100 samples");
    plan = good;
    plan.batch_size = 5;
    assert_fails(fsfm_reader_open(&plan, &reader, &err), FSFM_ERR_ARG, &err,
                 "share of 12 samples in batches of 5");
    plan = good;
    plan.share_first = 1;
    assert_fails(fsfm_reader_open(&plan, &reader, &err), FSFM_ERR_ARG, &err, "there are 12");
    plan = good;
    plan.threads = 0;
    assert_fails(fsfm_reader_open(&plan, &reader, &err), FSFM_ERR_ARG, &err, "0 threads");
    assert_null(reader);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_samples_are_replaced_and_reported),
        cmocka_unit_test(a_run_of_damage_ends_the_reader),
        cmocka_unit_test(a_missing_shard_ends_the_reader),
        cmocka_unit_test(the_lowest_row_tells_the_error),
        cmocka_unit_test(replacements_stay_in_training),
        cmocka_unit_test(wrong_plans_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
