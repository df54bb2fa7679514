/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mask/regions.h"

#include <string.h>

#include "core/base/random.h"
#include "tests/support/check.h"
#include "tests/support/mask_reference.h"

enum {
    BROWS = 1 << 0,
    EYES = 1 << 1,
    NOSE = 1 << 2,
    MOUTH = 1 << 3,
    BOUNDARY = 1 << 4,
    HAIR = 1 << 5,
    SKIN = 1 << 6,
    BACKGROUND = 1 << 7
};

/* The bits of a single patch of 4 x 4 pixels with count[i] pixels of label[i], the rest filled with fill. */
static unsigned bits_of(int threshold, int fill, int kinds, const int *label, const int *count)
{
    uint8_t map[16];
    uint16_t bits = 0xFFFF;
    memset(map, fill, sizeof map);
    for (int kind = 0, at = 0; kind < kinds; kind++)
        for (int i = 0; i < count[kind]; i++) map[at++] = (uint8_t)label[kind];
    fsfm_regions_from_map(map, 4, 4, threshold, &bits);
    return bits;
}

static void test_each_label(void **state)
{
    (void)state;
    static const unsigned want[FSFM_LABELS] = {BACKGROUND, SKIN,  BROWS, BROWS, EYES, EYES,
                                               NOSE,       MOUTH, MOUTH, MOUTH, HAIR};
    for (int label = 0; label < FSFM_LABELS; label++)
        for (int threshold = 0; threshold < 20; threshold++) /* 16 and more: no group is above it */
            assert_int_equal(bits_of(threshold, label, 0, NULL, NULL), want[label]);
}

static void test_any_pixel_counts(void **state)
{
    (void)state;
    assert_int_equal(bits_of(0, 1, 1, (int[]){6}, (int[]){1}), NOSE | SKIN);
    assert_int_equal(bits_of(0, 1, 1, (int[]){10}, (int[]){1}), BOUNDARY | HAIR | SKIN);
    assert_int_equal(bits_of(0, 0, 1, (int[]){1}, (int[]){1}), BOUNDARY | SKIN | BACKGROUND);
    assert_int_equal(bits_of(0, 0, 1, (int[]){10}, (int[]){8}), HAIR | BACKGROUND); /* no skin: no boundary */
    assert_int_equal(bits_of(0, 0, 4, (int[]){2, 5, 8, 1}, (int[]){1, 1, 1, 1}),
                     BROWS | EYES | MOUTH | BOUNDARY | SKIN | BACKGROUND);
}

static void test_threshold(void **state)
{
    (void)state;
    assert_int_equal(bits_of(3, 1, 1, (int[]){6}, (int[]){3}), SKIN); /* more than, not as many as */
    assert_int_equal(bits_of(3, 1, 1, (int[]){6}, (int[]){4}), NOSE | SKIN);
    assert_int_equal(bits_of(3, 1, 2, (int[]){2, 3}, (int[]){2, 2}),
                     BROWS | SKIN); /* the group's labels together */
    assert_int_equal(bits_of(3, 1, 3, (int[]){7, 8, 9}, (int[]){2, 1, 1}), MOUTH | SKIN);
    /* boundary: hair and background together, though neither alone is above it */
    assert_int_equal(bits_of(3, 1, 2, (int[]){0, 10}, (int[]){2, 2}), BOUNDARY | SKIN);
    assert_int_equal(bits_of(3, 1, 2, (int[]){0, 10}, (int[]){1, 2}), SKIN);
    assert_int_equal(bits_of(3, 0, 1, (int[]){1}, (int[]){3}), BACKGROUND);
}

static void test_patch_without_group(void **state)
{
    (void)state;
    assert_int_equal(bits_of(9, 6, 2, (int[]){4, 10}, (int[]){7, 4}), EYES); /* 7, 4, and 5 of nose */
    assert_int_equal(bits_of(9, 10, 1, (int[]){6}, (int[]){8}), NOSE);       /* a tie: the lowest label */
    assert_int_equal(bits_of(9, 0, 1, (int[]){10}, (int[]){8}), BACKGROUND); /* a tie */
    assert_int_equal(bits_of(9, 1, 2, (int[]){0, 10}, (int[]){4, 4}),
                     SKIN); /* 8 of skin, 8 not: no boundary */
    /* the largest label decides, not the largest group: mouth 3 + 3 + 3, nose 7 */
    assert_int_equal(bits_of(9, 6, 3, (int[]){7, 8, 9}, (int[]){3, 3, 3}), NOSE);
    assert_int_equal(bits_of(8, 6, 3, (int[]){7, 8, 9}, (int[]){3, 3, 3}), MOUTH);
}

static void test_order_of_patches(void **state)
{
    (void)state;
    uint8_t map[12 * 12];
    uint16_t bits[9];
    for (int i = 0; i < 144; i++)
        map[i] = (uint8_t)(i / 12 / 4 * 3 + i % 12 / 4); /* label = number of the patch */
    fsfm_regions_from_map(map, 12, 4, 0, bits);
    static const unsigned want[9] = {BACKGROUND, SKIN, BROWS, BROWS, EYES, EYES, NOSE, MOUTH, MOUTH};
    for (int p = 0; p < 9; p++) assert_int_equal(bits[p], want[p]);
}

/* Blobs: rectangles of random labels over each other, so that words of equal and of mixed labels both occur.
 */
static void random_map(uint8_t *map, int size, fsfm_random *random)
{
    memset(map, (int)fsfm_random_below(random, FSFM_LABELS), (size_t)size * (size_t)size);
    for (int blob = 0; blob < 60; blob++) {
        const int x0 = (int)fsfm_random_below(random, (uint32_t)size),
                  y0 = (int)fsfm_random_below(random, (uint32_t)size);
        const int w = 1 + (int)fsfm_random_below(random, 40), h = 1 + (int)fsfm_random_below(random, 40);
        const uint8_t label = (uint8_t)fsfm_random_below(random, FSFM_LABELS);
        for (int y = y0; y < y0 + h && y < size; y++)
            for (int x = x0; x < x0 + w && x < size; x++) map[y * size + x] = label;
    }
}

static void test_against_reference(void **state)
{
    (void)state;
    static const int sizes[][2] = {{224, 16}, {224, 14}, {96, 16}, {60, 5}, {21, 7}, {16, 1}};
    static const int thresholds[] = {0, 1, 7, 30, 100};
    static uint8_t map[224 * 224];
    static uint16_t bits[256];
    for (int s = 0; s < 6; s++)
        for (int t = 0; t < 5; t++) {
            fsfm_random random = fsfm_random_stream(11, FSFM_RANDOM_TEST, (uint32_t)s, (uint64_t)t);
            const int size = sizes[s][0], patch = sizes[s][1], grid = size / patch;
            random_map(map, size, &random);
            memset(bits, 0xFF, sizeof bits);
            fsfm_regions_from_map(map, size, patch, thresholds[t], bits);
            for (int p = 0; p < grid * grid; p++) {
                unsigned want = 0;
                for (int g = 0; g < FSFM_REGIONS; g++)
                    if (reference_has_region(map, size, patch, thresholds[t], p / grid, p % grid, g))
                        want |= 1u << g;
                if (bits[p] != want)
                    fail_msg("size %d patch %d threshold %d: patch %d has %#x, expected %#x", size, patch,
                             thresholds[t], p, bits[p], want);
            }
        }
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(fsfm_region_name(FSFM_REGION_BROWS), "brows");
    assert_string_equal(fsfm_region_name(FSFM_REGION_BOUNDARY), "boundary");
    assert_string_equal(fsfm_region_name(FSFM_REGION_BACKGROUND), "background");
    assert_string_equal(fsfm_region_name(FSFM_REGION_NONE), "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_label),
        cmocka_unit_test(test_any_pixel_counts),
        cmocka_unit_test(test_threshold),
        cmocka_unit_test(test_patch_without_group),
        cmocka_unit_test(test_order_of_patches),
        cmocka_unit_test(test_against_reference),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
