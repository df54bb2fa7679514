/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/pictures.h"
#include "tests/support/check.h"

static void read_back(const char *path, fsfm_image *out)
{
    fsfm_error err;
    uint8_t *bytes;
    size_t size_bytes;
    assert_ok(fsfm_file_read(path, &bytes, &size_bytes, &err), &err);
    assert_ok(fsfm_image_decode(bytes, size_bytes, out, &err), &err);
    free(bytes);
}

static int count_colour(const fsfm_image *image, uint8_t r, uint8_t g, uint8_t b)
{
    int count = 0;
    for (int i = 0; i < image->width * image->height; i++) {
        const uint8_t *p = image->pixels + 3 * i;
        count += p[0] == r && p[1] == g && p[2] == b;
    }
    return count;
}

/* The cells stand on the sheet whole, scaled or not, and captions take room only where there are any. */
static void test_sheet(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_sheet *sheet;
    fsfm_image plain, captioned;
    char folder[256], path[512];
    uint8_t red[32 * 32 * 3], blue[8 * 8 * 3];
    for (int i = 0; i < 32 * 32; i++) memcpy(red + 3 * i, "\xff\x00\x00", 3);
    for (int i = 0; i < 8 * 8; i++) memcpy(blue + 3 * i, "\x00\x00\xff", 3);
    make_folder(folder);
    snprintf(path, sizeof path, "%s/sheet.png", folder);
    assert_ok(fsfm_sheet_create(3, 2, 32, "", &sheet, &err), &err);
    fsfm_sheet_put(sheet, 0, 0, red, 32);
    fsfm_sheet_put(sheet, 2, 1, blue, 8);
    fsfm_sheet_put(sheet, 3, 0, red, 32); /* outside: left out */
    assert_ok(fsfm_sheet_write(sheet, path, &err), &err);
    read_back(path, &plain);
    assert_int_equal(count_colour(&plain, 255, 0, 0), 32 * 32);
    assert_int_equal(count_colour(&plain, 0, 0, 255), 32 * 32);
    fsfm_sheet_column_caption(sheet, 1,
                              "a caption that is much too long for its column, and longer than its buffer");
    fsfm_sheet_row_caption(sheet, 1, "row \x01\xc3");
    assert_ok(fsfm_sheet_write(sheet, path, &err), &err);
    read_back(path, &captioned);
    assert_true(captioned.width > plain.width && captioned.height > plain.height);
    assert_int_equal(count_colour(&captioned, 255, 0, 0), 32 * 32);
    assert_true(count_colour(&captioned, 32, 36, 44) > 60);
    assert_int_equal(count_colour(&plain, 32, 36, 44), 0);
    fsfm_image_free(&captioned);
    fsfm_image_free(&plain);
    snprintf(path, sizeof path, "%s/none/sheet.png", folder);
    assert_fails(fsfm_sheet_write(sheet, path, &err), FSFM_ERR_IO, &err, path);
    fsfm_sheet_free(&sheet);
    assert_null(sheet);
    fsfm_sheet_free(&sheet);
    assert_fails(fsfm_sheet_create(0, 2, 32, "x", &sheet, &err), FSFM_ERR_ARG, &err, "sheet");
    assert_fails(fsfm_sheet_create(1000, 2, 64, "x", &sheet, &err), FSFM_ERR_ARG, &err, "sheet");
    remove_folder(folder);
}

static void test_paint_mask(void **state)
{
    (void)state;
    uint8_t image[8 * 8 * 3];
    const uint8_t mask[4] = {0, 1, 1, 0}, region[4] = {0, 0, 1, 0};
    memset(image, 7, sizeof image);
    fsfm_paint_mask(image, 8, 4, mask, region);
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 8; x++) {
            const uint8_t *p = image + (y * 8 + x) * 3;
            if (y / 4 == x / 4)
                assert_true(p[0] == 7 && p[1] == 7 && p[2] == 7);
            else if (y / 4 == 0)
                assert_true(p[0] == 128 && p[1] == 128 && p[2] == 128);
            else
                assert_true(p[0] > p[1] && p[1] > p[2]);
        }
    uint8_t other[8 * 8 * 3];
    memset(other, 7, sizeof other);
    fsfm_paint_mask(other, 8, 4, mask, NULL);
    assert_int_equal(other[(4 * 8) * 3], 128);
}

/* The first group of a patch gives the colour; a patch without a group stays. */
static void test_paint_regions(void **state)
{
    (void)state;
    uint8_t image[12 * 4 * 4 * 3 * 3];
    uint16_t bits[9] = {1, 2, 4, 8, 16, 32, 64, 128, 0};
    memset(image, 100, sizeof image);
    fsfm_paint_regions(image, 12, 4, bits);
    for (int a = 0; a < 9; a++)
        for (int b = a + 1; b < 9; b++) {
            const uint8_t *p = image + ((a / 3 * 4) * 12 + a % 3 * 4) * 3,
                          *q = image + ((b / 3 * 4) * 12 + b % 3 * 4) * 3;
            assert_true(abs(p[0] - q[0]) + abs(p[1] - q[1]) + abs(p[2] - q[2]) > 24);
        }
    uint8_t first[3];
    memcpy(first, image, 3);
    memset(image, 100, sizeof image);
    bits[0] = 1 | 64 | 16;
    fsfm_paint_regions(image, 12, 4, bits);
    assert_memory_equal(image, first, 3);
    assert_int_equal(image[(8 * 12 + 8) * 3], 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sheet),
        cmocka_unit_test(test_paint_mask),
        cmocka_unit_test(test_paint_regions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
