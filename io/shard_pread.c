/* SPDX-License-Identifier: Apache-2.0
 * A sample straight from the file: the reader's hot path. Raw: one pread for the image and one small one for
 * each part that the shard has; nothing is allocated once the buffers have grown, no HDF5, no lock. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/checksum.h"
#include "io/shard.h"

/* Longest JPEG file that is believed in a length read from a file. */
#define JPEG_BYTES_MAX ((uint64_t)256 << 20)

static fsfm_status read_all(int fd, void *into, uint64_t size_bytes, uint64_t offset, fsfm_error *err)
{
    char *next = into;
    while (size_bytes > 0) {
        const ssize_t got = pread(fd, next, size_bytes, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fsfm_fail(err, FSFM_ERR_IO, "cannot be read: %s", strerror(errno));
        if (got == 0) return fsfm_fail(err, FSFM_ERR_IO, "ends too early, at byte %" PRIu64, offset);
        next += got;
        offset += (uint64_t)got;
        size_bytes -= (uint64_t)got;
    }
    return FSFM_OK;
}

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

/* Entries index and index + 1 of a table of offsets into a dataset of data_bytes. */
static fsfm_status read_range(int fd, uint64_t table, int64_t index, uint64_t data_bytes, uint64_t longest,
                              const char *name, uint64_t *start, uint64_t *length, fsfm_error *err)
{
    uint64_t range[2];
    FSFM_TRY(read_all(fd, range, sizeof range, table + (uint64_t)index * sizeof(uint64_t), err));
    if (range[0] > range[1] || range[1] > data_bytes || range[1] - range[0] > longest)
        return fsfm_fail(err, FSFM_ERR_FORMAT,
                         "%s says that sample %" PRId64 " is at %" PRIu64 " to %" PRIu64 " of %" PRIu64
                         " bytes",
                         name, index, range[0], range[1], data_bytes);
    *start = range[0];
    *length = range[1] - range[0];
    return FSFM_OK;
}

static fsfm_status read_image(int fd, const fsfm_shard_layout *layout, int64_t index, uint8_t *image_into,
                              fsfm_stored_sample *out, fsfm_error *err)
{
    const uint64_t raw_bytes = (uint64_t)layout->kind.size * (uint64_t)layout->kind.size * 3;
    const bool is_raw = layout->kind.encoding == FSFM_ENCODING_RAW;
    uint64_t start = (uint64_t)index * raw_bytes, length = raw_bytes, want = 0;
    if (!is_raw)
        FSFM_TRY(read_range(fd, layout->image_offset, index, layout->image_bytes_length, JPEG_BYTES_MAX,
                            "image_offset", &start, &length, err));
    uint8_t *into = is_raw ? image_into : NULL;
    if (!into) {
        FSFM_TRY(grow(&out->image, &out->image_room, length, err));
        into = out->image;
    }
    FSFM_TRY(read_all(fd, into, length, (is_raw ? layout->images : layout->image_bytes) + start, err));
    FSFM_TRY(read_all(fd, &want, sizeof want, layout->xxh3 + (uint64_t)index * sizeof want, err));
    out->image_bytes = length;
    if (fsfm_checksum(into, length) != want)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "checksum of the image does not match (xxh3)");
    return FSFM_OK;
}

static fsfm_status read_meta(int fd, const fsfm_shard_layout *layout, int64_t index, fsfm_stored_sample *out,
                             fsfm_error *err)
{
    const uint64_t i = (uint64_t)index, side16 = (uint64_t)layout->kind.size / 16,
                   side14 = (uint64_t)layout->kind.size / 14;
    const uint64_t p16 = layout->regions_p16 ? side16 * side16 * 2 : 0;
    const uint64_t p14 = layout->regions_p14 ? side14 * side14 * 2 : 0;
    const uint64_t map_longest = (uint64_t)layout->kind.size * (uint64_t)layout->kind.size * 2 + 1024;
    uint64_t start = 0, map = 0, want = 0;
    if (layout->kind.has_regions)
        FSFM_TRY(read_range(fd, layout->map_offset, index, layout->map_bytes_length, map_longest,
                            "map_offset", &start, &map, err));
    FSFM_TRY(grow(&out->meta, &out->meta_room, p16 + p14 + map + 1, err));
    uint8_t *map_into = out->meta + p16 + p14;
    if (p16) FSFM_TRY(read_all(fd, out->meta, p16, layout->regions_p16 + i * p16, err));
    if (p14) FSFM_TRY(read_all(fd, out->meta + p16, p14, layout->regions_p14 + i * p14, err));
    if (map) FSFM_TRY(read_all(fd, map_into, map, layout->map_bytes + start, err));
    if (layout->kind.has_labels) FSFM_TRY(read_all(fd, map_into + map, 1, layout->label + i, err));
    FSFM_TRY(read_all(fd, &want, sizeof want, layout->xxh3_meta + i * sizeof want, err));
    out->meta_bytes = p16 + p14 + map + (layout->kind.has_labels ? 1 : 0);
    out->regions_p16 = p16 ? (const uint16_t *)(const void *)out->meta : NULL;
    out->regions_p14 = p14 ? (const uint16_t *)(const void *)(out->meta + p16) : NULL;
    out->map_deflated = layout->kind.has_regions ? map_into : NULL;
    out->map_bytes = map;
    out->label = layout->kind.has_labels ? (int8_t)map_into[map] : -1;
    if (fsfm_checksum(out->meta, out->meta_bytes) != want)
        return fsfm_fail(err, FSFM_ERR_FORMAT,
                         "checksum of regions, map and label does not match (xxh3_meta)");
    return FSFM_OK;
}

fsfm_status fsfm_shard_pread(int fd, const fsfm_shard_layout *layout, int64_t index, uint8_t *image_into,
                             fsfm_stored_sample *out, fsfm_error *err)
{
    if (index < 0 || index >= layout->count)
        return fsfm_fail(err, FSFM_ERR_ARG, "sample %" PRId64 " does not exist, there are %" PRId64, index,
                         layout->count);
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

fsfm_status fsfm_shard_verify(const char *path, int64_t *bad, int64_t bad_max, int64_t *bad_count,
                              fsfm_error *err)
{
    fsfm_shard_layout layout;
    fsfm_stored_sample sample = {0};
    *bad_count = 0;
    FSFM_TRY(fsfm_shard_read_layout(path, &layout, err));
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    fsfm_status st = FSFM_OK;
    for (int64_t i = 0; st == FSFM_OK && i < layout.count; i++) {
        st = fsfm_shard_pread(fd, &layout, i, NULL, &sample, err);
        if (st != FSFM_ERR_FORMAT) continue;
        if (*bad_count < bad_max) bad[*bad_count] = i;
        ++*bad_count;
        st = FSFM_OK;
    }
    close(fd);
    fsfm_stored_sample_free(&sample);
    return st == FSFM_OK ? st : fsfm_context(err, "%s", path);
}
