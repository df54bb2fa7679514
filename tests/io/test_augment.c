/* SPDX-License-Identifier: Apache-2.0 */
#include "io/augment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "io/image.h"
#include "io/resampler.h"
#include "tests/support/check.h"

static void fill_noise(uint8_t *bytes, size_t count, uint64_t seed)
{
    fsfm_random random = fsfm_random_stream(seed, FSFM_RANDOM_TEST, 0, 0);
    for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)fsfm_random_u32(&random);
}

/* Noise, so that every weight shows; one resampler for cuts of many sizes, larger and smaller than the
 * output. */
static void resampler_gives_the_bytes_of_crop_resize(void **state)
{
    (void)state;
    enum { WIDTH = 83, HEIGHT = 61, MAX = 61 };
    const int sizes[] = {1, 7, 32, 61, 97, 224};
    uint8_t pixels[WIDTH * HEIGHT * 3];
    static uint8_t got[224 * 224 * 3];
    const fsfm_image image = {WIDTH, HEIGHT, 3, pixels};
    fsfm_random random = fsfm_random_stream(2, FSFM_RANDOM_TEST, 0, 0);
    fsfm_error err;
    fill_noise(pixels, sizeof pixels, 1);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int size = sizes[s];
        fsfm_resampler *resampler = NULL;
        assert_ok(fsfm_resampler_create(MAX, size, &resampler, &err), &err);
        for (int i = 0; i < 20; i++) {
            const int width = i == 0 ? MAX : 1 + (int)fsfm_random_below(&random, MAX);
            const int height = i == 0 ? MAX : 1 + (int)fsfm_random_below(&random, MAX);
            const int x = (int)fsfm_random_below(&random, (uint32_t)(WIDTH - width + 1));
            const int y = (int)fsfm_random_below(&random, (uint32_t)(HEIGHT - height + 1));
            fsfm_image want;
            assert_ok(fsfm_image_crop_resize(&image, x, y, width, height, size, &want, &err), &err);
            fsfm_resampler_run(resampler, pixels, WIDTH, x, y, width, height, got);
            assert_memory_equal(got, want.pixels, (size_t)size * (size_t)size * 3);
            fsfm_image_free(&want);
        }
        fsfm_resampler_free(&resampler);
        assert_null(resampler);
    }
}

static void map_follows_a_cut(void **state)
{
    (void)state;
    enum { SIZE = 37 };
    uint8_t map[SIZE * SIZE], got[SIZE * SIZE];
    const fsfm_image labels = {SIZE, SIZE, 1, map};
    fill_noise(map, sizeof map, 3);
    for (int64_t sample = 0; sample < 200; sample++) {
        const fsfm_cut cut = fsfm_cut_draw(FSFM_VIEW_CROP, SIZE, 5, (fsfm_place){0, 0, sample});
        fsfm_image want;
        fsfm_error err;
        assert_ok(fsfm_map_crop_resize(&labels, cut.x, cut.y, cut.width, cut.height, SIZE, &want, &err),
                  &err);
        fsfm_cut_map(&cut, map, SIZE, got);
        for (int i = 0; i < SIZE * SIZE; i++) {
            const int from = cut.is_flipped ? i / SIZE * SIZE + SIZE - 1 - i % SIZE : i;
            assert_int_equal(got[i], want.pixels[from]);
        }
        fsfm_image_free(&want);
    }
}

static void cuts_are_as_described(void **state)
{
    (void)state;
    enum { SIZE = 224, DRAWS = 20000 };
    double area_sum = 0, log_ratio_sum = 0;
    int flipped = 0, smallest = SIZE, touches[4] = {0};
    for (int64_t sample = 0; sample < DRAWS; sample++) {
        const fsfm_place place = {1, (uint32_t)(sample % 3), sample};
        const fsfm_cut cut = fsfm_cut_draw(FSFM_VIEW_CROP, SIZE, 9, place),
                       same = fsfm_cut_draw(FSFM_VIEW_CROP, SIZE, 9, place);
        assert_memory_equal(&cut, &same, offsetof(fsfm_cut, is_flipped) + 1);
        assert_true(cut.x >= 0 && cut.y >= 0 && cut.x + cut.width <= SIZE && cut.y + cut.height <= SIZE);
        const double area = (double)cut.width * cut.height / (SIZE * SIZE),
                     ratio = (double)cut.width / cut.height;
        assert_true(area > 0.49 && area <= 1.0);
        assert_true(ratio > 0.735 && ratio < 1.36); /* 3/4 to 4/3, and a pixel's rounding */
        area_sum += area;
        log_ratio_sum += log(ratio);
        flipped += cut.is_flipped;
        smallest = cut.width < smallest ? cut.width : smallest;
        touches[0] += cut.x == 0;
        touches[1] += cut.y == 0;
        touches[2] += cut.x + cut.width == SIZE;
        touches[3] += cut.y + cut.height == SIZE;
    }
    assert_in_range(flipped, DRAWS / 2 - 400, DRAWS / 2 + 400);
    assert_true(fabs(log_ratio_sum / DRAWS) < 0.006); /* wide as often as high */
    assert_true(area_sum / DRAWS > 0.66 &&
                area_sum / DRAWS < 0.75); /* tall ones that do not fit are redrawn */
    assert_true(smallest < 145);          /* sqrt(0.5 * 3 / 4) 224 = 137 */
    for (int i = 1; i < 4; i++) assert_in_range(abs(touches[i] - touches[0]), 0, 400);
}

static void views_without_a_crop_keep_everything(void **state)
{
    (void)state;
    int flipped = 0;
    for (int64_t sample = 0; sample < 1000; sample++) {
        const fsfm_place place = {0, 4, sample};
        const fsfm_cut none = fsfm_cut_draw(FSFM_VIEW_NONE, 32, 9, place),
                       flip = fsfm_cut_draw(FSFM_VIEW_FLIP, 32, 9, place);
        assert_true(none.x == 0 && none.y == 0 && none.width == 32 && none.height == 32 && !none.is_flipped);
        assert_true(flip.x == 0 && flip.y == 0 && flip.width == 32 && flip.height == 32);
        flipped += flip.is_flipped;
    }
    assert_in_range(flipped, 500 - 90, 500 + 90);
}

static void flips_mirror(void **state)
{
    (void)state;
    uint8_t odd[2 * 3 * 3] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19};
    const uint8_t want_odd[2 * 3 * 3] = {7, 8, 9, 4, 5, 6, 1, 2, 3, 17, 18, 19, 14, 15, 16, 11, 12, 13};
    const uint16_t bits[9] = {1, 2, 300, 4, 5, 6, 7, 8, 9}, want_bits[9] = {300, 2, 1, 6, 5, 4, 9, 8, 7};
    uint16_t got_bits[9];
    fsfm_flip_pixels(odd, 3, 2);
    assert_memory_equal(odd, want_odd, sizeof odd);
    fsfm_flip_bits(bits, 3, got_bits);
    assert_memory_equal(got_bits, want_bits, sizeof got_bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resampler_gives_the_bytes_of_crop_resize),
        cmocka_unit_test(map_follows_a_cut),
        cmocka_unit_test(cuts_are_as_described),
        cmocka_unit_test(views_without_a_crop_keep_everything),
        cmocka_unit_test(flips_mirror),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
