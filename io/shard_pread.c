/* SPDX-License-Identifier: Apache-2.0
 * A sample straight from the file: the reader's hot path. One pread for the image and for each of
 * regions_p16, regions_p14 and map, and one for each small table that is not in memory; nothing is allocated
 * once the buffers have grown, no HDF5, no lock. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "io/checksum.h"
#include "io/shard.h"
#include "io/shard_bytes.h"

/* Longest JPEG file that is believed in a length read from a file. */
#define JPEG_BYTES_MAX ((uint64_t)256 << 20)

static fsfm_status grow(uint8_t **buffer, uint64_t *room, uint64_t need, fsfm_error *err)
{
    if (need <= *room) return FSFM_OK;
    const uint64_t wanted = need + need / 2;
    uint8_t *grown = realloc(*buffer, wanted);
    if (!grown) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %" PRIu64 " bytes", wanted);
    *buffer = grown;
    *room = wanted;
    return FSFM_OK;
}

/* size_bytes from entry index on of a table: out of memory where it is loaded, else out of the file. */
static fsfm_status take(int fd, const void *loaded, uint64_t table, size_t entry_bytes, int64_t index,
                        void *out, size_t size_bytes, fsfm_error *err)
{
    const uint64_t offset = (uint64_t)index * entry_bytes;
    if (!loaded) return fsfm_pread_all(fd, out, size_bytes, table + offset, err);
    memcpy(out, (const char *)loaded + offset, size_bytes);
    return FSFM_OK;
}

/* Entries index and index + 1 of a table of offsets into a dataset of data_bytes. */
static fsfm_status read_range(int fd, const uint64_t *loaded, uint64_t table, int64_t index,
                              uint64_t data_bytes, uint64_t longest, const char *name, uint64_t *start,
                              uint64_t *length, fsfm_error *err)
{
    uint64_t range[2];
    FSFM_TRY(take(fd, loaded, table, sizeof *range, index, range, sizeof range, err));
    if (range[0] > range[1] || range[1] > data_bytes || range[1] - range[0] > longest)
        return fsfm_fail(err, FSFM_ERR_FORMAT,
                         "%s says that sample %" PRId64 " is at %" PRIu64 " to %" PRIu64 " of %" PRIu64
                         " bytes",
                         name, index, range[0], range[1], data_bytes);
    *start = range[0];
    *length = range[1] - range[0];
    return FSFM_OK;
}

static fsfm_status check_index(const fsfm_shard_layout *layout, int64_t index, fsfm_error *err)
{
    if (index >= 0 && index < layout->count) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_ARG, "sample %" PRId64 " does not exist, there are %" PRId64, index,
                     layout->count);
}

static fsfm_status image_extent(int fd, const fsfm_shard_layout *layout, int64_t index, fsfm_extent *out,
                                fsfm_error *err)
{
    const uint64_t raw_bytes = (uint64_t)layout->kind.size * (uint64_t)layout->kind.size * 3;
    const fsfm_shard_tables *tables = layout->tables;
    if (layout->kind.encoding == FSFM_ENCODING_RAW) {
        *out = (fsfm_extent){layout->images + (uint64_t)index * raw_bytes, raw_bytes};
        return FSFM_OK;
    }
    FSFM_TRY(read_range(fd, tables ? tables->image_offset : NULL, layout->image_offset, index,
                        layout->image_bytes_length, JPEG_BYTES_MAX, "image_offset", &out->offset,
                        &out->size_bytes, err));
    out->offset += layout->image_bytes;
    return FSFM_OK;
}

/* regions_p16, regions_p14 and map; of 0 bytes where absent. */
static fsfm_status meta_extents(int fd, const fsfm_shard_layout *layout, int64_t index, fsfm_extent out[3],
                                fsfm_error *err)
{
    const fsfm_shard_tables *tables = layout->tables;
    const uint64_t i = (uint64_t)index, size = (uint64_t)layout->kind.size, side16 = size / 16,
                   side14 = size / 14;
    const uint64_t p16 = layout->regions_p16 ? side16 * side16 * 2 : 0;
    const uint64_t p14 = layout->regions_p14 ? side14 * side14 * 2 : 0;
    const uint64_t map_longest = size * size * 2 + 1024;
    out[0] = (fsfm_extent){layout->regions_p16 + i * p16, p16};
    out[1] = (fsfm_extent){layout->regions_p14 + i * p14, p14};
    out[2] = (fsfm_extent){0, 0};
    if (!layout->kind.has_regions) return FSFM_OK;
    FSFM_TRY(read_range(fd, tables ? tables->map_offset : NULL, layout->map_offset, index,
                        layout->map_bytes_length, map_longest, "map_offset", &out[2].offset,
                        &out[2].size_bytes, err));
    out[2].offset += layout->map_bytes;
    return FSFM_OK;
}

static fsfm_status read_image(int fd, const fsfm_shard_layout *layout, int64_t index, uint8_t *image_into,
                              fsfm_stored_sample *out, fsfm_error *err)
{
    const fsfm_shard_tables *tables = layout->tables;
    fsfm_extent image;
    uint64_t want = 0;
    FSFM_TRY(image_extent(fd, layout, index, &image, err));
    uint8_t *into = layout->kind.encoding == FSFM_ENCODING_RAW ? image_into : NULL;
    if (!into) {
        FSFM_TRY(grow(&out->image, &out->image_room, image.size_bytes, err));
        into = out->image;
    }
    FSFM_TRY(fsfm_pread_all(fd, into, image.size_bytes, image.offset, err));
    FSFM_TRY(
        take(fd, tables ? tables->xxh3 : NULL, layout->xxh3, sizeof want, index, &want, sizeof want, err));
    out->image_bytes = image.size_bytes;
    if (fsfm_checksum(into, image.size_bytes) != want)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "checksum of the image does not match (xxh3)");
    return FSFM_OK;
}

static fsfm_status read_meta(int fd, const fsfm_shard_layout *layout, int64_t index, fsfm_stored_sample *out,
                             fsfm_error *err)
{
    const fsfm_shard_tables *tables = layout->tables;
    fsfm_extent part[3];
    uint64_t want = 0, bytes = 0;
    FSFM_TRY(meta_extents(fd, layout, index, part, err));
    const uint64_t p16 = part[0].size_bytes, p14 = part[1].size_bytes, map = part[2].size_bytes;
    FSFM_TRY(grow(&out->meta, &out->meta_room, p16 + p14 + map + 1, err));
    for (int i = 0; i < 3; i++) {
        if (part[i].size_bytes)
            FSFM_TRY(fsfm_pread_all(fd, out->meta + bytes, part[i].size_bytes, part[i].offset, err));
        bytes += part[i].size_bytes;
    }
    uint8_t *label = out->meta + bytes;
    if (layout->kind.has_labels) {
        FSFM_TRY(take(fd, tables ? tables->label : NULL, layout->label, 1, index, label, 1, err));
        bytes++;
    }
    FSFM_TRY(take(fd, tables ? tables->xxh3_meta : NULL, layout->xxh3_meta, sizeof want, index, &want,
                  sizeof want, err));
    out->meta_bytes = bytes;
    out->regions_p16 = p16 ? (const uint16_t *)(const void *)out->meta : NULL;
    out->regions_p14 = p14 ? (const uint16_t *)(const void *)(out->meta + p16) : NULL;
    out->map_deflated = layout->kind.has_regions ? out->meta + p16 + p14 : NULL;
    out->map_bytes = map;
    out->label = layout->kind.has_labels ? (int8_t)*label : -1;
    if (fsfm_checksum(out->meta, bytes) != want)
        return fsfm_fail(err, FSFM_ERR_FORMAT,
                         "checksum of regions, map and label does not match (xxh3_meta)");
    return FSFM_OK;
}

fsfm_status fsfm_shard_locate(int fd, const fsfm_shard_layout *layout, int64_t index, fsfm_stored_place *out,
                              fsfm_error *err)
{
    fsfm_extent part[4];
    *out = (fsfm_stored_place){.fd = fd};
    FSFM_TRY(check_index(layout, index, err));
    fsfm_status st = image_extent(fd, layout, index, part, err);
    if (st == FSFM_OK) st = meta_extents(fd, layout, index, part + 1, err);
    for (int i = 0; st == FSFM_OK && i < 4; i++)
        if (part[i].size_bytes) out->part[out->count++] = part[i];
    return st == FSFM_OK ? st : fsfm_context(err, "sample %" PRId64, index);
}

fsfm_status fsfm_shard_pread(int fd, const fsfm_shard_layout *layout, int64_t index, uint8_t *image_into,
                             fsfm_stored_sample *out, fsfm_error *err)
{
    FSFM_TRY(check_index(layout, index, err));
    fsfm_status st = read_image(fd, layout, index, image_into, out, err);
    if (st == FSFM_OK) st = read_meta(fd, layout, index, out, err);
    return st == FSFM_OK ? st : fsfm_context(err, "sample %" PRId64, index);
}

void fsfm_stored_sample_free(fsfm_stored_sample *sample)
{
    free(sample->image);
    free(sample->meta);
    memset(sample, 0, sizeof *sample);
}
