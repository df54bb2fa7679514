/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/mask_feed.h"

#include <string.h>

#include "core/base/random.h"
#include "core/mask/strategy.h"
#include "tests/support/check.h"
#include "tests/support/small_dataset.h"

enum { SIZE = 112, PATCH = 16, PATCHES = 49, SEED = 1234 };

typedef struct {
    uint8_t mask[PATCHES], region[PATCHES], target[PATCHES];
} masks;

static const fsfm_mask_options usual = {.strategy = FSFM_MASK_CRFR_P, .ratio = 0.75, .region_group = 4};
static const small_dataset small = {.count = 3, .per_shard = 3, .size = SIZE, .has_regions = true};

static fsfm_mask_feed make_feed(const fsfm_mask_options *options, bool is_evaluation)
{
    fsfm_mask_feed feed;
    fsfm_error err;
    assert_ok(fsfm_mask_feed_make(options, SEED, SIZE, PATCH, is_evaluation, NULL, 0, &feed, &err), &err);
    return feed;
}

static masks draw_from_map(fsfm_mask_feed *feed, fsfm_sample_ref ref, int64_t look)
{
    static uint8_t map[SIZE * SIZE];
    masks out;
    small_dataset_map(&small, look, map);
    fsfm_mask_feed_draw(feed, &ref, NULL, map, out.mask, out.region, out.target);
    return out;
}

static masks draw_from_bits(fsfm_mask_feed *feed, fsfm_sample_ref ref, const uint16_t *bits)
{
    masks out;
    fsfm_mask_feed_draw(feed, &ref, bits, NULL, out.mask, out.region, out.target);
    return out;
}

static void region_bits(int64_t look, int threshold, uint16_t *bits)
{
    static uint8_t map[SIZE * SIZE];
    small_dataset_map(&small, look, map);
    fsfm_regions_from_map(map, SIZE, PATCH, threshold, bits);
}

static void masks_are_those_of_the_documented_stream(void **state)
{
    (void)state;
    const fsfm_sample_ref ref = {.place = {.source = 2, .pass = 9, .sample = 31}, .step = 4, .position = 7};
    const uint64_t key = (uint64_t)2 << 56 | 31;
    uint16_t bits[PATCHES];
    fsfm_mask_feed feed = make_feed(&usual, false), evaluation = make_feed(&usual, true);
    region_bits(5, 0, bits);
    assert_int_equal(feed.budget, 37);
    const struct {
        fsfm_mask_feed *feed;
        fsfm_random_purpose purpose;
        uint32_t pass;
    } cases[] = {{&feed, FSFM_RANDOM_MASK, 9}, {&evaluation, FSFM_RANDOM_EVAL_MASK, 0}};
    for (int c = 0; c < 2; c++) {
        masks want;
        fsfm_random random = fsfm_random_stream(SEED, cases[c].purpose, cases[c].pass, key);
        fsfm_mask_draw(usual.strategy, PATCHES, 37, bits, FSFM_REGION_NONE, &random, want.mask, want.region);
        random = fsfm_random_stream(SEED, FSFM_RANDOM_TARGET_MASK, cases[c].pass, key);
        uint8_t unused[PATCHES];
        fsfm_mask_draw(usual.strategy, PATCHES, 37, bits, FSFM_REGION_NONE, &random, want.target, unused);
        const masks got = draw_from_bits(cases[c].feed, ref, bits),
                    same = draw_from_map(cases[c].feed, ref, 5);
        assert_memory_equal(&got, &want, sizeof want);
        assert_memory_equal(&same, &want, sizeof want);
        assert_memory_not_equal(got.mask, got.target, PATCHES);
    }
}

/* Steps and positions change with the cut of the run into ranks and with batch sizes; masks do not. */
static void masks_follow_the_sample_alone(void **state)
{
    (void)state;
    fsfm_mask_feed feed = make_feed(&usual, false);
    fsfm_sample_ref ref = {.place = {.source = 0, .pass = 3, .sample = 8}, .step = 0, .position = 0};
    const masks want = draw_from_map(&feed, ref, 8);
    ref.step = 77;
    ref.position = 1000;
    const masks same = draw_from_map(&feed, ref, 8);
    assert_memory_equal(&same, &want, sizeof want);
    ref.place.pass = 4;
    const masks next_pass = draw_from_map(&feed, ref, 8);
    assert_memory_not_equal(next_pass.mask, want.mask, PATCHES);
    ref.place.pass = 3;
    ref.place.source = 1;
    const masks other_source = draw_from_map(&feed, ref, 8);
    assert_memory_not_equal(other_source.mask, want.mask, PATCHES);
}

static void evaluation_masks_are_fixed(void **state)
{
    (void)state;
    fsfm_mask_options by_batch = usual;
    by_batch.region_scope = FSFM_REGION_SCOPE_BATCH;
    fsfm_mask_feed feed = make_feed(&by_batch, true), by_sample = make_feed(&usual, true);
    fsfm_sample_ref ref = {.place = {.source = 0, .pass = 0, .sample = 2}};
    const masks want = draw_from_map(&by_sample, ref, 2);
    for (int i = 0; i < 10; i++) {
        ref.place.pass = (uint32_t)i;
        ref.step = i;
        ref.position = 5 * i;
        const masks same = draw_from_map(&feed, ref, 2);
        assert_memory_equal(&same, &want, sizeof want);
    }
}

/* The covered region of a sample as its mask shows it: the patches that have it are those marked. */
static bool covers(const masks *drawn, const uint16_t *bits, int region)
{
    for (int p = 0; p < PATCHES; p++)
        if (drawn->region[p] != (bits[p] >> region & 1)) return false;
    return true;
}

static void a_group_of_the_batch_shares_its_region(void **state)
{
    (void)state;
    fsfm_mask_options by_batch = usual;
    by_batch.region_scope = FSFM_REGION_SCOPE_BATCH;
    fsfm_mask_feed feed = make_feed(&by_batch, false);
    int groups_of[FSFM_REGIONS_COVERABLE] = {0};
    for (int64_t step = 0; step < 20; step++)
        for (int64_t position = 0; position < 12; position++) {
            const int region = fsfm_mask_batch_region(SEED, step, position / 4);
            const fsfm_sample_ref ref = {
                .place = {.sample = 100 * step + position}, .step = step, .position = position};
            uint16_t bits[PATCHES];
            int own = 0;
            region_bits(step + position, 0, bits);
            for (int p = 0; p < PATCHES; p++) own += bits[p] >> region & 1;
            const masks drawn = draw_from_bits(&feed, ref, bits);
            if (own > 0 && own <= feed.budget) assert_true(covers(&drawn, bits, region));
            groups_of[region]++;
        }
    for (int region = 0; region < FSFM_REGIONS_COVERABLE; region++) assert_true(groups_of[region] > 0);
}

static void a_threshold_makes_bits_anew(void **state)
{
    (void)state;
    fsfm_mask_options options = usual;
    options.patch_threshold = 60;
    fsfm_mask_feed feed = make_feed(&options, false), plain = make_feed(&usual, false);
    const fsfm_sample_ref ref = {.place = {.sample = 3}};
    uint16_t bits[PATCHES];
    assert_true(fsfm_mask_feed_wants_map(&feed));
    assert_false(fsfm_mask_feed_wants_map(&plain));
    region_bits(3, 60, bits);
    const masks want = draw_from_bits(&plain, ref, bits), got = draw_from_map(&feed, ref, 3);
    assert_memory_equal(&got, &want, sizeof want);
    const masks without = draw_from_map(&plain, ref, 3);
    assert_memory_not_equal(&without, &want, sizeof want);
    options.strategy = FSFM_MASK_RANDOM;
    feed = make_feed(&options, false);
    assert_false(fsfm_mask_feed_wants_map(&feed));
    const masks random = draw_from_bits(&feed, ref, NULL); /* a dataset without maps */
    int removed = 0;
    for (int p = 0; p < PATCHES; p++) removed += random.mask[p];
    assert_int_equal(removed, feed.budget);
}

static void datasets_without_maps_are_refused(void **state)
{
    (void)state;
    small_dataset images = small;
    images.has_regions = false;
    char folder[256];
    fsfm_dataset *dataset = NULL;
    fsfm_mask_feed feed;
    fsfm_error err;
    make_folder(folder);
    small_dataset_write(&images, folder);
    assert_ok(fsfm_dataset_open(folder, &dataset, &err), &err);
    assert_fails(fsfm_mask_feed_make(&usual, 1, SIZE, PATCH, false, &dataset, 1, &feed, &err), FSFM_ERR_ARG,
                 &err, "has no parsing maps, which mask.strategy crfr_p needs");
    const fsfm_mask_options random = {.strategy = FSFM_MASK_RANDOM, .ratio = 0.5, .region_group = 64};
    assert_ok(fsfm_mask_feed_make(&random, 1, SIZE, PATCH, false, &dataset, 1, &feed, &err), &err);
    assert_int_equal(feed.budget, 25);
    assert_fails(fsfm_mask_feed_make(&random, 1, SIZE, 3, false, &dataset, 1, &feed, &err), FSFM_ERR_ARG,
                 &err, "patches of 3");
    fsfm_dataset_close(&dataset);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_are_those_of_the_documented_stream),
        cmocka_unit_test(masks_follow_the_sample_alone),
        cmocka_unit_test(evaluation_masks_are_fixed),
        cmocka_unit_test(a_group_of_the_batch_shares_its_region),
        cmocka_unit_test(a_threshold_makes_bits_anew),
        cmocka_unit_test(datasets_without_maps_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
