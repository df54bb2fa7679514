/* SPDX-License-Identifier: Apache-2.0 */
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "io/image.h"
#include "tests/support/check.h"

enum { WIDTH = 45, HEIGHT = 38, FILE_MAX = 1 << 17, TRUNCATION_STEP = 37 };

typedef struct {
    uint8_t bytes[FILE_MAX];
    size_t used;
} memory;

static void on_write(png_structp png, png_bytep data, size_t size_bytes)
{
    memory *m = png_get_io_ptr(png);
    assert_true(m->used + size_bytes <= FILE_MAX);
    memcpy(m->bytes + m->used, data, size_bytes);
    m->used += size_bytes;
}

static void on_flush(png_structp png)
{
    (void)png;
}

/* A value for sample c of pixel i: smooth enough to compress, different everywhere. */
static unsigned sample(int i, int c, int bits)
{
    return ((unsigned)i * 7u + (unsigned)c * 50u + (unsigned)(i / WIDTH) * 3u) & ((1u << bits) - 1u);
}

/* Writes a PNG of the given kind with libpng itself; the samples are those of sample(). */
static void make_png(memory *out, int type, int bits, int interlace, bool has_transparency)
{
    static png_color palette[256];
    png_byte fade[4] = {0, 80, 160, 255};
    const int channels = type == PNG_COLOR_TYPE_RGB    ? 3
                         : type == PNG_COLOR_TYPE_RGBA ? 4
                         : type == PNG_COLOR_TYPE_GA   ? 2
                                                       : 1;
    static uint8_t pixels[HEIGHT][WIDTH * 8];
    png_bytep rows[HEIGHT];
    out->used = 0;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, out, on_write, on_flush);
    png_set_IHDR(png, info, WIDTH, HEIGHT, bits, type, interlace, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    for (int i = 0; i < 256; i++)
        palette[i] = (png_color){(png_byte)(255 - i), (png_byte)(i * 3), (png_byte)(i ^ 85)};
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_PLTE(png, info, palette, 1 << bits);
    if (has_transparency) png_set_tRNS(png, info, fade, 4, NULL);
    png_write_info(png, info);
    if (bits < 8) png_set_packing(png);
    memset(pixels, 0, sizeof pixels);
    for (int y = 0; y < HEIGHT; y++) {
        rows[y] = pixels[y];
        for (int v = 0; v < WIDTH * channels; v++) {
            const unsigned value = sample(y * WIDTH + v / channels, v % channels, bits);
            if (bits == 16) pixels[y][2 * v] = (uint8_t)(value >> 8);
            pixels[y][bits == 16 ? 2 * v + 1 : v] = (uint8_t)(value & 255);
        }
    }
    png_write_image(png, rows);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
}

/* The heap has no byte behind the file, so that the sanitizer sees a read too far. */
static fsfm_status decode(const uint8_t *file, size_t size_bytes, fsfm_image *out, fsfm_error *err)
{
    uint8_t *exact = malloc(size_bytes ? size_bytes : 1);
    assert_non_null(exact);
    memcpy(exact, file, size_bytes);
    const fsfm_status st = fsfm_image_decode(exact, size_bytes, out, err);
    free(exact);
    return st;
}

static int expected(int type, int bits, int i, int c)
{
    const bool is_grey = type == PNG_COLOR_TYPE_GRAY || type == PNG_COLOR_TYPE_GA;
    const unsigned value = sample(i, is_grey || type == PNG_COLOR_TYPE_PALETTE ? 0 : c, bits);
    if (type == PNG_COLOR_TYPE_PALETTE)
        return (int)(c == 0 ? 255 - value : c == 1 ? value * 3 & 255 : value ^ 85);
    return (int)((value * 255u + ((1u << bits) - 1u) / 2u) / ((1u << bits) - 1u));
}

static const struct {
    int type, bits;
} kinds[] = {
    {PNG_COLOR_TYPE_GRAY, 1},    {PNG_COLOR_TYPE_GRAY, 2},    {PNG_COLOR_TYPE_GRAY, 4},
    {PNG_COLOR_TYPE_GRAY, 8},    {PNG_COLOR_TYPE_GRAY, 16},   {PNG_COLOR_TYPE_GA, 8},
    {PNG_COLOR_TYPE_GA, 16},     {PNG_COLOR_TYPE_RGB, 8},     {PNG_COLOR_TYPE_RGB, 16},
    {PNG_COLOR_TYPE_RGBA, 8},    {PNG_COLOR_TYPE_RGBA, 16},   {PNG_COLOR_TYPE_PALETTE, 1},
    {PNG_COLOR_TYPE_PALETTE, 2}, {PNG_COLOR_TYPE_PALETTE, 4}, {PNG_COLOR_TYPE_PALETTE, 8},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void test_png_of_every_kind(void **state)
{
    (void)state;
    static memory file;
    for (int k = 0; k < KINDS; k++)
        for (int interlace = 0; interlace < 2; interlace++)
            for (int transparent = 0;
                 transparent <= (kinds[k].type == PNG_COLOR_TYPE_PALETTE && kinds[k].bits > 1);
                 transparent++) {
                fsfm_image out;
                fsfm_error err;
                int width, height, is_jpeg;
                make_png(&file, kinds[k].type, kinds[k].bits, interlace, transparent);
                assert_ok(fsfm_image_probe(file.bytes, file.used, &width, &height, &is_jpeg, &err), &err);
                assert_int_equal(width, WIDTH);
                assert_int_equal(height, HEIGHT);
                assert_false(is_jpeg);
                assert_ok(decode(file.bytes, file.used, &out, &err), &err);
                assert_int_equal(out.width, WIDTH);
                assert_int_equal(out.height, HEIGHT);
                assert_int_equal(out.channels, 3);
                for (int i = 0; i < WIDTH * HEIGHT; i++)
                    for (int c = 0; c < 3; c++)
                        assert_int_equal(out.pixels[3 * i + c], expected(kinds[k].type, kinds[k].bits, i, c));
                fsfm_image_free(&out);
            }
}

/* A map keeps indices and grey values as they are. */
static void test_png_maps(void **state)
{
    (void)state;
    static memory file;
    for (int k = 0; k < KINDS; k++) {
        const int type = kinds[k].type, bits = kinds[k].bits;
        const bool is_map = (type == PNG_COLOR_TYPE_GRAY || type == PNG_COLOR_TYPE_PALETTE) && bits <= 8;
        fsfm_image out;
        fsfm_error err;
        make_png(&file, type, bits, k % 2, false);
        const fsfm_status st = fsfm_map_decode_png(file.bytes, file.used, &out, &err);
        if (!is_map) {
            assert_fails(st, FSFM_ERR_FORMAT, &err, "label map must");
            assert_null(out.pixels);
            continue;
        }
        assert_ok(st, &err);
        assert_int_equal(out.channels, 1);
        for (int i = 0; i < WIDTH * HEIGHT; i++) assert_int_equal(out.pixels[i], sample(i, 0, bits));
        fsfm_image_free(&out);
    }
}

/* A smooth picture, as JPEG is made for. */
static void make_image(fsfm_image *image, int width, int height, int channels)
{
    fsfm_error err;
    assert_ok(fsfm_image_create(width, height, channels, image, &err), &err);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                image->pixels[(y * width + x) * channels + c] =
                    (uint8_t)((x * (c + 1) + y * 2) * 255 / (width * 3 + height * 2));
}

static void test_png_round_trip(void **state)
{
    (void)state;
    for (int channels = 1; channels <= 3; channels += 2) {
        fsfm_image image, back;
        fsfm_error err;
        uint8_t *bytes, *again;
        size_t size_bytes, again_bytes;
        make_image(&image, 61, 17, channels);
        assert_ok(fsfm_image_encode_png(&image, &bytes, &size_bytes, &err), &err);
        assert_ok(fsfm_image_encode_png(&image, &again, &again_bytes, &err), &err);
        assert_int_equal(size_bytes, again_bytes);
        assert_memory_equal(bytes, again, size_bytes);
        if (channels == 3)
            assert_ok(decode(bytes, size_bytes, &back, &err), &err);
        else
            assert_ok(fsfm_map_decode_png(bytes, size_bytes, &back, &err), &err);
        assert_int_equal(back.width, 61);
        assert_memory_equal(back.pixels, image.pixels, (size_t)(61 * 17 * channels));
        free(again);
        free(bytes);
        fsfm_image_free(&back);
        fsfm_image_free(&image);
    }
}

static void test_jpeg(void **state)
{
    (void)state;
    fsfm_error err;
    for (int channels = 1; channels <= 3; channels += 2) {
        fsfm_image image, back;
        uint8_t *bytes, square[64 * 64 * 3];
        size_t size_bytes;
        int width, height, is_jpeg;
        make_image(&image, 64, 64, channels);
        assert_ok(fsfm_image_encode_jpeg(&image, 95, &bytes, &size_bytes, &err), &err);
        assert_ok(fsfm_image_probe(bytes, size_bytes, &width, &height, &is_jpeg, &err), &err);
        assert_true(is_jpeg && width == 64 && height == 64);
        assert_ok(decode(bytes, size_bytes, &back, &err), &err);
        assert_int_equal(back.channels, 3);
        for (int i = 0; i < 64 * 64; i++)
            for (int c = 0; c < 3; c++)
                assert_in_range(
                    back.pixels[3 * i + c] - image.pixels[channels * i + (channels == 3 ? c : 0)] + 4, 0, 8);
        assert_ok(fsfm_jpeg_decode_square(bytes, size_bytes, 64, square, &err), &err);
        assert_memory_equal(square, back.pixels, sizeof square);
        assert_fails(fsfm_jpeg_decode_square(bytes, size_bytes, 63, square, &err), FSFM_ERR_FORMAT, &err,
                     "64 x 64");
        free(bytes);
        fsfm_image_free(&back);
        fsfm_image_free(&image);
    }
}

static void assert_truncations_fail(const uint8_t *bytes, size_t size_bytes)
{
    fsfm_image out;
    fsfm_error err;
    for (size_t cut = 0; cut < size_bytes; cut += cut + TRUNCATION_STEP < size_bytes ? TRUNCATION_STEP : 1) {
        assert_fails(decode(bytes, cut, &out, &err), FSFM_ERR_FORMAT, &err, "");
        assert_null(out.pixels);
    }
    assert_ok(decode(bytes, size_bytes, &out, &err), &err);
    fsfm_image_free(&out);
}

static void test_truncated(void **state)
{
    (void)state;
    static memory file;
    for (int interlace = 0; interlace < 2; interlace++) {
        make_png(&file, PNG_COLOR_TYPE_RGB, 8, interlace, false);
        assert_truncations_fail(file.bytes, file.used);
    }
    fsfm_image image;
    fsfm_error err;
    uint8_t *bytes;
    size_t size_bytes;
    make_image(&image, 120, 90, 3);
    fsfm_random random = fsfm_random_stream(1, FSFM_RANDOM_TEST, 0, 0);
    for (int i = 0; i < 120 * 90 * 3; i++)
        image.pixels[i] = (uint8_t)(image.pixels[i] / 2 + fsfm_random_below(&random, 128));
    assert_ok(fsfm_image_encode_jpeg(&image, 90, &bytes, &size_bytes, &err), &err);
    assert_truncations_fail(bytes, size_bytes);
    free(bytes);
    fsfm_image_free(&image);
}

static void test_not_an_image(void **state)
{
    (void)state;
    fsfm_image out;
    fsfm_error err;
    int width, height, is_jpeg;
    static memory file;
    assert_fails(decode((const uint8_t *)"GIF89a..", 8, &out, &err), FSFM_ERR_FORMAT, &err,
                 "neither a PNG nor a JPEG");
    assert_fails(decode((const uint8_t *)"", 0, &out, &err), FSFM_ERR_FORMAT, &err, "empty");
    assert_fails(fsfm_image_probe((const uint8_t *)"x", 1, &width, &height, &is_jpeg, &err), FSFM_ERR_FORMAT,
                 &err, "78");
    make_png(&file, PNG_COLOR_TYPE_GRAY, 8, 0, false);
    file.bytes[16] = 0x7f; /* a width of 2 milliards */
    assert_fails(decode(file.bytes, file.used, &out, &err), FSFM_ERR_FORMAT, &err,
                 "expected sides of 1 to 16384");
    assert_fails(fsfm_image_create(0, 5, 3, &out, &err), FSFM_ERR_FORMAT, &err, "sides");
    assert_fails(fsfm_image_create(5, 5, 2, &out, &err), FSFM_ERR_ARG, &err, "channels");
}

static void test_encoder_arguments(void **state)
{
    (void)state;
    fsfm_image image = {0};
    fsfm_error err;
    uint8_t *bytes;
    size_t size_bytes;
    assert_fails(fsfm_image_encode_png(&image, &bytes, &size_bytes, &err), FSFM_ERR_FORMAT, &err, "0 x 0");
    make_image(&image, 8, 8, 3);
    assert_fails(fsfm_image_encode_jpeg(&image, 0, &bytes, &size_bytes, &err), FSFM_ERR_ARG, &err,
                 "quality 0");
    assert_fails(fsfm_image_encode_jpeg(&image, 101, &bytes, &size_bytes, &err), FSFM_ERR_ARG, &err,
                 "quality 101");
    assert_fails(fsfm_map_encode_npy(&image, &bytes, &size_bytes, &err), FSFM_ERR_ARG, &err, "1 channel");
    fsfm_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png_of_every_kind), cmocka_unit_test(test_png_maps),
        cmocka_unit_test(test_png_round_trip),    cmocka_unit_test(test_jpeg),
        cmocka_unit_test(test_truncated),         cmocka_unit_test(test_not_an_image),
        cmocka_unit_test(test_encoder_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
