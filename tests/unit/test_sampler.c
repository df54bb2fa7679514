/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "io/sampler.h"
#include "tests/support/check.h"

static void check_is_permutation(uint64_t count, uint64_t seed, uint32_t epoch, uint64_t salt)
{
    const fsfm_permutation permutation = fsfm_permutation_make(count, seed, epoch, salt);
    uint8_t *seen = calloc(count, 1);
    assert_non_null(seen);
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t at = fsfm_permutation_at(&permutation, i);
        assert_true(at < count);
        assert_int_equal(seen[at], 0);
        seen[at] = 1;
    }
    free(seen);
}

static void permutations_are_permutations(void **state)
{
    (void)state;
    for (uint64_t count = 1; count <= 70; count++)
        for (uint32_t epoch = 0; epoch < 3; epoch++) check_is_permutation(count, 7, epoch, 0);
    const uint64_t counts[] = {255, 256, 257, 265, 1023, 1024, 1025, 65536, 65537, 300001};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        check_is_permutation(counts[i], 1 + i, (uint32_t)i, i);
}

static void large_permutations_do_not_collide(void **state)
{
    (void)state;
    const uint64_t counts[] = {3300000, ((uint64_t)1 << 40) + 12345};
    for (size_t c = 0; c < 2; c++) {
        const fsfm_permutation permutation = fsfm_permutation_make(counts[c], 3, 5, 0);
        enum { SAMPLES = 20000 };
        uint64_t sum_high = 0;
        for (uint64_t i = 0; i < SAMPLES; i++) {
            const uint64_t at = fsfm_permutation_at(&permutation, i);
            assert_true(at < counts[c]);
            sum_high += at >= counts[c] / 2;
        }
        assert_in_range(sum_high, SAMPLES / 2 - 400, SAMPLES / 2 + 400); /* 5.7 standard deviations */
    }
    check_is_permutation(3300000, 1, 0, 0);
}

/* Each of the 6 orders of 3, and each first element of 100, comes about equally often over keys. */
static void keys_give_all_orders_alike(void **state)
{
    (void)state;
    int orders[3][3] = {{0}}, first[100] = {0};
    for (uint32_t epoch = 0; epoch < 6000; epoch++) {
        const fsfm_permutation three = fsfm_permutation_make(3, 11, epoch, 0);
        const fsfm_permutation hundred = fsfm_permutation_make(100, 11, epoch, 1);
        orders[fsfm_permutation_at(&three, 0)][fsfm_permutation_at(&three, 1)]++;
        first[fsfm_permutation_at(&hundred, 0)]++;
    }
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++)
            if (a != b) assert_in_range(orders[a][b], 1000 - 150, 1000 + 150); /* sd 29 */
    for (int a = 0; a < 100; a++) assert_in_range(first[a], 60 - 39, 60 + 39); /* sd 7.7 */
}

static void order_depends_on_every_key(void **state)
{
    (void)state;
    const fsfm_permutation base = fsfm_permutation_make(1000, 1, 0, 0);
    const fsfm_permutation others[] = {
        fsfm_permutation_make(1000, 2, 0, 0), fsfm_permutation_make(1000, 1, 1, 0),
        fsfm_permutation_make(1000, 1, 0, 1), fsfm_permutation_make(1000, 1 + ((uint64_t)1 << 32), 0, 0)};
    for (int o = 0; o < 4; o++) {
        int same = 0;
        for (uint64_t i = 0; i < 1000; i++)
            same += fsfm_permutation_at(&base, i) == fsfm_permutation_at(&others[o], i);
        assert_in_range(same, 0, 12); /* about 1 by chance */
    }
}

static fsfm_sampler *make_sampler(const fsfm_sampler_source *sources, int count, uint64_t seed, double share)
{
    fsfm_sampler *sampler = NULL;
    fsfm_error err = {FSFM_OK, ""};
    assert_ok(fsfm_sampler_create(sources, count, seed, share, &sampler, &err), &err);
    return sampler;
}

static void one_source_is_seen_once_an_epoch(void **state)
{
    (void)state;
    enum { N = 1009 };
    const fsfm_sampler_source source = {.count = N, .weight = 3.0};
    fsfm_sampler *sampler = make_sampler(&source, 1, 42, 0);
    assert_int_equal(fsfm_sampler_epoch_samples(sampler), N);
    assert_int_equal(fsfm_sampler_held_out(sampler), 0);
    int64_t before[N], moved = 0;
    for (uint32_t epoch = 0; epoch < 5; epoch++) {
        int seen[N] = {0};
        for (int64_t i = 0; i < N; i++) {
            const fsfm_place place = fsfm_sampler_place(sampler, epoch, i);
            assert_int_equal(place.source, 0);
            assert_int_equal(place.pass, epoch);
            assert_int_equal(seen[place.sample]++, 0);
            if (epoch > 0) moved += before[i] != place.sample;
            before[i] = place.sample;
        }
    }
    assert_in_range(moved, 4 * N - 30, 4 * N); /* reshuffled */
    fsfm_sampler_free(&sampler);
    assert_null(sampler);
}

/* N = 60: quotas of 1 : 2 : 4 are 8.57, 17.14, 34.29, so 9, 17, 34. */
static void sources_are_mixed_by_weight(void **state)
{
    (void)state;
    const fsfm_sampler_source sources[3] = {{10, 0.5}, {20, 1.0}, {30, 2.0}};
    const int64_t want[3] = {9, 17, 34};
    fsfm_sampler *sampler = make_sampler(sources, 3, 5, 0);
    const int64_t N = fsfm_sampler_epoch_samples(sampler);
    enum { EPOCHS = 40 };
    int uses[3][EPOCHS * 2][30];
    memset(uses, 0, sizeof uses);
    assert_int_equal(N, 60);
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        int64_t got[3] = {0};
        for (int64_t i = 0; i < N; i++) {
            const fsfm_place place = fsfm_sampler_place(sampler, epoch, i);
            got[place.source]++;
            assert_in_range(place.sample, 0, sources[place.source].count - 1);
            uses[place.source][place.pass][place.sample]++;
        }
        for (int s = 0; s < 3; s++) assert_int_equal(got[s], want[s]);
    }
    for (int s = 0; s < 3; s++) { /* every pass but the one under way uses every sample once */
        const int64_t whole = EPOCHS * want[s] / sources[s].count;
        for (int64_t pass = 0; pass < whole; pass++)
            for (int64_t i = 0; i < sources[s].count; i++) assert_int_equal(uses[s][pass][i], 1);
    }
    fsfm_sampler_free(&sampler);
}

static void weights_of_tenths_give_whole_quotas(void **state)
{
    (void)state;
    const fsfm_sampler_source sources[3] = {{50, 0.1}, {25, 0.2}, {25, 0.7}};
    const int64_t want[3] = {10, 20, 70};
    fsfm_sampler *sampler = make_sampler(sources, 3, 5, 0);
    int64_t got[3] = {0};
    for (int64_t i = 0; i < 100; i++) got[fsfm_sampler_place(sampler, 2, i).source]++;
    for (int s = 0; s < 3; s++) assert_int_equal(got[s], want[s]);
    fsfm_sampler_free(&sampler);
}

/* Held-out and training samples are disjoint, cover everything, and are in index order where the header says
 * so. */
static void check_share(int64_t first_count, int64_t second_count, double share)
{
    const fsfm_sampler_source sources[2] = {{first_count, 1}, {second_count, 1}};
    fsfm_sampler *sampler = make_sampler(sources, 2, 9, share), *again = make_sampler(sources, 2, 9, share);
    const int64_t total = first_count + second_count, held = fsfm_sampler_held_out(sampler);
    int8_t *kind = calloc((size_t)total, 1);
    assert_non_null(kind);
    assert_int_equal(held + fsfm_sampler_epoch_samples(sampler), total);
    assert_true(held > (int64_t)(share * (double)total * 0.8) &&
                held < (int64_t)(share * (double)total * 1.2));
    int64_t last = -1;
    for (int64_t i = 0; i < held; i++) {
        const fsfm_place place = fsfm_sampler_held_out_place(sampler, i);
        const fsfm_place same = fsfm_sampler_held_out_place(again, i);
        const int64_t at = place.source * first_count + place.sample;
        assert_int_equal(place.pass, 0);
        assert_true(same.source == place.source && same.sample == place.sample);
        assert_true(at > last && at < total);
        last = at;
        kind[at] = 1;
    }
    int64_t in_passes[2] = {0};
    for (uint32_t epoch = 0; epoch < 3; epoch++)
        for (int64_t i = 0; i < total - held; i++) {
            const fsfm_place place = fsfm_sampler_place(sampler, epoch, i);
            const int64_t at = place.source * first_count + place.sample;
            assert_int_not_equal(kind[at], 1);
            kind[at] = 2;
            in_passes[place.source]++;
        }
    for (int64_t i = 0; i < total;
         i++) /* three epochs of equal weights: the smaller one was walked through whole */
        if (i >= first_count) assert_int_not_equal(kind[i], 0);
    assert_int_equal(in_passes[0] + in_passes[1], 3 * (total - held));
    free(kind);
    fsfm_sampler_free(&sampler);
    fsfm_sampler_free(&again);
}

static void held_out_share_is_disjoint_and_stable(void **state)
{
    (void)state;
    check_share(5000, 1203, 0.1);
    check_share(2048, 512, 0.5);
    check_share(1537, 1535, 0.9);
    const fsfm_sampler_source source = {777, 1};
    fsfm_sampler *all = make_sampler(&source, 1, 1, 1.0);
    assert_int_equal(fsfm_sampler_held_out(all), 777);
    assert_int_equal(fsfm_sampler_epoch_samples(all), 0);
    for (int64_t i = 0; i < 777; i++) assert_int_equal(fsfm_sampler_held_out_place(all, i).sample, i);
    fsfm_sampler_free(&all);
}

static void share_depends_on_seed_and_source_alone(void **state)
{
    (void)state;
    const fsfm_sampler_source sources[2] = {{4000, 1}, {4000, 1}};
    fsfm_sampler *one = make_sampler(sources, 2, 1, 0.5), *two = make_sampler(sources, 2, 2, 0.5);
    int64_t held[2] = {0}, in_both_seeds = 0, in_both_sources = 0;
    static bool is_held[2][2][4000];
    fsfm_sampler *const samplers[2] = {one, two};
    for (int s = 0; s < 2; s++)
        for (int64_t i = 0; i < fsfm_sampler_held_out(samplers[s]); i++) {
            const fsfm_place place = fsfm_sampler_held_out_place(samplers[s], i);
            is_held[s][place.source][place.sample] = true;
            held[s]++;
        }
    for (int i = 0; i < 4000; i++) {
        in_both_seeds += is_held[0][0][i] && is_held[1][0][i];
        in_both_sources += is_held[0][0][i] && is_held[0][1][i];
    }
    assert_in_range(held[0], 4000 - 250, 4000 + 250);
    assert_in_range(in_both_seeds, 1000 - 150, 1000 + 150);
    assert_in_range(in_both_sources, 1000 - 150, 1000 + 150);
    fsfm_sampler_free(&one);
    fsfm_sampler_free(&two);
}

static void replacement_is_the_next_of_its_kind(void **state)
{
    (void)state;
    const fsfm_sampler_source sources[2] = {{50, 1}, {300, 1}};
    fsfm_sampler *sampler = make_sampler(sources, 2, 3, 0.4);
    bool is_held[300] = {false};
    for (int64_t i = 0; i < fsfm_sampler_held_out(sampler); i++) {
        const fsfm_place place = fsfm_sampler_held_out_place(sampler, i);
        if (place.source == 1) is_held[place.sample] = true;
    }
    for (int64_t sample = 0; sample < 300; sample++) {
        int64_t want = (sample + 1) % 300;
        while (is_held[want] != is_held[sample]) want = (want + 1) % 300;
        const fsfm_place got = fsfm_sampler_replacement(sampler, (fsfm_place){1, 6, sample});
        assert_int_equal(got.sample, want);
        assert_int_equal(got.source, 1);
        assert_int_equal(got.pass, 6);
    }
    fsfm_sampler_free(&sampler);
    const fsfm_sampler_source single = {1, 1};
    sampler = make_sampler(&single, 1, 3, 0);
    assert_int_equal(fsfm_sampler_replacement(sampler, (fsfm_place){0, 0, 0}).sample, 0);
    fsfm_sampler_free(&sampler);
}

static void wrong_sources_are_refused(void **state)
{
    (void)state;
    fsfm_sampler *sampler = NULL;
    fsfm_error err = {FSFM_OK, ""};
    fsfm_sampler_source sources[2] = {{10, 1}, {0, 1}};
    assert_fails(fsfm_sampler_create(sources, 2, 0, 0, &sampler, &err), FSFM_ERR_ARG, &err,
                 "source 1 has no samples");
    assert_null(sampler);
    sources[1] = (fsfm_sampler_source){10, 0};
    assert_fails(fsfm_sampler_create(sources, 2, 0, 0, &sampler, &err), FSFM_ERR_ARG, &err, "weight 0");
    sources[1] = (fsfm_sampler_source){1, 1};
    assert_fails(fsfm_sampler_create(sources, 2, 0, 1.5, &sampler, &err), FSFM_ERR_ARG, &err, "share");
    assert_fails(fsfm_sampler_create(sources, 0, 0, 0, &sampler, &err), FSFM_ERR_ARG, &err, "0 data sources");
    uint64_t seed = 0; /* one that holds out the only sample of source 1, but not all of source 0 */
    fsfm_status st = FSFM_OK;
    for (; seed < 100 && st == FSFM_OK; seed++) {
        st = fsfm_sampler_create(sources, 2, seed, 0.5, &sampler, &err);
        fsfm_sampler_free(&sampler);
    }
    assert_fails(st, FSFM_ERR_ARG, &err, "data source 1: all of its 1 samples are held out");
}

static void millions_of_samples_are_quick(void **state)
{
    (void)state;
    const fsfm_sampler_source source = {3300000, 1};
    const double before_s = fsfm_clock_monotonic_s();
    fsfm_sampler *sampler = make_sampler(&source, 1, 1, 0.01);
    const double took_s = fsfm_clock_monotonic_s() - before_s;
    print_message("3.3 M samples split in %.0f ms\n", took_s * 1e3);
    assert_true(took_s < 3.0); /* some 20 ms; the sanitizers and busy machines are slower */
    int64_t last = -1, sum = 0;
    for (int64_t i = 0; i < fsfm_sampler_held_out(sampler); i += 7) {
        const int64_t sample = fsfm_sampler_held_out_place(sampler, i).sample;
        assert_true(sample > last);
        last = sample;
    }
    for (int64_t i = 0; i < 100000; i++) sum += fsfm_sampler_place(sampler, 1, i).sample;
    assert_in_range(sum / 100000, 1650000 - 20000, 1650000 + 20000); /* sd 3000 */
    fsfm_sampler_free(&sampler);
}

static void kept_order_is_that_of_the_indices(void **state)
{
    (void)state;
    const fsfm_sampler_source sources[2] = {{40, 1.0}, {60, 1.0}}; /* 50 uses of each in an epoch */
    fsfm_sampler *sampler = make_sampler(sources, 2, 5, 0);
    fsfm_sampler_keep_order(sampler);
    for (uint32_t epoch = 0; epoch < 3; epoch++)
        for (int64_t i = 0; i < 100; i++) {
            const fsfm_place place = fsfm_sampler_place(sampler, epoch, i);
            const int64_t use = epoch * 50 + i % 50, count = sources[i / 50].count;
            assert_int_equal(place.source, i / 50);
            assert_int_equal(place.sample, use % count);
            assert_int_equal(place.pass, use / count);
        }
    fsfm_sampler_free(&sampler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permutations_are_permutations),
        cmocka_unit_test(large_permutations_do_not_collide),
        cmocka_unit_test(keys_give_all_orders_alike),
        cmocka_unit_test(order_depends_on_every_key),
        cmocka_unit_test(one_source_is_seen_once_an_epoch),
        cmocka_unit_test(sources_are_mixed_by_weight),
        cmocka_unit_test(weights_of_tenths_give_whole_quotas),
        cmocka_unit_test(held_out_share_is_disjoint_and_stable),
        cmocka_unit_test(share_depends_on_seed_and_source_alone),
        cmocka_unit_test(replacement_is_the_next_of_its_kind),
        cmocka_unit_test(kept_order_is_that_of_the_indices),
        cmocka_unit_test(wrong_sources_are_refused),
        cmocka_unit_test(millions_of_samples_are_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
