/* SPDX-License-Identifier: Apache-2.0
 * tests/io/shard_fixture.h - small shards of invented samples. */
#ifndef FSFM_TESTS_IO_SHARD_FIXTURE_H
#define FSFM_TESTS_IO_SHARD_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "io/shard.h"
#include "tests/support/check.h"

enum { FIXTURE_SIZE = 112, FIXTURE_MAP_MAX = 400 }; /* 112 = 7 x 16 = 8 x 14 */

/* Sample number i: every byte is a function of i. jpeg: image bytes of varying length (no real JPEG). */
typedef struct {
    char id[32], group[32];
    uint8_t image[FIXTURE_SIZE * FIXTURE_SIZE * 3];
    uint16_t p16[49], p14[64];
    uint8_t map[FIXTURE_MAP_MAX];
    fsfm_shard_sample sample;
} fixture_sample;

static inline void fixture_fill(fixture_sample *f, fsfm_encoding encoding, int64_t i)
{
    fsfm_random random = fsfm_random_stream(3, FSFM_RANDOM_TEST, 0, (uint64_t)i);
    const uint64_t raw_bytes = sizeof f->image;
    const uint64_t image_bytes =
        encoding == FSFM_ENCODING_RAW ? raw_bytes : 500 + fsfm_random_below(&random, 900);
    const uint64_t map_bytes = 20 + fsfm_random_below(&random, FIXTURE_MAP_MAX - 20);
    for (size_t b = 0; b < sizeof f->image; b++) f->image[b] = (uint8_t)fsfm_random_u32(&random);
    for (size_t b = 0; b < sizeof f->map; b++) f->map[b] = (uint8_t)fsfm_random_u32(&random);
    for (int p = 0; p < 49; p++) f->p16[p] = (uint16_t)fsfm_random_below(&random, 256);
    for (int p = 0; p < 64; p++) f->p14[p] = (uint16_t)fsfm_random_below(&random, 256);
    snprintf(f->id, sizeof f->id, "person%02d/face_%04d", (int)(i / 3), (int)i);
    snprintf(f->group, sizeof f->group, "person%02d", (int)(i / 3));
    f->sample = (fsfm_shard_sample){f->id,    f->image,       image_bytes,        f->p16,
                                    f->p14,   f->map,         map_bytes,          (int8_t)(i % 3 - 1),
                                    f->group, "a collection", (int32_t)i * 10 - 1};
}

static inline fsfm_shard_kind fixture_kind(fsfm_encoding encoding, bool has_regions, bool has_labels)
{
    return (fsfm_shard_kind){FIXTURE_SIZE, encoding, {0}, has_regions, has_labels};
}

/* Samples [first, first + count); room for one more than that was announced. */
static inline void fixture_write(const char *path, fsfm_shard_kind kind, int64_t first, int64_t count)
{
    fsfm_error err;
    fsfm_shard_writer *writer;
    fixture_sample *f = malloc(sizeof *f);
    const fsfm_pixel_sums sums = {(uint64_t)count, {1, 2, 3}, {4, 5, 6}};
    const char *quarantine[] = {"bad.png: it is bad", "worse.png: it is \xc3\xa4rger"};
    assert_non_null(f);
    if (kind.has_regions) strcpy(kind.label_scheme, "lapa11");
    assert_ok(fsfm_shard_writer_open(path, &kind, count + 1, &writer, &err), &err);
    for (int64_t i = first; i < first + count; i++) {
        fixture_fill(f, kind.encoding, i);
        assert_ok(fsfm_shard_writer_add(writer, &f->sample, &err), &err);
    }
    assert_ok(fsfm_shard_writer_finish(&writer, &sums, 77, quarantine, 2, &err), &err);
    assert_null(writer);
    free(f);
}

/* Flips one bit at offset. */
static inline void flip_bit(const char *path, uint64_t offset)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
    const int byte = fgetc(file);
    assert_int_not_equal(byte, EOF);
    assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
    fputc(byte ^ 4, file);
    assert_int_equal(fclose(file), 0);
}
#endif
