/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/small_dataset.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "core/base/random.h"
#include "core/mask/regions.h"
#include "io/image.h"
#include "tests/support/check.h"

enum { PATCHES_MAX = 1024 };

static void draw_pixels(const small_dataset *plan, int64_t index, uint8_t *pixels)
{
    fsfm_random random = fsfm_random_stream((uint64_t)plan->look, FSFM_RANDOM_TEST, 0, (uint64_t)index);
    int slope[3][2], start[3];
    for (int c = 0; c < 3; c++) {
        start[c] = (int)fsfm_random_below(&random, 256);
        for (int axis = 0; axis < 2; axis++) slope[c][axis] = (int)fsfm_random_below(&random, 9) - 4;
    }
    for (int y = 0; y < plan->size; y++)
        for (int x = 0; x < plan->size; x++)
            for (int c = 0; c < 3; c++)
                *pixels++ = (uint8_t)(abs((start[c] + slope[c][0] * x + slope[c][1] * y) % 510 - 255));
}

/* Bands of labels, slanted and shifted by the index, so that no mirror image is like the map. */
void small_dataset_map(const small_dataset *plan, int64_t index, uint8_t *map)
{
    const int shift = (int)(index % 97) + 3 * plan->look;
    for (int y = 0; y < plan->size; y++)
        for (int x = 0; x < plan->size; x++)
            map[y * plan->size + x] = (uint8_t)((2 * x + y + 5 * shift) / 23 % FSFM_LABELS);
}

static void encode_jpeg(const small_dataset *plan, int64_t index, uint8_t **bytes, size_t *size_bytes)
{
    fsfm_error err;
    fsfm_image image;
    assert_ok(fsfm_image_create(plan->size, plan->size, 3, &image, &err), &err);
    draw_pixels(plan, index, image.pixels);
    assert_ok(fsfm_image_encode_jpeg(&image, 95, bytes, size_bytes, &err), &err);
    fsfm_image_free(&image);
}

void small_dataset_image(const small_dataset *plan, int64_t index, uint8_t *pixels)
{
    fsfm_error err;
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    if (plan->encoding == FSFM_ENCODING_RAW) {
        draw_pixels(plan, index, pixels);
        return;
    }
    encode_jpeg(plan, index, &bytes, &size_bytes);
    assert_ok(fsfm_jpeg_decode_square(bytes, size_bytes, plan->size, pixels, &err), &err);
    free(bytes);
}

static void add_sample(const small_dataset *plan, int64_t index, fsfm_shard_writer *writer)
{
    const size_t pixels = (size_t)plan->size * (size_t)plan->size;
    uint16_t p16[PATCHES_MAX], p14[PATCHES_MAX];
    uint8_t *image = malloc(pixels * 3), *map = malloc(pixels);
    uLongf deflated_bytes = compressBound((uLong)pixels);
    uint8_t *deflated = malloc(deflated_bytes), *jpeg = NULL;
    size_t jpeg_bytes = 0;
    char id[32];
    fsfm_error err;
    assert_true(image && map && deflated);
    snprintf(id, sizeof id, "sample-%06" PRId64, index);
    fsfm_shard_sample sample = {
        .id = id, .image = image, .image_bytes = pixels * 3, .label = -1, .frame = -1};
    draw_pixels(plan, index, image);
    if (plan->encoding == FSFM_ENCODING_JPEG) {
        encode_jpeg(plan, index, &jpeg, &jpeg_bytes);
        sample.image = jpeg;
        sample.image_bytes = jpeg_bytes;
    }
    if (plan->has_regions) {
        small_dataset_map(plan, index, map);
        assert_int_equal(compress2(deflated, &deflated_bytes, map, (uLong)pixels, 6), Z_OK);
        sample.map_deflated = deflated;
        sample.map_bytes = deflated_bytes;
        if (plan->size % 16 == 0) {
            fsfm_regions_from_map(map, plan->size, 16, 0, p16);
            sample.regions_p16 = p16;
        }
        if (plan->size % 14 == 0) {
            fsfm_regions_from_map(map, plan->size, 14, 0, p14);
            sample.regions_p14 = p14;
        }
    }
    assert_ok(fsfm_shard_writer_add(writer, &sample, &err), &err);
    free(jpeg);
    free(deflated);
    free(map);
    free(image);
}

static void write_shard(const small_dataset *plan, const fsfm_shard_kind *kind, const char *folder,
                        int64_t first, fsfm_dataset_shard *shard)
{
    char path[512];
    fsfm_error err;
    fsfm_shard_writer *writer = NULL;
    const fsfm_pixel_sums sums = {.pixels = 1, .sum = {1, 1, 1}, .sum_of_squares = {255, 255, 255}};
    snprintf(shard->file, sizeof shard->file, "shard-%05" PRId64 ".h5", first / plan->per_shard);
    snprintf(path, sizeof path, "%s/%s", folder, shard->file);
    shard->count = plan->count - first < plan->per_shard ? plan->count - first : plan->per_shard;
    assert_ok(fsfm_shard_writer_open(path, kind, shard->count, &writer, &err), &err);
    for (int64_t i = 0; i < shard->count; i++) add_sample(plan, first + i, writer);
    assert_ok(fsfm_shard_writer_finish(&writer, &sums, 1, NULL, 0, &err), &err);
    assert_ok(fsfm_shard_checksum(path, &shard->xxh3, &err), &err);
}

void small_dataset_write(const small_dataset *plan, const char *folder)
{
    fsfm_error err;
    fsfm_dataset_card card = {
        .kind = {.size = plan->size, .encoding = plan->encoding, .has_regions = plan->has_regions},
        .count = plan->count,
        .mean = {0.5, 0.5, 0.5},
        .std = {0.25, 0.25, 0.25},
        .shard_count = (plan->count + plan->per_shard - 1) / plan->per_shard,
    };
    if (plan->has_regions) snprintf(card.kind.label_scheme, sizeof card.kind.label_scheme, "lapa11");
    card.shards = calloc((size_t)card.shard_count, sizeof *card.shards);
    assert_non_null(card.shards);
    for (int64_t i = 0; i < card.shard_count; i++)
        write_shard(plan, &card.kind, folder, i * plan->per_shard, &card.shards[i]);
    assert_ok(fsfm_dataset_card_write(folder, &card, &err), &err);
    free(card.shards);
}

void small_dataset_damage(const small_dataset *plan, const char *folder, int64_t index)
{
    char path[512];
    fsfm_error err;
    fsfm_shard_layout layout;
    uint8_t byte = 0;
    snprintf(path, sizeof path, "%s/shard-%05" PRId64 ".h5", folder, index / plan->per_shard);
    assert_ok(fsfm_shard_read_layout(path, &layout, &err), &err);
    const int64_t in_shard = index % plan->per_shard;
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    uint64_t at = layout.images + (uint64_t)(in_shard * plan->size * plan->size * 3) + 1000;
    if (plan->encoding == FSFM_ENCODING_JPEG) {
        uint64_t start = 0;
        assert_int_equal(
            pread(fd, &start, sizeof start, (off_t)(layout.image_offset + 8 * (uint64_t)in_shard)), 8);
        at = layout.image_bytes + start + 100;
    }
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}
