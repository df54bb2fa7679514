/* SPDX-License-Identifier: Apache-2.0
 * Masks against the exact chances of tests/support/mask_reference.h. FSFM_TEST_SEED draws others. */
#include "core/mask/strategy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/mask_reference.h"

enum { DRAWS = 20000, P_MAX = FSFM_PATCHES_MAX, KINDS = 8 };
#define Z_MAX 4.7 /* one test in 800,000 lies beyond by chance; some 400 are made */

static const char *const strategy_names[] = {"random", "fasking_i", "frp", "crfr_r", "crfr_p"};

static uint64_t test_seed(void)
{
    const char *given = getenv("FSFM_TEST_SEED");
    return given ? strtoull(given, NULL, 10) : 20240607;
}

static fsfm_random test_stream(int test, int64_t sample)
{
    return fsfm_random_stream(test_seed(), FSFM_RANDOM_TEST, (uint32_t)test, (uint64_t)sample);
}

/* Images of patches: 0 .. 2 random groups, few to many a patch; 3 no coverable group; 4 all one coverable
 * group; 5 every patch has every group; 6 no group at all; 7 bands, as in a face. */
static void make_image(int kind, int patches, int salt, uint16_t *bits)
{
    fsfm_random random = test_stream(1000 + kind, salt);
    static const uint16_t bands[8] = {128 | 32, 32,     32 | 64 | 16, 1 | 64,
                                      2 | 64,   4 | 64, 8 | 64,       64 | 128 | 16};
    for (int p = 0; p < patches; p++) {
        unsigned has = 1u << fsfm_random_below(&random, 8);
        for (int more = 0; more < kind && kind < 3; more++) has |= 1u << fsfm_random_below(&random, 8);
        if (kind == 3) has = has & 1 ? 64 : 128;
        if (kind == 4) has = 4;
        if (kind == 5) has = 255;
        if (kind == 6) has = 0;
        if (kind == 7) has = bands[p * 8 / patches];
        bits[p] = (uint16_t)has;
    }
}

static void test_budget(void **state)
{
    (void)state;
    static const int sizes[] = {1, 7, 16, 49, 196, 256, 1024};
    for (int i = 0; i < 7; i++)
        for (int k = 0; k <= 20; k++) /* ratio k / 20 in whole numbers */
            assert_int_equal(fsfm_mask_budget(sizes[i], k * 0.05), sizes[i] - sizes[i] * (20 - k) / 20);
    assert_int_equal(fsfm_mask_budget(196, 0.75), 147);
    assert_int_equal(fsfm_mask_budget(196, 0.3), 59); /* 196 x 0.7 = 137.2 stay as 137 */
    assert_int_equal(fsfm_mask_budget(100, 0.9), 90); /* 1 - 0.9 is below 0.1 */
    assert_true(fsfm_mask_needs_regions(FSFM_MASK_FASKING_I) && !fsfm_mask_needs_regions(FSFM_MASK_RANDOM));
}

static void check_draws(fsfm_mask_strategy strategy, int patches, int budget, int kind, int draws)
{
    uint16_t bits[P_MAX];
    uint8_t mask[P_MAX + 1], region[P_MAX + 1];
    for (int draw = 0; draw < draws; draw++) {
        make_image(kind, patches, draw, bits);
        fsfm_random random = test_stream((int)strategy * 4096 + budget, draw);
        memset(mask, 7, sizeof mask);
        memset(region, 7, sizeof region);
        const int covered =
            fsfm_mask_draw(strategy, patches, budget, bits, FSFM_REGION_NONE, &random, mask, region);
        const char *wrong = reference_wrong(strategy, patches, budget, bits, mask, region, covered);
        if (!wrong && (mask[patches] != 7 || region[patches] != 7)) wrong = "written past the end";
        if (wrong)
            fail_msg("%s, %d patches, budget %d, image %d, draw %d: %s", strategy_names[strategy], patches,
                     budget, kind, draw, wrong);
    }
}

static void test_every_mask(void **state)
{
    (void)state;
    static const int sizes[] = {16, 196, 256};
    for (int strategy = 0; strategy < FSFM_MASK_STRATEGIES; strategy++)
        for (int i = 0; i < 3; i++)
            for (int k = 1; k < 20; k++)
                for (int kind = 0; kind < KINDS; kind++)
                    check_draws((fsfm_mask_strategy)strategy, sizes[i], fsfm_mask_budget(sizes[i], k * 0.05),
                                kind, 8);
}

static void test_edge_budgets(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 9, 196, P_MAX};
    for (int strategy = 0; strategy < FSFM_MASK_STRATEGIES; strategy++)
        for (int i = 0; i < 5; i++)
            for (int kind = 0; kind < KINDS; kind++) {
                const int budgets[] = {0, 1, sizes[i] - 1, sizes[i]};
                for (int b = 0; b < 4; b++)
                    check_draws((fsfm_mask_strategy)strategy, sizes[i], budgets[b], kind, 8);
            }
}

/* Draws all masks of a small image and compares with the chances that reference has for each (region, mask).
 */
static double masks_z(fsfm_mask_strategy drawn, int patches, int budget, const uint16_t *bits, int forced,
                      int test, reference_chances chance)
{
    static int64_t count[1 + REFERENCE_COVERABLE][1 << REFERENCE_PATCHES_MAX];
    memset(count, 0, sizeof count);
    for (int draw = 0; draw < DRAWS; draw++) {
        uint8_t mask[REFERENCE_PATCHES_MAX], region[REFERENCE_PATCHES_MAX];
        fsfm_random random = test_stream(test, draw);
        const int covered = fsfm_mask_draw(drawn, patches, budget, bits, forced, &random, mask, region);
        unsigned set = 0;
        for (int p = 0; p < patches; p++) set |= (unsigned)mask[p] << p;
        count[1 + covered][set]++;
    }
    return chi_square_z(count[0], chance[0], (1 + REFERENCE_COVERABLE) << REFERENCE_PATCHES_MAX, DRAWS);
}

static void test_chance_of_every_mask(void **state)
{
    (void)state;
    static reference_chances chance;
    static const int budgets[] = {1, 3, 5, 7, 8, 9};
    print_message("seed %llu\n", (unsigned long long)test_seed());
    double worst = 0.0;
    for (int image = 0; image < 2 * KINDS; image++)
        for (int b = 0; b < 6; b++)
            for (int s = 0; s < FSFM_MASK_STRATEGIES; s++) {
                uint16_t bits[REFERENCE_PATCHES_MAX];
                const int kind = image % KINDS, patches = REFERENCE_PATCHES_MAX,
                          test = (image * 6 + b) * 8 + s;
                if (image >= KINDS && kind > 2) continue; /* only the random ones have a second one */
                make_image(kind, patches, image, bits);
                reference_mask_chance((fsfm_mask_strategy)s, patches, budgets[b], bits, chance);
                const double z =
                    masks_z((fsfm_mask_strategy)s, patches, budgets[b], bits, FSFM_REGION_NONE, test, chance);
                if (!(z < Z_MAX))
                    fail_msg("%s, image %d, budget %d: %.1f standard deviations", strategy_names[s], image,
                             budgets[b], z);
                worst = fmax(worst, z);
            }
    print_message("worst of all: %.2f standard deviations\n", worst);
}

/* Groups that give one patch too few or too many, or halves; nothing but the whole rule gets all of these
 * right. */
static void test_rounding(void **state)
{
    (void)state;
    static const struct {
        int patches, budget;
        uint16_t bits[REFERENCE_PATCHES_MAX];
    } images[] = {
        {6, 3, {1, 2, 4, 8, 32, 64}},                        /* six halves: 0 each, three added */
        {9, 5, {2, 2, 2, 4, 4, 4, 8, 8, 8}},                 /* 5/3 each: 6, one removed */
        {10, 5, {1, 1, 1, 2, 2, 2, 4, 8, 64, 64}},           /* 1.5 -> 2, 1.5 -> 2, 0.5 -> 0, 0.5 -> 0, 1 */
        {8, 5, {1, 2, 2, 2, 64, 64, 64, 128}},               /* one covered: share 4/7, not 5/8 */
        {10, 6, {16 | 64, 16 | 2, 2, 2, 6, 6, 6, 4, 64, 1}}, /* who owns 6 depends on what is covered */
    };
    static reference_chances chance;
    for (int i = 0; i < 5; i++)
        for (int s = FSFM_MASK_FRP; s <= FSFM_MASK_CRFR_P; s++) {
            reference_mask_chance((fsfm_mask_strategy)s, images[i].patches, images[i].budget, images[i].bits,
                                  chance);
            const double z = masks_z((fsfm_mask_strategy)s, images[i].patches, images[i].budget,
                                     images[i].bits, FSFM_REGION_NONE, 800 + i * 8 + s, chance);
            if (!(z < Z_MAX)) fail_msg("%s, image %d: %.1f standard deviations", strategy_names[s], i, z);
        }
}

static void test_forced_region(void **state)
{
    (void)state;
    static reference_chances chance, all;
    const uint16_t bits[10] = {1,  1 | 2, 2,   32,  32 | 64,
                               64, 64,    128, 128, 128}; /* no nose, mouth or boundary */
    for (int s = FSFM_MASK_CRFR_R; s <= FSFM_MASK_CRFR_P; s++)
        for (int forced = 0; forced < REFERENCE_COVERABLE; forced++) {
            const bool present = reference_patches_with(10, bits, 1u << forced) > 0;
            memset(chance, 0, sizeof chance);
            reference_mask_chance(present ? (fsfm_mask_strategy)s : FSFM_MASK_FRP, 10, 6, bits, all);
            const int row = present ? 1 + forced : 0;
            for (int set = 0; set < 1024; set++) chance[row][set] = all[row][set] * (present ? 3.0 : 1.0);
            const double z =
                masks_z((fsfm_mask_strategy)s, 10, 6, bits, forced, 900 + s * 8 + forced, chance);
            if (!(z < Z_MAX))
                fail_msg("%s, forced %d: %.1f standard deviations", strategy_names[s], forced, z);
        }
}

/* A grid of its real size: every patch's own chance, given the covered group. */
static void test_chance_of_every_patch(void **state)
{
    (void)state;
    static const int sizes[] = {196, 256};
    for (int i = 0; i < 2; i++)
        for (int forced = FSFM_REGION_NONE; forced < REFERENCE_COVERABLE; forced++)
            for (int kind = 1; kind < KINDS; kind += 6) { /* random groups; a face */
                const int patches = sizes[i], budget = fsfm_mask_budget(patches, 0.65);
                int64_t count[256] = {0};
                double chance[256];
                uint16_t bits[256];
                uint8_t mask[256], region[256];
                make_image(kind, patches, 5, bits);
                reference_patch_chance(patches, budget, bits, forced, chance);
                for (int draw = 0; draw < DRAWS; draw++) {
                    fsfm_random random = test_stream(2000 + i * 64 + forced * 8 + kind, draw);
                    fsfm_mask_draw(forced < 0 ? FSFM_MASK_FRP : FSFM_MASK_CRFR_P, patches, budget, bits,
                                   forced, &random, mask, region);
                    for (int p = 0; p < patches; p++) count[p] += mask[p];
                }
                double expected[256], variance[256];
                for (int p = 0; p < patches; p++) {
                    expected[p] = DRAWS * chance[p];
                    variance[p] = DRAWS * chance[p] * (1.0 - chance[p]);
                }
                const double z = events_z(count, expected, variance, patches);
                if (!(z < Z_MAX))
                    fail_msg("%d patches, covered %d: %.1f standard deviations", patches, forced, z);
            }
}

static void test_covered_is_uniform(void **state)
{
    (void)state;
    for (unsigned present = 1; present < 64; present++) {
        uint16_t bits[16] = {128, 128, 64};
        double chance[REFERENCE_COVERABLE];
        int64_t count[REFERENCE_COVERABLE] = {0};
        uint8_t mask[16], region[16];
        for (int g = 0; g < REFERENCE_COVERABLE; g++) {
            chance[g] = present >> g & 1 ? 1.0 / __builtin_popcount(present) : 0.0;
            if (present >> g & 1) bits[g] |= (uint16_t)(1u << g);
            if (present >> g & 1) bits[15] |= (uint16_t)(1u << g);
        }
        for (int draw = 0; draw < DRAWS / 5; draw++) {
            fsfm_random random = test_stream(3000 + (int)present, draw);
            const fsfm_mask_strategy strategy = draw % 2 ? FSFM_MASK_CRFR_P : FSFM_MASK_CRFR_R;
            count[fsfm_mask_draw(strategy, 16, 12, bits, FSFM_REGION_NONE, &random, mask, region)]++;
        }
        assert_true(chi_square_z(count, chance, REFERENCE_COVERABLE, DRAWS / 5) < Z_MAX);
    }
}

static void test_batch_region(void **state)
{
    (void)state;
    int64_t count[36] = {0};
    double chance[36];
    for (int i = 0; i < 36; i++) chance[i] = 1.0 / 36.0;
    for (int64_t step = 0; step < 200; step++)
        for (int64_t group = 0; group < 100; group++) { /* of two neighbours together: they are independent */
            const int one = fsfm_mask_batch_region(7, step, group),
                      two = fsfm_mask_batch_region(7, step, group + 1);
            assert_in_range(one, 0, 5);
            assert_int_equal(one, fsfm_mask_batch_region(7, step, group));
            count[one * 6 + two]++;
        }
    assert_true(chi_square_z(count, chance, 36, DRAWS) < Z_MAX);
    fsfm_random random = fsfm_random_stream(9, FSFM_RANDOM_REGION_BATCH, 0, (uint64_t)123456 << 20 | 77);
    assert_int_equal(fsfm_mask_batch_region(9, 123456, 77), fsfm_random_below(&random, 6));
}

/* A run that is resumed by another build must go on with the masks that it had: these numbers may not change.
 */
static void test_same_masks_for_ever(void **state)
{
    (void)state;
    static const uint64_t want[FSFM_MASK_STRATEGIES] = {
        0xe562992c0471e6f4, 0x1e39b88de602446e, 0x93031cdf88f257e8, 0x1fad8ca5c9def7e6, 0x6719c0c6b3cc2fb0};
    for (int s = 0; s < FSFM_MASK_STRATEGIES; s++) {
        uint16_t bits[196];
        uint8_t mask[196], region[196];
        uint64_t hash = 14695981039346656037u; /* FNV-1a */
        for (int p = 0; p < 196; p++) bits[p] = (uint16_t)(1u << p % 8 | 1u << p / 25);
        for (uint64_t sample = 0; sample < 50; sample++) {
            fsfm_random random = fsfm_random_stream(1, FSFM_RANDOM_MASK, 2, sample);
            fsfm_mask_draw((fsfm_mask_strategy)s, 196, sample % 2 ? 147 : 60, bits, FSFM_REGION_NONE, &random,
                           mask, region);
            for (int p = 0; p < 196; p++)
                hash = (hash ^ (mask[p] | (unsigned)region[p] << 1)) * 1099511628211u;
        }
        if (hash != want[s]) fail_msg("%s: %#llx", strategy_names[s], (unsigned long long)hash);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_every_mask),
        cmocka_unit_test(test_edge_budgets),
        cmocka_unit_test(test_chance_of_every_mask),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_forced_region),
        cmocka_unit_test(test_chance_of_every_patch),
        cmocka_unit_test(test_covered_is_uniform),
        cmocka_unit_test(test_batch_region),
        cmocka_unit_test(test_same_masks_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
