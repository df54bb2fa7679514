/* SPDX-License-Identifier: Apache-2.0
 * Takes samples one by one. Nothing can be laid out before the last one is known (a contiguous dataset does
 * not shrink), so images and maps wait in spools and everything else in memory. */
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/checksum.h"
#include "io/file.h"
#include "io/shard_columns.h"

static void free_strings(char **strings, int64_t count)
{
    if (strings)
        for (int64_t i = 0; i < count; i++) free(strings[i]);
    free(strings);
}

static void free_writer(fsfm_shard_writer *writer)
{
    fsfm_shard_spool_close(&writer->images);
    fsfm_shard_spool_close(&writer->maps);
    if (writer->temporary) unlink(writer->temporary);
    free_strings(writer->id, writer->count_max);
    free_strings(writer->group, writer->count_max);
    free_strings(writer->domain, writer->count_max);
    free(writer->image_offset), free(writer->map_offset), free(writer->xxh3), free(writer->xxh3_meta);
    free(writer->regions_p16), free(writer->regions_p14), free(writer->label), free(writer->frame);
    free(writer->meta);
    free(writer->path), free(writer->folder), free(writer->temporary);
    free(writer);
}

/* path, its folder, and a hidden name beside it. */
static fsfm_status set_names(fsfm_shard_writer *writer, const char *path, fsfm_error *err)
{
    char *copy = strdup(path), *name = strdup(path);
    fsfm_status st = FSFM_OK;
    if (!copy || !name || !(writer->path = strdup(path)) || !(writer->folder = strdup(dirname(copy))) ||
        asprintf(&writer->temporary, "%s/.%s.tmp", writer->folder, basename(name)) < 0) {
        writer->temporary = NULL;
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for file names");
    }
    free(copy);
    free(name);
    return st;
}

static fsfm_status allocate_columns(fsfm_shard_writer *w, fsfm_error *err)
{
    const size_t n = (size_t)w->count_max;
    bool ok = (w->image_offset = calloc(n + 1, sizeof *w->image_offset)) &&
              (w->xxh3 = calloc(n + 1, sizeof *w->xxh3)) &&
              (w->xxh3_meta = calloc(n + 1, sizeof *w->xxh3_meta)) && (w->id = calloc(n + 1, sizeof *w->id));
    if (ok && w->kind.has_regions)
        ok = (w->map_offset = calloc(n + 1, sizeof *w->map_offset)) &&
             (w->regions_p16 = calloc(n * (size_t)w->patches_p16 + 1, sizeof *w->regions_p16)) &&
             (w->regions_p14 = calloc(n * (size_t)w->patches_p14 + 1, sizeof *w->regions_p14));
    if (ok && w->kind.has_labels)
        ok = (w->label = calloc(n + 1, sizeof *w->label)) && (w->frame = calloc(n + 1, sizeof *w->frame)) &&
             (w->group = calloc(n + 1, sizeof *w->group)) && (w->domain = calloc(n + 1, sizeof *w->domain));
    if (ok) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a shard of %" PRId64 " samples", w->count_max);
}

static fsfm_status open_spool(const fsfm_shard_writer *writer, const char *what, fsfm_shard_spool *spool,
                              fsfm_error *err)
{
    char *name = NULL;
    if (asprintf(&name, "%s.%s", writer->temporary, what) < 0)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for file names");
    fsfm_status st = fsfm_shard_spool_open(name, spool, err);
    free(name);
    return st;
}

static int64_t patches_of(const fsfm_shard_kind *kind, int patch)
{
    if (!kind->has_regions || kind->size % patch != 0) return 0;
    return (int64_t)(kind->size / patch) * (kind->size / patch);
}

fsfm_status fsfm_shard_writer_open(const char *path, const fsfm_shard_kind *kind, int64_t count_max,
                                   fsfm_shard_writer **out, fsfm_error *err)
{
    FSFM_ASSERT(count_max >= 0 && kind->size > 0);
    *out = NULL;
    fsfm_shard_writer *writer = calloc(1, sizeof *writer);
    if (!writer) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a shard writer");
    writer->kind = *kind;
    writer->count_max = count_max;
    writer->patches_p16 = patches_of(kind, 16);
    writer->patches_p14 = patches_of(kind, 14);
    writer->images.fd = writer->maps.fd = -1;
    fsfm_status st = set_names(writer, path, err);
    if (st == FSFM_OK) st = allocate_columns(writer, err);
    if (st == FSFM_OK) st = open_spool(writer, "images", &writer->images, err);
    if (st == FSFM_OK && kind->has_regions) st = open_spool(writer, "maps", &writer->maps, err);
    if (st == FSFM_OK)
        *out = writer;
    else
        free_writer(writer);
    return st;
}

static fsfm_status check_sample(const fsfm_shard_writer *writer, const fsfm_shard_sample *sample,
                                fsfm_error *err)
{
    const uint64_t raw_bytes = (uint64_t)writer->kind.size * (uint64_t)writer->kind.size * 3;
    if (writer->count == writer->count_max)
        return fsfm_fail(err, FSFM_ERR_ARG, "more than the announced %" PRId64 " samples", writer->count_max);
    if (writer->kind.encoding == FSFM_ENCODING_RAW && sample->image_bytes != raw_bytes)
        return fsfm_fail(err, FSFM_ERR_ARG, "image of %" PRIu64 " bytes, expected %" PRIu64,
                         sample->image_bytes, raw_bytes);
    if (sample->image_bytes == 0) return fsfm_fail(err, FSFM_ERR_ARG, "empty image");
    if (writer->kind.has_regions &&
        (!sample->map_deflated || sample->map_bytes == 0 || (writer->patches_p16 && !sample->regions_p16) ||
         (writer->patches_p14 && !sample->regions_p14)))
        return fsfm_fail(err, FSFM_ERR_ARG, "sample without map or regions in a shard that has them");
    return FSFM_OK;
}

/* Lays the small parts of a sample together in the order in which a reader gets them: regions_p16,
 * regions_p14, deflated map, label. Gives their length. */
static fsfm_status gather_meta(fsfm_shard_writer *w, const fsfm_shard_sample *sample, uint64_t *size_bytes,
                               fsfm_error *err)
{
    const uint64_t p16 = (uint64_t)w->patches_p16 * 2, p14 = (uint64_t)w->patches_p14 * 2;
    const uint64_t map = w->kind.has_regions ? sample->map_bytes : 0;
    const uint64_t need = p16 + p14 + map + 1;
    if (need > w->meta_room) {
        uint8_t *grown = realloc(w->meta, need * 2);
        if (!grown) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %" PRIu64 " bytes", need * 2);
        w->meta = grown;
        w->meta_room = need * 2;
    }
    if (p16) memcpy(w->meta, sample->regions_p16, p16);
    if (p14) memcpy(w->meta + p16, sample->regions_p14, p14);
    if (map) memcpy(w->meta + p16 + p14, sample->map_deflated, map);
    *size_bytes = p16 + p14 + map;
    if (w->kind.has_labels) w->meta[(*size_bytes)++] = (uint8_t)sample->label;
    return FSFM_OK;
}

static fsfm_status set_row(fsfm_shard_writer *w, const fsfm_shard_sample *sample, int64_t n, fsfm_error *err)
{
    const size_t p16 = (size_t)w->patches_p16, p14 = (size_t)w->patches_p14;
    uint64_t meta_bytes = 0;
    FSFM_TRY(gather_meta(w, sample, &meta_bytes, err));
    w->xxh3[n] = fsfm_checksum(sample->image, sample->image_bytes);
    w->xxh3_meta[n] = fsfm_checksum(w->meta, meta_bytes);
    if (p16) memcpy(w->regions_p16 + (size_t)n * p16, sample->regions_p16, p16 * sizeof(uint16_t));
    if (p14) memcpy(w->regions_p14 + (size_t)n * p14, sample->regions_p14, p14 * sizeof(uint16_t));
    bool has_names = (w->id[n] = strdup(sample->id)) != NULL;
    if (w->kind.has_labels) {
        w->label[n] = sample->label;
        w->frame[n] = sample->frame;
        w->group[n] = strdup(sample->group ? sample->group : "");
        w->domain[n] = strdup(sample->domain ? sample->domain : "");
        has_names = has_names && w->group[n] && w->domain[n];
    }
    return has_names ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for names");
}

fsfm_status fsfm_shard_writer_add(fsfm_shard_writer *writer, const fsfm_shard_sample *sample, fsfm_error *err)
{
    const int64_t n = writer->count;
    fsfm_status st = check_sample(writer, sample, err);
    if (st == FSFM_OK) st = fsfm_shard_spool_add(&writer->images, sample->image, sample->image_bytes, err);
    if (st == FSFM_OK && writer->kind.has_regions)
        st = fsfm_shard_spool_add(&writer->maps, sample->map_deflated, sample->map_bytes, err);
    if (st == FSFM_OK) st = set_row(writer, sample, n, err);
    if (st != FSFM_OK) return fsfm_context(err, "%s: sample '%s'", writer->path, sample->id);
    writer->count = n + 1;
    writer->image_offset[n + 1] = writer->images.size_bytes;
    if (writer->kind.has_regions) writer->map_offset[n + 1] = writer->maps.size_bytes;
    return FSFM_OK;
}

fsfm_status fsfm_shard_writer_finish(fsfm_shard_writer **writer, const fsfm_pixel_sums *sums,
                                     uint64_t plan_xxh3, const char *const *quarantine,
                                     int64_t quarantine_count, fsfm_error *err)
{
    fsfm_shard_writer *w = *writer;
    const fsfm_shard_extras extras = {sums, plan_xxh3, quarantine, quarantine_count};
    fsfm_status st = fsfm_shard_store(w, &extras, err);
    if (st == FSFM_OK && rename(w->temporary, w->path) != 0)
        st = fsfm_fail(err, FSFM_ERR_IO, "cannot rename '%s': %s", w->temporary, strerror(errno));
    if (st == FSFM_OK) st = fsfm_folder_sync(w->folder, err);
    if (st != FSFM_OK) fsfm_context(err, "%s", w->path);
    free_writer(w);
    *writer = NULL;
    return st;
}

void fsfm_shard_writer_abandon(fsfm_shard_writer **writer)
{
    if (*writer) free_writer(*writer);
    *writer = NULL;
}
