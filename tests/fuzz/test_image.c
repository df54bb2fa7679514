/* SPDX-License-Identifier: Apache-2.0
 * Damaged PNG, JPEG and npy files: whatever the bytes, the answer is a whole image or an error. The
 * sanitizers judge the rest. */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/random.h"
#include "io/image.h"
#include "tests/support/check.h"

enum { SIDE = 48, FILES = 4 };
static const double SECONDS = 2.0;

typedef struct {
    uint8_t *bytes;
    size_t size_bytes;
} file;

static void make_files(file files[FILES])
{
    fsfm_image image, map;
    fsfm_error err;
    fsfm_random random = fsfm_random_stream(5, FSFM_RANDOM_TEST, 0, 0);
    assert_ok(fsfm_image_create(SIDE, SIDE, 3, &image, &err), &err);
    assert_ok(fsfm_image_create(SIDE, SIDE, 1, &map, &err), &err);
    for (int i = 0; i < SIDE * SIDE * 3; i++)
        image.pixels[i] = (uint8_t)(i / 60 + (int)fsfm_random_below(&random, 40));
    for (int i = 0; i < SIDE * SIDE; i++) map.pixels[i] = (uint8_t)(i % 11);
    assert_ok(fsfm_image_encode_png(&image, &files[0].bytes, &files[0].size_bytes, &err), &err);
    assert_ok(fsfm_image_encode_jpeg(&image, 80, &files[1].bytes, &files[1].size_bytes, &err), &err);
    assert_ok(fsfm_map_encode_npy(&map, &files[2].bytes, &files[2].size_bytes, &err), &err);
    assert_ok(fsfm_image_encode_png(&map, &files[3].bytes, &files[3].size_bytes, &err), &err);
    fsfm_image_free(&map);
    fsfm_image_free(&image);
}

/* Flips bits, writes bytes, moves blocks and cuts the end; returns the new size. */
static size_t damage(fsfm_random *random, const file *whole, uint8_t *out)
{
    const uint32_t size = (uint32_t)whole->size_bytes;
    memcpy(out, whole->bytes, size);
    const uint32_t changes = fsfm_random_below(random, 6);
    /* Half of the changes hit the header, where they do most. */
    for (uint32_t change = 0; change < changes; change++) {
        const uint32_t range = fsfm_random_below(random, 2) && size > 128 ? 128 : size;
        const uint32_t at = fsfm_random_below(random, range);
        switch (fsfm_random_below(random, 4)) {
        case 0: out[at] ^= (uint8_t)(1u << fsfm_random_below(random, 8)); break;
        case 1: out[at] = (uint8_t)fsfm_random_u32(random); break;
        case 2: out[at] = fsfm_random_below(random, 2) ? 0xff : 0; break;
        default: {
            const uint32_t from = fsfm_random_below(random, size), left = size - (from > at ? from : at);
            memmove(out + at, out + from, left < 64 ? left : 64);
        }
        }
    }
    return fsfm_random_below(random, 4) ? size : fsfm_random_below(random, size + 1);
}

static void assert_whole_or_error(fsfm_status st, fsfm_image *out, const fsfm_error *err)
{
    if (st == FSFM_OK)
        assert_true(out->pixels && out->width >= 1 && out->height >= 1);
    else {
        assert_null(out->pixels);
        assert_true(err->message[0] != '\0');
    }
    fsfm_image_free(out);
}

static void try_all(const uint8_t *bytes, size_t size_bytes)
{
    static uint8_t square[SIDE * SIDE * 3];
    fsfm_image out;
    fsfm_error err;
    int width, height, is_jpeg;
    (void)!fsfm_image_probe(bytes, size_bytes, &width, &height, &is_jpeg, &err);
    assert_whole_or_error(fsfm_image_decode(bytes, size_bytes, &out, &err), &out, &err);
    assert_whole_or_error(fsfm_map_decode_png(bytes, size_bytes, &out, &err), &out, &err);
    assert_whole_or_error(fsfm_map_decode_npy(bytes, size_bytes, &out, &err), &out, &err);
    (void)!fsfm_jpeg_decode_square(bytes, size_bytes, SIDE, square, &err);
}

static void test_damaged_files(void **state)
{
    (void)state;
    file files[FILES];
    make_files(files);
    const double end_s = fsfm_clock_monotonic_s() + SECONDS;
    int64_t round = 0;
    for (; round < 200 || fsfm_clock_monotonic_s() < end_s; round++) {
        fsfm_random random = fsfm_random_stream(6, FSFM_RANDOM_TEST, 0, (uint64_t)round);
        const file *whole = &files[round % FILES];
        uint8_t *copy = malloc(whole->size_bytes);
        assert_non_null(copy);
        const size_t size_bytes = damage(&random, whole, copy);
        uint8_t *exact = malloc(size_bytes ? size_bytes : 1); /* no byte behind the end */
        assert_non_null(exact);
        memcpy(exact, copy, size_bytes);
        try_all(exact, size_bytes);
        free(exact);
        free(copy);
    }
    print_message("%lld damaged files\n", (long long)round);
    for (int i = 0; i < FILES; i++) free(files[i].bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_damaged_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
