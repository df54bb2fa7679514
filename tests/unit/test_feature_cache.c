/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/feature_cache.h"

#include <string.h>

#include "tests/support/check.h"

enum { WIDTH = 3, FIRST = 5, SECOND = 12 };

static fsfm_feature_cache *make_cache(void)
{
    const int64_t counts[] = {FIRST, SECOND};
    fsfm_feature_cache *cache = NULL;
    fsfm_error err;
    assert_ok(fsfm_feature_cache_create(counts, 2, WIDTH, &cache, &err), &err);
    return cache;
}

static fsfm_sample_ref ref_of(int source, int64_t sample, uint32_t pass)
{
    return (fsfm_sample_ref){.place = {.source = source, .pass = pass, .sample = sample}};
}

/* Features that belong to one sample alone. */
static void fill(const fsfm_sample_ref *ref, float row[WIDTH])
{
    for (int c = 0; c < WIDTH; c++)
        row[c] = (float)(100 * ref->place.source + 10 * (int)ref->place.sample + c);
}

static void test_every_sample_has_its_row(void **state)
{
    (void)state;
    fsfm_feature_cache *cache = make_cache();
    float rows[FIRST + SECOND][WIDTH], got[WIDTH];
    fsfm_sample_ref refs[FIRST + SECOND];
    for (int i = 0; i < FIRST + SECOND; i++) {
        refs[i] = i < FIRST ? ref_of(0, i, 0) : ref_of(1, i - FIRST, 0);
        assert_false(fsfm_feature_cache_recall(cache, &refs[i], 1, got));
        fill(&refs[i], rows[i]);
    }
    fsfm_feature_cache_remember(cache, refs, FIRST + SECOND, rows[0]);
    for (int i = FIRST + SECOND - 1; i >= 0; i--) {
        const fsfm_sample_ref later = ref_of(refs[i].place.source, refs[i].place.sample, 7);
        assert_true(fsfm_feature_cache_recall(cache, &later, 1, got));
        assert_memory_equal(got, rows[i], sizeof got);
    }
    fsfm_feature_cache_free(&cache);
    assert_null(cache);
}

static void test_a_batch_is_known_as_a_whole(void **state)
{
    (void)state;
    fsfm_feature_cache *cache = make_cache();
    const fsfm_sample_ref first[2] = {ref_of(0, 4, 0), ref_of(1, 0, 0)}; /* neighbours over the border */
    const fsfm_sample_ref mixed[3] = {ref_of(1, 0, 0), ref_of(0, 4, 0), ref_of(1, 1, 0)};
    float rows[2][WIDTH], got[3][WIDTH], before[3][WIDTH];
    for (int i = 0; i < 2; i++) fill(&first[i], rows[i]);
    fsfm_feature_cache_remember(cache, first, 2, rows[0]);
    memset(got, 0x55, sizeof got);
    memcpy(before, got, sizeof got);
    assert_false(fsfm_feature_cache_recall(cache, mixed, 3, got[0]));
    assert_memory_equal(got, before, sizeof got);
    assert_true(fsfm_feature_cache_recall(cache, mixed, 2, got[0]));
    assert_memory_equal(got[0], rows[1], sizeof got[0]);
    assert_memory_equal(got[1], rows[0], sizeof got[1]);
    fsfm_feature_cache_free(&cache);
}

static void test_what_is_known_stays(void **state)
{
    (void)state;
    fsfm_feature_cache *cache = make_cache();
    const fsfm_sample_ref ref = ref_of(1, SECOND - 1, 0);
    const float once[WIDTH] = {1, 2, 3}, again[WIDTH] = {4, 5, 6};
    float got[WIDTH];
    fsfm_feature_cache_remember(cache, &ref, 1, once);
    fsfm_feature_cache_remember(cache, &ref, 1, again);
    assert_true(fsfm_feature_cache_recall(cache, &ref, 1, got));
    assert_memory_equal(got, once, sizeof got);
    fsfm_feature_cache_free(&cache);
    fsfm_feature_cache_free(&cache); /* accepts NULL */
}

static void test_size(void **state)
{
    (void)state;
    assert_int_equal(fsfm_feature_cache_bytes(0, 256), 0);
    assert_int_equal(fsfm_feature_cache_bytes(9, 256), 9 * 1024 + 2);
    assert_int_equal(fsfm_feature_cache_bytes(3300000, 256), INT64_C(3300000) * 1024 + 412500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_sample_has_its_row),
        cmocka_unit_test(test_a_batch_is_known_as_a_whole),
        cmocka_unit_test(test_what_is_known_stays),
        cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
