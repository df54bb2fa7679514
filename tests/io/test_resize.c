/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "io/image.h"
#include "tests/support/check.h"

static double keys(double t)
{
    const double x = fabs(t);
    if (x <= 1.0) return 1.5 * x * x * x - 2.5 * x * x + 1.0;
    if (x <= 2.0) return -0.5 * x * x * x + 2.5 * x * x - 4.0 * x + 2.0;
    return 0.0;
}

/* One line of m values (stride apart) to n, every input value considered for every output, rounded to u8. */
static void resize_line(const uint8_t *in, int m, size_t in_stride, uint8_t *out, int n, size_t out_stride)
{
    for (int i = 0; i < n; i++) {
        const double c = (i + 0.5) * m / n, s = m > n ? (double)m / n : 1.0;
        double sum = 0.0, weights = 0.0;
        for (int x = 0; x < m; x++) {
            const double w = keys((x + 0.5 - c) / s);
            weights += w;
            sum += w * in[(size_t)x * in_stride];
        }
        const double value = floor(sum / weights + 0.5);
        out[(size_t)i * out_stride] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

static void reference(const fsfm_image *image, int x, int y, int width, int height, int size, uint8_t *out)
{
    const size_t channels = (size_t)image->channels, line = (size_t)size * channels;
    uint8_t *rows = malloc((size_t)height * line);
    assert_non_null(rows);
    for (size_t c = 0; c < channels; c++) {
        for (int row = 0; row < height; row++)
            resize_line(image->pixels + ((size_t)(y + row) * (size_t)image->width + (size_t)x) * channels + c,
                        width, channels, rows + (size_t)row * line + c, size, channels);
        for (int column = 0; column < size; column++)
            resize_line(rows + (size_t)column * channels + c, height, line,
                        out + (size_t)column * channels + c, size, line);
    }
    free(rows);
}

static void fill(fsfm_image *image, int width, int height, int channels, uint64_t seed)
{
    fsfm_error err;
    fsfm_random random = fsfm_random_stream(seed, FSFM_RANDOM_TEST, 0, 0);
    assert_ok(fsfm_image_create(width, height, channels, image, &err), &err);
    for (int i = 0; i < width * height * channels; i++) image->pixels[i] = (uint8_t)fsfm_random_u32(&random);
}

/* Whole-number weights may round a tie the other way: one level, on few pixels. */
static void test_against_reference(void **state)
{
    (void)state;
    static const int cases[][7] = {/* width, height, x, y, w, h, size */
                                   {40, 30, 0, 0, 40, 30, 16},  {17, 23, 0, 0, 17, 23, 56},
                                   {60, 60, 7, 11, 31, 44, 24}, {9, 9, 3, 2, 1, 1, 8},
                                   {150, 7, 0, 0, 150, 7, 10},  {33, 64, 1, 0, 32, 64, 33},
                                   {300, 20, 0, 0, 300, 20, 1}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int channels = 1; channels <= 3; channels += 2) {
            const int *t = cases[k], size = t[6], values = size * size * channels;
            fsfm_image image, out;
            fsfm_error err;
            fill(&image, t[0], t[1], channels, k);
            uint8_t *want = malloc((size_t)values);
            assert_non_null(want);
            reference(&image, t[2], t[3], t[4], t[5], size, want);
            assert_ok(fsfm_image_crop_resize(&image, t[2], t[3], t[4], t[5], size, &out, &err), &err);
            assert_int_equal(out.width, size);
            assert_int_equal(out.channels, channels);
            int off = 0;
            for (int i = 0; i < values; i++) {
                assert_in_range(out.pixels[i] - want[i] + 1, 0, 2);
                off += out.pixels[i] != want[i];
            }
            assert_true(off * 200 <= values);
            free(want);
            fsfm_image_free(&out);
            fsfm_image_free(&image);
        }
}

static void test_identity_and_flat(void **state)
{
    (void)state;
    fsfm_image image, out;
    fsfm_error err;
    fill(&image, 61, 64, 3, 9);
    assert_ok(fsfm_image_crop_resize(&image, 0, 3, 61, 61, 61, &out, &err), &err);
    assert_memory_equal(out.pixels, image.pixels + 3 * 61 * 3, 61 * 61 * 3);
    fsfm_image_free(&out);
    for (int level = 0; level < 256; level += 51)
        for (int size = 1; size < 200; size += 33) {
            memset(image.pixels, level, 61 * 64 * 3);
            assert_ok(fsfm_image_crop_resize(&image, 0, 0, 61, 64, size, &out, &err), &err);
            for (int i = 0; i < size * size * 3; i++) assert_int_equal(out.pixels[i], level);
            fsfm_image_free(&out);
        }
    fsfm_image_free(&image);
    fill(&image, 16384, 2, 1, 9); /* tens of thousands of tiny weights */
    memset(image.pixels, 250, 16384 * 2);
    assert_ok(fsfm_image_crop_resize(&image, 0, 0, 16384, 2, 1, &out, &err), &err);
    assert_int_equal(out.pixels[0], 250);
    fsfm_image_free(&out);
    fsfm_image_free(&image);
}

static void test_labels_take_the_nearest(void **state)
{
    (void)state;
    fsfm_image map, out;
    fsfm_error err;
    fill(&map, 50, 41, 1, 3);
    for (int size = 1; size <= 90; size += 11) {
        assert_ok(fsfm_map_crop_resize(&map, 5, 2, 37, 29, size, &out, &err), &err);
        for (int y = 0; y < size; y++)
            for (int x = 0; x < size; x++) {
                const int column = 5 + (int)floor((x + 0.5) * 37 / size),
                          row = 2 + (int)floor((y + 0.5) * 29 / size);
                assert_int_equal(out.pixels[y * size + x], map.pixels[row * 50 + column]);
            }
        fsfm_image_free(&out);
    }
    fsfm_image_free(&map);
}

static void test_crops_outside_are_refused(void **state)
{
    (void)state;
    static const int crops[][4] = {
        {-1, 0, 5, 5}, {0, -1, 5, 5}, {0, 0, 11, 5}, {0, 0, 5, 11},
        {6, 0, 5, 5},  {0, 0, 0, 5},  {0, 0, 5, -3}, {3, 3, 2147483647, 2147483647}};
    fsfm_image image, out;
    fsfm_error err;
    fill(&image, 10, 10, 1, 1);
    for (size_t k = 0; k < sizeof crops / sizeof *crops; k++) {
        const int *c = crops[k];
        assert_fails(fsfm_image_crop_resize(&image, c[0], c[1], c[2], c[3], 4, &out, &err), FSFM_ERR_ARG,
                     &err, "crop");
        assert_null(out.pixels);
        assert_fails(fsfm_map_crop_resize(&image, c[0], c[1], c[2], c[3], 4, &out, &err), FSFM_ERR_ARG, &err,
                     "crop");
    }
    assert_fails(fsfm_image_crop_resize(&image, 0, 0, 10, 10, 0, &out, &err), FSFM_ERR_ARG, &err, "output");
    fsfm_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_reference),
        cmocka_unit_test(test_identity_and_flat),
        cmocka_unit_test(test_labels_take_the_nearest),
        cmocka_unit_test(test_crops_outside_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
