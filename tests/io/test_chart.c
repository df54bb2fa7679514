/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/chart.h"
#include "io/draw.h"
#include "io/file.h"
#include "tests/support/check.h"

static const uint8_t black[3] = {0, 0, 0}, blue[3] = {46, 134, 222}, red[3] = {232, 72, 85};

static int count_colour(const fsfm_image *image, const uint8_t colour[3])
{
    int count = 0;
    for (int i = 0; i < image->width * image->height; i++)
        count += memcmp(image->pixels + 3 * i, colour, 3) == 0;
    return count;
}

static void lines_and_discs_have_their_area(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_image image;
    double darkness = 0.0;
    assert_ok(fsfm_image_create(64, 64, 3, &image, &err), &err);
    memset(image.pixels, 255, 64 * 64 * 3);
    fsfm_draw_disc(&image, 32.0, 32.0, 10.0, black);
    for (int i = 0; i < 64 * 64; i++) darkness += (255 - image.pixels[3 * i]) / 255.0;
    assert_true(fabs(darkness - 3.14159 * 100.0) < 4.0);
    memset(image.pixels, 255, 64 * 64 * 3);
    fsfm_draw_line(&image, 10.0, 20.0, 50.0, 20.0, 2.0, black);
    assert_int_equal(count_colour(&image, black), 2 * 40);
    /* What lies outside is left out, in part or whole. */
    fsfm_draw_line(&image, -1e6, -50.0, 1e6, 1e5, 3.0, black);
    fsfm_draw_disc(&image, 64.0, -3.0, 5.0, black);
    fsfm_draw_disc(&image, 1e9, 1e9, 5.0, black);
    fsfm_image_free(&image);
}

static void read_back(const char *path, fsfm_image *out)
{
    fsfm_error err;
    uint8_t *bytes;
    size_t size_bytes;
    assert_ok(fsfm_file_read(path, &bytes, &size_bytes, &err), &err);
    assert_ok(fsfm_image_decode(bytes, size_bytes, out, &err), &err);
    free(bytes);
}

/* Where the pixels of a colour are, on average: of the part left of column. */
static double middle_of(const fsfm_image *image, const uint8_t colour[3], int from, int to)
{
    double sum = 0.0;
    int count = 0;
    for (int y = 0; y < image->height; y++)
        for (int x = from; x < to; x++)
            if (memcmp(image->pixels + 3 * (y * image->width + x), colour, 3) == 0) {
                sum += y;
                count++;
            }
    assert_true(count > 0);
    return sum / count;
}

static void a_chart_shows_its_series(void **state)
{
    (void)state;
    const char *const labels[] = {"0.5", "0.75", "a long name of a value that has no room"};
    fsfm_error err;
    fsfm_chart *chart = NULL;
    fsfm_image image;
    char folder[256], path[300];
    make_folder(folder);
    snprintf(path, sizeof path, "%s/chart.png", folder);
    assert_ok(fsfm_chart_create("title", "mask.ratio", "loss", 3, labels, &chart, &err), &err);
    const int low = fsfm_chart_add_series(chart, "low"), high = fsfm_chart_add_series(chart, "");
    for (int i = 0; i < 3; i++) {
        fsfm_chart_set(chart, low, i, 1.0 - 0.1 * i, i == 1 ? 0.05 : NAN);
        fsfm_chart_set(chart, high, i, i == 1 ? NAN : 2.0, NAN);
    }
    assert_ok(fsfm_chart_add_dot(chart, low, 0, 0.8, &err), &err);
    assert_ok(fsfm_chart_write(chart, path, &err), &err);
    read_back(path, &image);
    assert_true(count_colour(&image, blue) > count_colour(&image, red));
    assert_true(count_colour(&image, red) > 2 * 40); /* two discs without a line */
    assert_true(middle_of(&image, blue, 0, 700) > middle_of(&image, red, 0, 700) + 100);
    fsfm_image_free(&image);
    fsfm_chart_free(&chart);
    assert_null(chart);

    /* One value, and none at all. */
    assert_ok(fsfm_chart_create("", "", "", 1, labels, &chart, &err), &err);
    assert_ok(fsfm_chart_write(chart, path, &err), &err);
    fsfm_chart_set(chart, fsfm_chart_add_series(chart, ""), 0, -3e-9, 0.0);
    assert_ok(fsfm_chart_write(chart, path, &err), &err);
    fsfm_chart_set(chart, 0, 0, 1e300, 1e299);
    assert_ok(fsfm_chart_write(chart, path, &err), &err);
    snprintf(path, sizeof path, "%s/none/chart.png", folder);
    assert_fails(fsfm_chart_write(chart, path, &err), FSFM_ERR_IO, &err, path);
    fsfm_chart_free(&chart);
    assert_fails(fsfm_chart_create("", "", "", 0, labels, &chart, &err), FSFM_ERR_ARG, &err, "empty");
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_and_discs_have_their_area),
        cmocka_unit_test(a_chart_shows_its_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
