/* SPDX-License-Identifier: Apache-2.0
 * The fast way for JPEG against libjpeg: the same pixels, or a refusal. */
#include "io/jpeg_plain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "core/base/random.h"
#include "io/image.h"
#include "io/jpeg_huffman.h"
#include "tests/support/check.h"

enum { SIDE_MAX = 264, DAMAGED = 4000 };

typedef enum { FLAT, SMOOTH, GRAINY, NOISE, EDGES, LOOKS } picture;

typedef struct {
    int side, quality, sampling; /* of Y: 1 or 2 */
    bool is_grey, is_optimised, is_progressive, has_no_jfif;
    unsigned restart_rows;
} jpeg_kind;

static uint8_t pixel(picture look, int x, int y, int c, fsfm_random *random)
{
    const int smooth = 128 + (x * (c + 1) + y * (3 - c)) % 120 - 60;
    switch (look) {
    case FLAT: return (uint8_t)(c * 127);
    case SMOOTH: return (uint8_t)smooth;
    case GRAINY: return (uint8_t)(smooth + (int)fsfm_random_below(random, 17) - 8);
    case NOISE: return (uint8_t)fsfm_random_below(random, 256);
    default: return (x / 3 + y / 5 + c) % 2 ? 255 : 0;
    }
}

static unsigned char *compress(const jpeg_kind *kind, picture look, unsigned long *size_bytes)
{
    static uint8_t rows[SIDE_MAX * SIDE_MAX * 3];
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL;
    fsfm_random random = fsfm_random_stream(3, FSFM_RANDOM_TEST, (uint32_t)look, (uint64_t)kind->side);
    const int channels = kind->is_grey ? 1 : 3;
    for (int i = 0; i < kind->side * kind->side * channels; i++)
        rows[i] = pixel(look, i / channels % kind->side, i / channels / kind->side, i % channels, &random);
    *size_bytes = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &bytes, size_bytes);
    jpeg.image_width = jpeg.image_height = (JDIMENSION)kind->side;
    jpeg.input_components = channels;
    jpeg.in_color_space = channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, kind->quality, TRUE);
    jpeg.comp_info[0].h_samp_factor = jpeg.comp_info[0].v_samp_factor = kind->sampling;
    jpeg.optimize_coding = kind->is_optimised;
    jpeg.restart_in_rows = (int)kind->restart_rows;
    if (kind->is_progressive) jpeg_simple_progression(&jpeg);
    if (kind->has_no_jfif) jpeg.write_JFIF_header = FALSE;
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height) {
        JSAMPROW row = rows + jpeg.next_scanline * (size_t)(kind->side * channels);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return bytes;
}

/* What the fast way gives is what libjpeg gives. Returns whether it gave anything. */
static bool agrees(fsfm_jpeg_plain *plain, const uint8_t *bytes, size_t size_bytes, int side)
{
    static uint8_t fast[SIDE_MAX * SIDE_MAX * 3], slow[SIDE_MAX * SIDE_MAX * 3];
    fsfm_error err;
    if (!fsfm_jpeg_plain_decode(plain, bytes, size_bytes, side, fast)) return false;
    assert_ok(fsfm_jpeg_decode_square(bytes, size_bytes, side, slow, &err), &err);
    assert_memory_equal(fast, slow, (size_t)(side * side) * 3);
    return true;
}

static bool kind_agrees(fsfm_jpeg_plain *plain, const jpeg_kind *kind, picture look)
{
    unsigned long size_bytes = 0;
    unsigned char *bytes = compress(kind, look, &size_bytes);
    const bool is_plain = agrees(plain, bytes, size_bytes, kind->side);
    free(bytes);
    return is_plain;
}

/* *state: the vectors to test. */
static fsfm_jpeg_plain *create(void **state)
{
    const fsfm_jpeg_vectors vectors = *(const fsfm_jpeg_vectors *)*state;
    fsfm_jpeg_plain *plain = NULL;
    fsfm_error err;
    if (vectors > fsfm_jpeg_vectors_here()) skip();
    assert_ok(fsfm_jpeg_plain_create(vectors, &plain, &err), &err);
    return plain;
}

static void plain_files_give_equal_pixels(void **state)
{
    const int sides[] = {8, 16, 40, 120, 128, 136, 224, 256, 264}, qualities[] = {87, 90, 95, 100};
    fsfm_jpeg_plain *plain = create(state);
    for (size_t s = 0; s < sizeof sides / sizeof *sides; s++)
        for (size_t q = 0; q < sizeof qualities / sizeof *qualities; q++)
            for (picture look = 0; look < LOOKS; look++)
                for (int is_optimised = 0; is_optimised < 2; is_optimised++) { /* 1: with tables of its own */
                    const jpeg_kind kind = {.side = sides[s],
                                            .quality = qualities[q],
                                            .sampling = 1,
                                            .is_optimised = is_optimised};
                    const bool is_plain = kind_agrees(plain, &kind, look);
                    assert_true(is_plain || look == EDGES); /* some of whose blocks are too large */
                }
    fsfm_jpeg_plain_free(&plain);
}

static void other_files_are_refused(void **state)
{
    const jpeg_kind kinds[] = {
        {.side = 224, .quality = 95, .sampling = 2},
        {.side = 224, .quality = 95, .sampling = 1, .is_grey = true},
        {.side = 224, .quality = 95, .sampling = 1, .is_progressive = true},
        {.side = 224, .quality = 95, .sampling = 1, .restart_rows = 1},
        {.side = 224, .quality = 95, .sampling = 1, .has_no_jfif = true},
        {.side = 220, .quality = 95, .sampling = 1},
        {.side = 224, .quality = 86, .sampling = 1},
    };
    fsfm_jpeg_plain *plain = create(state);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        assert_false(kind_agrees(plain, &kinds[k], GRAINY));
    const jpeg_kind good = {.side = 224, .quality = 95, .sampling = 1};
    unsigned long size_bytes = 0;
    unsigned char *bytes = compress(&good, GRAINY, &size_bytes);
    assert_false(agrees(plain, bytes, size_bytes, 216)); /* not the size asked for */
    free(bytes);
    fsfm_jpeg_plain_free(&plain);
}

/* Coefficients as no encoder makes them of a picture: what could leave 16 bits must be left to libjpeg. */
static void wild_coefficients_agree_or_are_refused(void **state)
{
    const jpeg_kind kind = {.side = 64, .quality = 95, .sampling = 1};
    fsfm_jpeg_plain *plain = create(state);
    int given = 0;
    for (int round = 0; round < 60; round++) {
        struct jpeg_decompress_struct from;
        struct jpeg_compress_struct to;
        struct jpeg_error_mgr errors;
        fsfm_random random = fsfm_random_stream(4, FSFM_RANDOM_TEST, 0, (uint64_t)round);
        const uint32_t most = 1u << (2 + round % 9), share = 1 + (uint32_t)round / 9;
        unsigned long size_bytes = 0, wild_bytes = 0;
        unsigned char *bytes = compress(&kind, SMOOTH, &size_bytes), *wild = NULL;
        from.err = to.err = jpeg_std_error(&errors);
        jpeg_create_decompress(&from);
        jpeg_create_compress(&to);
        jpeg_mem_src(&from, bytes, size_bytes);
        jpeg_read_header(&from, TRUE);
        jvirt_barray_ptr *arrays = jpeg_read_coefficients(&from);
        for (int c = 0; c < 3; c++)
            for (JDIMENSION y = 0; y < 8; y++) {
                JBLOCKARRAY row = from.mem->access_virt_barray((j_common_ptr)&from, arrays[c], y, 1, TRUE);
                for (int i = 0; i < 8 * DCTSIZE2; i++)
                    if (fsfm_random_below(&random, share) == 0)
                        row[0][i / DCTSIZE2][i % DCTSIZE2] =
                            (JCOEF)((int)fsfm_random_below(&random, 2 * most) - (int)most);
            }
        jpeg_copy_critical_parameters(&from, &to);
        jpeg_mem_dest(&to, &wild, &wild_bytes);
        jpeg_write_coefficients(&to, arrays);
        jpeg_finish_compress(&to);
        given += agrees(plain, wild, wild_bytes, kind.side);
        jpeg_destroy_compress(&to);
        jpeg_destroy_decompress(&from);
        free(wild);
        free(bytes);
    }
    assert_in_range(given, 10, 50); /* small ones agree, large ones are refused: both were there */
    fsfm_jpeg_plain_free(&plain);
}

static void damaged_files_agree_or_are_refused(void **state)
{
    const jpeg_kind kind = {.side = 32, .quality = 92, .sampling = 1};
    fsfm_jpeg_plain *plain = create(state);
    unsigned long size_bytes = 0;
    unsigned char *bytes = compress(&kind, GRAINY, &size_bytes);
    for (unsigned long cut = 0; cut < size_bytes; cut++) {
        uint8_t *exact = malloc(cut + 1); /* a read behind the end shows under the sanitizers */
        assert_non_null(exact);
        memcpy(exact, bytes, cut);
        assert_false(agrees(plain, exact, cut, kind.side));
        free(exact);
    }
    uint8_t *damaged = malloc(size_bytes);
    assert_non_null(damaged);
    for (uint64_t round = 0; round < DAMAGED; round++) {
        fsfm_random random = fsfm_random_stream(8, FSFM_RANDOM_TEST, 0, round);
        memcpy(damaged, bytes, size_bytes);
        for (uint32_t changes = 1 + fsfm_random_below(&random, 3); changes > 0; changes--)
            damaged[fsfm_random_below(&random, (uint32_t)size_bytes)] = (uint8_t)fsfm_random_u32(&random);
        (void)agrees(plain, damaged, size_bytes, kind.side);
    }
    free(damaged);
    free(bytes);
    fsfm_jpeg_plain_free(&plain);
}

/* As libjpeg: the code of ones alone is none, and differences of more than 15 bits are not. */
static void tables_are_checked_as_libjpeg_does(void **state)
{
    (void)state;
    static fsfm_huffman_table table;
    const uint8_t symbols[] = {1, 2, 3, 16};
    const uint8_t good[16] = {1, 1, 1}, full[16] = {1, 1, 2}, over[16] = {2, 1}, none[16] = {0};
    assert_true(fsfm_huffman_table_make(&table, false, good, symbols, 3));
    assert_false(fsfm_huffman_table_make(&table, false, full, symbols, 4));
    assert_false(fsfm_huffman_table_make(&table, true, full, symbols, 4));
    assert_false(fsfm_huffman_table_make(&table, true, over, symbols, 3));
    assert_false(fsfm_huffman_table_make(&table, true, none, symbols, 0));
    assert_false(fsfm_huffman_table_make(&table, false, good, symbols + 1, 3));
    assert_true(fsfm_huffman_table_make(&table, true, good, symbols + 1, 3));
}

static void nothing_is_decoded_without_vectors(void **state)
{
    const jpeg_kind kind = {.side = 64, .quality = 95, .sampling = 1};
    fsfm_jpeg_plain *plain = create(state);
    assert_false(kind_agrees(plain, &kind, SMOOTH));
    fsfm_jpeg_plain_free(&plain);
}

int main(void)
{
    static fsfm_jpeg_vectors none = FSFM_JPEG_NONE, avx2 = FSFM_JPEG_AVX2, avx512 = FSFM_JPEG_AVX512;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_checked_as_libjpeg_does),
        cmocka_unit_test_prestate(nothing_is_decoded_without_vectors, &none),
        cmocka_unit_test_prestate(plain_files_give_equal_pixels, &avx2),
        cmocka_unit_test_prestate(plain_files_give_equal_pixels, &avx512),
        cmocka_unit_test_prestate(other_files_are_refused, &avx2),
        cmocka_unit_test_prestate(other_files_are_refused, &avx512),
        cmocka_unit_test_prestate(wild_coefficients_agree_or_are_refused, &avx2),
        cmocka_unit_test_prestate(wild_coefficients_agree_or_are_refused, &avx512),
        cmocka_unit_test_prestate(damaged_files_agree_or_are_refused, &avx2),
        cmocka_unit_test_prestate(damaged_files_agree_or_are_refused, &avx512)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
