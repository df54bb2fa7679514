/* SPDX-License-Identifier: Apache-2.0 */
#include "io/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mask/regions.h"
#include "io/augment.h"
#include "io/image.h"
#include "tests/support/check.h"
#include "tests/support/small_dataset.h"

enum { SIZE = 112, PIXELS = SIZE * SIZE, PATCHES_MAX = 256, N = 50, GLOBAL = 12, STEPS_PER_EPOCH = 4 };

/* A dataset in a folder of its own, and all that a plan borrows. */
typedef struct {
    small_dataset plan;
    char folder[256];
    fsfm_dataset *dataset;
    fsfm_sampler *sampler;
} fixture;

static void open_fixture(fixture *f, fsfm_encoding encoding, bool has_regions, double eval_share)
{
    fsfm_error err;
    f->plan = (small_dataset){
        .count = N, .per_shard = 20, .size = SIZE, .encoding = encoding, .has_regions = has_regions};
    make_folder(f->folder);
    small_dataset_write(&f->plan, f->folder);
    assert_ok(fsfm_dataset_open(f->folder, &f->dataset, &err), &err);
    const fsfm_sampler_source source = {N, 1};
    assert_ok(fsfm_sampler_create(&source, 1, 77, eval_share, &f->sampler, &err), &err);
}

static void close_fixture(fixture *f)
{
    fsfm_sampler_free(&f->sampler);
    fsfm_dataset_close(&f->dataset);
    remove_folder(f->folder);
}

/* Not masks, but all that masks could be made of: whatever the callback gets shows in the batch. */
static void copy_bits(void *context, const fsfm_sample_ref *ref, const uint16_t *bits, const uint8_t *map,
                      uint8_t *mask, uint8_t *region, uint8_t *target_mask)
{
    const int patch = *(const int *)context, patches = (SIZE / patch) * (SIZE / patch);
    uint16_t from_map[PATCHES_MAX] = {0};
    if (map) fsfm_regions_from_map(map, SIZE, patch, 0, from_map);
    if (!bits) bits = from_map;
    for (int p = 0; p < patches; p++) {
        mask[p] = (uint8_t)bits[p];
        region[p] = (uint8_t)(bits[p] >> 8);
        if (target_mask) target_mask[p] = (uint8_t)(ref->place.sample + p + ref->place.pass);
    }
}

static int patch_16 = 16, patch_14 = 14, patch_8 = 8;

static fsfm_reader_plan whole_plan(fixture *f, fsfm_view view)
{
    return (fsfm_reader_plan){
        .sources = &f->dataset,
        .source_count = 1,
        .sampler = f->sampler,
        .seed = 77,
        .size = SIZE,
        .patch = 16,
        .view = view,
        .wants_target_mask = true,
        .draw_masks = f->plan.has_regions ? copy_bits : NULL,
        .draw_context = &patch_16,
        .global_batch = GLOBAL,
        .steps_per_epoch = STEPS_PER_EPOCH,
        .share_count = GLOBAL,
        .batch_size = GLOBAL,
        .end_batch = 2 * STEPS_PER_EPOCH,
        .threads = 2,
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

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    const uint8_t *next = bytes;
    for (; count >= 8; count -= 8, next += 8) {
        uint64_t word;
        memcpy(&word, next, 8);
        hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 29;
    }
    for (; count > 0; count--, next++) hash = (hash ^ *next) * 0x100000001b3u;
    return hash;
}

static uint64_t hash_row(const fsfm_reader_plan *plan, const fsfm_batch *batch, int64_t row)
{
    const size_t patches = (size_t)((plan->size / plan->patch) * (plan->size / plan->patch));
    const fsfm_sample_ref *ref = &batch->refs[row];
    const int64_t numbers[] = {ref->place.source, ref->place.pass, ref->place.sample, ref->step,
                               ref->position};
    uint64_t hash = hash_bytes(0xcbf29ce484222325u, batch->images + row * PIXELS * 3, (size_t)PIXELS * 3);
    hash = hash_bytes(hash, numbers, sizeof numbers);
    if (!batch->mask) return hash;
    hash = hash_bytes(hash, batch->mask + (size_t)row * patches, patches);
    hash = hash_bytes(hash, batch->region + (size_t)row * patches, patches);
    if (batch->target_mask) hash = hash_bytes(hash, batch->target_mask + (size_t)row * patches, patches);
    return hash;
}

/* Reads everything that plan asks for; the hash of each row goes to its place in the run. Returns rows read.
 */
static int64_t read_all(const fsfm_reader_plan *plan, uint64_t *hashes)
{
    fsfm_reader *reader = open_reader(plan);
    fsfm_batch batch;
    fsfm_error err;
    int64_t rows = 0;
    for (int64_t b = plan->first_batch;; b++) {
        assert_ok(fsfm_reader_next(reader, &batch, &err), &err);
        assert_int_equal(batch.batch, b);
        if (batch.B == 0) break;
        for (int64_t row = 0; row < batch.B; row++, rows++)
            hashes[batch.refs[row].step * plan->global_batch + batch.refs[row].position] =
                hash_row(plan, &batch, row);
        fsfm_reader_release(reader);
    }
    assert_int_equal(batch.batch, plan->end_batch);
    assert_true(fsfm_reader_waited_s(reader) >= 0);
    fsfm_reader_close(&reader);
    assert_null(reader);
    return rows;
}

enum { ROWS = 2 * STEPS_PER_EPOCH * GLOBAL };

static void content_depends_on_no_thread(void **state)
{
    (void)state;
    for (int encoding = 0; encoding < 2; encoding++) {
        fixture f;
        uint64_t want[ROWS], got[ROWS];
        open_fixture(&f, (fsfm_encoding)encoding, true, 0);
        fsfm_reader_plan plan = whole_plan(&f, FSFM_VIEW_CROP);
        plan.threads = 1;
        assert_int_equal(read_all(&plan, want), ROWS);
        for (int i = 1; i < ROWS; i++) assert_true(want[i] != want[i - 1]);
        const int threads[] = {2, 5};
        for (int t = 0; t < 2; t++) {
            plan.threads = threads[t];
            plan.prefetch_bytes = 0;
            memset(got, 0, sizeof got);
            assert_int_equal(read_all(&plan, got), ROWS);
            assert_memory_equal(got, want, sizeof want);
        }
        close_fixture(&f);
    }
}

/* Ranks, micro-batches and the batch at which a run goes on change nothing. */
static void any_cut_gives_the_same_samples(void **state)
{
    (void)state;
    fixture f;
    uint64_t want[ROWS], got[ROWS] = {0};
    open_fixture(&f, FSFM_ENCODING_RAW, true, 0);
    fsfm_reader_plan plan = whole_plan(&f, FSFM_VIEW_CROP);
    read_all(&plan, want);
    const struct {
        int64_t first, count, batch;
    } cuts[] = {{0, 6, 3}, {6, 3, 1}, {9, 3, 3}};
    int64_t rows = 0;
    for (int c = 0; c < 3; c++) {
        const int64_t per_step = cuts[c].count / cuts[c].batch, split = 3 * per_step + (c == 1);
        plan.share_first = cuts[c].first;
        plan.share_count = cuts[c].count;
        plan.batch_size = cuts[c].batch;
        plan.first_batch = 0;
        plan.end_batch = split;
        rows += read_all(&plan, got);
        plan.first_batch = split;
        plan.end_batch = 2 * STEPS_PER_EPOCH * per_step;
        rows += read_all(&plan, got);
    }
    assert_int_equal(rows, ROWS);
    assert_memory_equal(got, want, sizeof want);
    close_fixture(&f);
}

/* What row must be, made by other means: the public functions on whole images. */
static void expect_row(fixture *f, const fsfm_reader_plan *plan, const fsfm_batch *batch, int64_t row)
{
    static uint8_t want[PIXELS * 3], map[PIXELS], mirrored[PIXELS * 3];
    const int64_t patches = (SIZE / plan->patch) * (SIZE / plan->patch);
    uint16_t bits[PATCHES_MAX];
    fsfm_error err;
    const fsfm_place place = batch->refs[row].place;
    const fsfm_cut cut = fsfm_cut_draw(plan->view, SIZE, plan->seed, place);
    small_dataset_image(&f->plan, place.sample, want);
    small_dataset_map(&f->plan, place.sample, map);
    const fsfm_image image = {SIZE, SIZE, 3, want}, labels = {SIZE, SIZE, 1, map};
    fsfm_image image_view = {0}, map_view = {0};
    if (plan->view == FSFM_VIEW_CROP) {
        assert_ok(
            fsfm_image_crop_resize(&image, cut.x, cut.y, cut.width, cut.height, SIZE, &image_view, &err),
            &err);
        assert_ok(fsfm_map_crop_resize(&labels, cut.x, cut.y, cut.width, cut.height, SIZE, &map_view, &err),
                  &err);
        memcpy(want, image_view.pixels, sizeof want);
        memcpy(map, map_view.pixels, sizeof map);
    }
    for (int i = 0; i < PIXELS && cut.is_flipped; i++) {
        const int from = i / SIZE * SIZE + SIZE - 1 - i % SIZE;
        memcpy(mirrored + 3 * i, want + 3 * from, 3);
        if (i % SIZE < SIZE / 2) {
            const uint8_t label = map[i];
            map[i] = map[from];
            map[from] = label;
        }
    }
    assert_memory_equal(batch->images + row * PIXELS * 3, cut.is_flipped ? mirrored : want, sizeof want);
    if (batch->mask) {
        fsfm_regions_from_map(map, SIZE, plan->patch, 0, bits);
        for (int64_t p = 0; p < patches; p++) {
            assert_int_equal(batch->mask[row * patches + p], bits[p] & 255);
            assert_int_equal(batch->region[row * patches + p], bits[p] >> 8);
        }
    }
    fsfm_image_free(&image_view);
    fsfm_image_free(&map_view);
}

/* Checks an epoch's images and region bits; returns how many are flipped. */
static int check_epoch(fixture *f, const fsfm_reader_plan *plan)
{
    fsfm_reader *reader = open_reader(plan);
    fsfm_batch batch;
    fsfm_error err;
    int flipped = 0, seen[N] = {0};
    for (int64_t step = 0; step < STEPS_PER_EPOCH; step++) {
        assert_ok(fsfm_reader_next(reader, &batch, &err), &err);
        assert_int_equal(batch.B, GLOBAL);
        for (int64_t row = 0; row < GLOBAL; row++) {
            const fsfm_place want = fsfm_sampler_place(f->sampler, 0, step * GLOBAL + row);
            assert_memory_equal(&batch.refs[row].place.sample, &want.sample, sizeof want.sample);
            assert_int_equal(batch.refs[row].step, step);
            assert_int_equal(batch.refs[row].position, row);
            assert_int_equal(seen[want.sample]++, 0);
            expect_row(f, plan, &batch, row);
            flipped += fsfm_cut_draw(plan->view, SIZE, plan->seed, want).is_flipped;
        }
        fsfm_reader_release(reader);
    }
    fsfm_reader_close(&reader);
    return flipped;
}

static void views_and_region_bits_are_right(void **state)
{
    (void)state;
    for (int encoding = 0; encoding < 2; encoding++) {
        fixture f;
        open_fixture(&f, (fsfm_encoding)encoding, true, 0);
        for (int view = FSFM_VIEW_NONE; view <= FSFM_VIEW_CROP; view++)
            for (int kind = 0; kind < 4;
                 kind++) { /* packed bits of 16 and 14, bits of no packed size, maps */
                int *const patches[4] = {&patch_16, &patch_14, &patch_8, &patch_16};
                fsfm_reader_plan plan = whole_plan(&f, (fsfm_view)view);
                plan.patch = *patches[kind];
                plan.draw_context = patches[kind];
                plan.wants_map = kind == 3;
                const int flipped = check_epoch(&f, &plan);
                if (view == FSFM_VIEW_NONE)
                    assert_int_equal(flipped, 0);
                else
                    assert_in_range(flipped, 10, 38); /* of 48 */
            }
        close_fixture(&f);
    }
}

static void images_alone_are_read(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, FSFM_ENCODING_RAW, false, 0);
    fsfm_reader_plan plan = whole_plan(&f, FSFM_VIEW_CROP);
    check_epoch(&f, &plan);
    plan.draw_masks = copy_bits; /* gets neither bits nor a map */
    fsfm_reader *reader = open_reader(&plan);
    fsfm_batch batch;
    fsfm_error err;
    assert_ok(fsfm_reader_next(reader, &batch, &err), &err);
    for (int p = 0; p < 49; p++) assert_int_equal(batch.mask[p], 0);
    fsfm_reader_close(&reader);
    close_fixture(&f);
}

static void held_out_samples_come_once(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, FSFM_ENCODING_RAW, true, 0.5);
    const int64_t held = fsfm_sampler_held_out(f.sampler), half = held / 2;
    uint64_t whole[N] = {0}, parts[N] = {0};
    assert_true(held > 10 && held < 40);
    fsfm_reader_plan plan = whole_plan(&f, FSFM_VIEW_NONE);
    plan.held_out = true;
    plan.share_count = held;
    plan.batch_size = 4;
    plan.end_batch = (held + 3) / 4;
    assert_int_equal(read_all(&plan, whole), held);
    plan.batch_size = 3;
    for (int part = 0; part < 2; part++) {
        plan.share_first = part == 0 ? 0 : half;
        plan.share_count = part == 0 ? half : held - half;
        plan.end_batch = (plan.share_count + 2) / 3;
        assert_int_equal(read_all(&plan, parts), plan.share_count);
    }
    assert_memory_equal(parts, whole, sizeof whole);
    for (int64_t i = 0; i < held; i++) assert_true(whole[i] != 0);
    close_fixture(&f);
}

/* The samples of the two sources of a mixed run are told apart, and each is read from its own folder. */
static void sources_are_mixed(void **state)
{
    (void)state;
    fixture f, other;
    fsfm_error err;
    open_fixture(&f, FSFM_ENCODING_RAW, true, 0);
    open_fixture(&other, FSFM_ENCODING_JPEG, true, 0);
    const fsfm_sampler_source counts[2] = {{N, 1}, {N, 3}};
    fsfm_dataset *const sources[2] = {f.dataset, other.dataset};
    fsfm_sampler_free(&f.sampler);
    assert_ok(fsfm_sampler_create(counts, 2, 77, 0, &f.sampler, &err), &err);
    fsfm_reader_plan plan = whole_plan(&f, FSFM_VIEW_FLIP);
    plan.sources = sources;
    plan.source_count = 2;
    plan.steps_per_epoch = 8;
    fsfm_reader *reader = open_reader(&plan);
    fsfm_batch batch;
    int of_source[2] = {0};
    for (int step = 0; step < 8; step++) {
        assert_ok(fsfm_reader_next(reader, &batch, &err), &err);
        for (int64_t row = 0; row < batch.B; row++) {
            const int source = batch.refs[row].place.source;
            of_source[source]++;
            expect_row(source == 0 ? &f : &other, &plan, &batch, row);
        }
        fsfm_reader_release(reader);
    }
    assert_in_range(of_source[0], 21, 25); /* of an epoch's 25 : 75, all but the last 4 */
    fsfm_reader_close(&reader);
    close_fixture(&f);
    close_fixture(&other);
}

static void batches_in_hand_stay_valid(void **state)
{
    (void)state;
    fixture f;
    uint64_t want[ROWS];
    open_fixture(&f, FSFM_ENCODING_RAW, true, 0);
    fsfm_reader_plan plan = whole_plan(&f, FSFM_VIEW_NONE);
    read_all(&plan, want);
    plan.hold = 3;
    plan.prefetch_bytes = 0;
    plan.threads = 3;
    fsfm_reader *reader = open_reader(&plan);
    fsfm_batch batches[8];
    fsfm_error err;
    for (int b = 0; b < 8; b++) {
        assert_ok(fsfm_reader_next(reader, &batches[b], &err), &err);
        if (b < 2) continue;
        usleep(2000); /* time to do harm */
        for (int64_t row = 0; row < GLOBAL; row++)
            assert_true(hash_row(&plan, &batches[b - 2], row) == want[(b - 2) * GLOBAL + row]);
        fsfm_reader_release(reader);
    }
    fsfm_reader_close(&reader);
    close_fixture(&f);
}

static void note_step(void *context, const fsfm_sample_ref *ref, const uint16_t *bits, const uint8_t *map,
                      uint8_t *mask, uint8_t *region, uint8_t *target_mask)
{
    int64_t *highest = context;
    (void)bits, (void)map, (void)mask, (void)region, (void)target_mask;
    for (int64_t seen = __atomic_load_n(highest, __ATOMIC_SEQ_CST); seen < ref->step;)
        if (__atomic_compare_exchange_n(highest, &seen, ref->step, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            break;
}

/* No thread runs further ahead than there are slots, and a batch that is not asked for is made all the same.
 */
static void prefetch_is_bounded(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, FSFM_ENCODING_RAW, true, 0);
    const int64_t slots[] = {2, 3, 5};
    for (int s = 0; s < 3; s++) {
        int64_t highest = -1;
        fsfm_reader_plan plan = whole_plan(&f, FSFM_VIEW_NONE);
        plan.draw_masks = note_step;
        plan.draw_context = &highest;
        plan.prefetch_bytes = s == 0 ? 0 : slots[s] * (GLOBAL * PIXELS * 3 + 4096);
        fsfm_reader *reader = open_reader(&plan);
        fsfm_batch batch;
        fsfm_error err;
        for (int64_t step = 0; step < 3; step++) {
            assert_ok(fsfm_reader_next(reader, &batch, &err), &err);
            for (int i = 0; i < 500 && __atomic_load_n(&highest, __ATOMIC_SEQ_CST) < step + slots[s] - 1; i++)
                usleep(10000);
            usleep(20000);
            assert_int_equal(__atomic_load_n(&highest, __ATOMIC_SEQ_CST), step + slots[s] - 1);
            fsfm_reader_release(reader);
        }
        fsfm_reader_close(&reader);
    }
    close_fixture(&f);
}

static void closes_while_busy(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, FSFM_ENCODING_JPEG, true, 0);
    for (int i = 0; i < 20; i++) {
        fsfm_reader_plan plan = whole_plan(&f, FSFM_VIEW_CROP);
        plan.threads = 1 + i % 4;
        plan.prefetch_bytes = i % 2 ? 1 << 22 : 0;
        fsfm_reader *reader = open_reader(&plan);
        fsfm_batch batch;
        fsfm_error err;
        if (i % 3) assert_ok(fsfm_reader_next(reader, &batch, &err), &err);
        fsfm_reader_close(&reader);
    }
    fsfm_reader *none = NULL;
    fsfm_reader_close(&none);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_depends_on_no_thread),
        cmocka_unit_test(any_cut_gives_the_same_samples),
        cmocka_unit_test(views_and_region_bits_are_right),
        cmocka_unit_test(images_alone_are_read),
        cmocka_unit_test(held_out_samples_come_once),
        cmocka_unit_test(sources_are_mixed),
        cmocka_unit_test(batches_in_hand_stay_valid),
        cmocka_unit_test(prefetch_is_bounded),
        cmocka_unit_test(closes_while_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
