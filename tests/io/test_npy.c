/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/image.h"
#include "tests/support/check.h"

enum { FILE_BYTES = 4096 };

/* A .npy file as NumPy would write it, with this dictionary and these values behind it. */
static size_t make_npy(uint8_t *file, int version, const char *dict, const void *values, size_t value_bytes)
{
    const size_t prefix = version == 1 ? 10 : 12, length = strlen(dict) + 1;
    memcpy(file, "\x93NUMPY", 6);
    file[6] = (uint8_t)version;
    file[7] = 0;
    memset(file + 8, 0, 4);
    file[8] = (uint8_t)(length & 255);
    file[9] = (uint8_t)(length >> 8);
    memcpy(file + prefix, dict, length - 1);
    file[prefix + length - 1] = '\n';
    memcpy(file + prefix + length, values, value_bytes);
    return prefix + length + value_bytes;
}

/* The heap has no byte behind the file, so that the sanitizer sees a read too far. */
static fsfm_status decode(const uint8_t *file, size_t size_bytes, fsfm_image *out, fsfm_error *err)
{
    uint8_t *exact = malloc(size_bytes ? size_bytes : 1);
    assert_non_null(exact);
    memcpy(exact, file, size_bytes);
    const fsfm_status st = fsfm_map_decode_npy(exact, size_bytes, out, err);
    free(exact);
    return st;
}

static void assert_refused(int version, const char *dict, const void *values, size_t value_bytes,
                           const char *text)
{
    uint8_t file[FILE_BYTES];
    fsfm_image out;
    fsfm_error err;
    const size_t size_bytes = make_npy(file, version, dict, values, value_bytes);
    assert_fails(decode(file, size_bytes, &out, &err), FSFM_ERR_FORMAT, &err, text);
    assert_null(out.pixels);
}

static void test_types_and_versions(void **state)
{
    (void)state;
    static const struct {
        const char *descr;
        int item_bytes, is_big;
    } kinds[] = {{"|i1", 1, 0}, {"|u1", 1, 0}, {"<i2", 2, 0}, {">i2", 2, 1}, {"<i4", 4, 0},
                 {">i4", 4, 1}, {"<i8", 8, 0}, {">i8", 8, 1}, {"<i1", 1, 0}};
    static const uint8_t want[6] = {0, 1, 10, 127, 5, 3}; /* (2, 3) */
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int version = 1; version <= 3; version++)
            for (int axes = 2; axes <= 3; axes++) {
                uint8_t values[48] = {0}, file[FILE_BYTES];
                char dict[128];
                fsfm_image out;
                fsfm_error err;
                const int bytes = kinds[k].item_bytes;
                for (int i = 0; i < 6; i++) values[i * bytes + (kinds[k].is_big ? bytes - 1 : 0)] = want[i];
                snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (%s2, 3), }",
                         kinds[k].descr, axes == 3 ? "1, " : "");
                const size_t size_bytes = make_npy(file, version, dict, values, (size_t)bytes * 6);
                assert_ok(decode(file, size_bytes, &out, &err), &err);
                assert_int_equal(out.width, 3);
                assert_int_equal(out.height, 2);
                assert_int_equal(out.channels, 1);
                assert_memory_equal(out.pixels, want, 6);
                fsfm_image_free(&out);
            }
}

static void test_refusals(void **state)
{
    (void)state;
    const uint8_t values[48] = {0};
    const int16_t negative[4] = {0, 0, -1, 0}, large[4] = {0, 256, 0, 0};
    const int8_t minus[4] = {0, 0, 0, -7};
    assert_refused(1, "{'descr': '|i1', 'fortran_order': True, 'shape': (2, 2), }", values, 4, "Fortran");
    assert_refused(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", values, 16, "f4");
    assert_refused(1, "{'descr': '<u2', 'fortran_order': False, 'shape': (2, 2), }", values, 8, "u2");
    assert_refused(1, "{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }", values, 8, "header");
    assert_refused(1, "{'descr': '|i1', 'fortran_order': False, 'shape': (4,), }", values, 4, "shape");
    assert_refused(1, "{'descr': '|i1', 'fortran_order': False, 'shape': (), }", values, 1, "shape");
    assert_refused(1, "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 2, 2), }", values, 8, "shape");
    assert_refused(1, "{'descr': '|i1', 'fortran_order': False, 'shape': (1, 1, 2, 2), }", values, 4,
                   "shape");
    assert_refused(1, "{'descr': '|i1', 'fortran_order': False, 'shape': (0, 2), }", values, 0,
                   "expected sides");
    assert_refused(1, "{'descr': '|i1', 'fortran_order': False, 'shape': (99999999999, 2), }", values, 4,
                   "expected sides");
    assert_refused(1, "{'descr': '|i1', 'fortran_order': False, 'shape': (9999999999999999999999, 2), }",
                   values, 4, "header");
    assert_refused(1, "{'descr': '|i1', 'fortran_order': False, 'shape': (-2, -2), }", values, 4, "header");
    assert_refused(1, "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 2), }", values, 5, "5 bytes");
    assert_refused(1, "{'descr': '|i1', 'fortran_order': False, }", values, 4, "header");
    assert_refused(1, "{'descr': '|i1', 'descr': '|i1', 'fortran_order': False, 'shape': (2, 2)}", values, 4,
                   "header");
    assert_refused(1, "{'descr': '|i1', 'fortran_order': 0, 'shape': (2, 2), }", values, 4, "header");
    assert_refused(1, "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 2), } x", values, 4, "header");
    assert_refused(4, "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 2), }", values, 4, "version 4");
    assert_refused(1, "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 2), }", negative, 8,
                   "value -1 at row 1, column 0");
    assert_refused(1, "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 2), }", large, 8,
                   "value 256 at row 0, column 1");
    assert_refused(1, "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 2), }", minus, 4,
                   "value -7 at row 1, column 1");
}

static void test_truncated_everywhere(void **state)
{
    (void)state;
    fsfm_image out;
    fsfm_error err;
    uint8_t file[FILE_BYTES], values[12] = {0};
    for (int version = 1; version <= 3; version++) {
        const size_t size_bytes = make_npy(
            file, version, "{'descr': '|i1', 'fortran_order': False, 'shape': (1, 3, 4), }", values, 12);
        for (size_t cut = 0; cut < size_bytes; cut++) {
            assert_fails(decode(file, cut, &out, &err), FSFM_ERR_FORMAT, &err, "npy");
            assert_null(out.pixels);
        }
        assert_ok(decode(file, size_bytes, &out, &err), &err);
        fsfm_image_free(&out);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_image map, back;
    uint8_t *bytes;
    size_t size_bytes;
    assert_ok(fsfm_image_create(37, 21, 1, &map, &err), &err);
    for (int i = 0; i < 37 * 21; i++) map.pixels[i] = (uint8_t)(i % 11);
    assert_ok(fsfm_map_encode_npy(&map, &bytes, &size_bytes, &err), &err);
    assert_int_equal((size_bytes - 37 * 21) % 64, 0); /* as NumPy aligns */
    assert_ok(decode(bytes, size_bytes, &back, &err), &err);
    assert_int_equal(back.width, 37);
    assert_int_equal(back.height, 21);
    assert_memory_equal(back.pixels, map.pixels, 37 * 21);
    free(bytes);
    map.pixels[5] = 128;
    assert_fails(fsfm_map_encode_npy(&map, &bytes, &size_bytes, &err), FSFM_ERR_ARG, &err, "128");
    fsfm_image_free(&back);
    fsfm_image_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_and_versions),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_truncated_everywhere),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
