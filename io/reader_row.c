/* SPDX-License-Identifier: Apache-2.0 */
#define ZLIB_CONST /* input is const */
#include "io/reader_row.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "io/augment.h"
#include "io/image.h"
#include "io/jpeg_plain.h"
#include "io/resampler.h"

enum { REPLACEMENTS_MAX = 64, LABEL_MAX = 10 };

/* Which part of a stored sample the masks are drawn from. */
typedef enum { NO_REGIONS, PACKED_BITS, WHOLE_MAP } regions_form;

struct fsfm_row_maker {
    const fsfm_reader_plan *plan;
    fsfm_stored_sample stored;
    regions_form form; /* of stored */
    z_stream inflater;
    bool has_inflater;
    uint16_t *bits;    /* (patches): mirrored */
    uint8_t *map;      /* (size, size): as stored */
    uint8_t *view_map; /* (size, size) */
    uint8_t *image;    /* view crop: (size, size, 3), the whole image */
    fsfm_resampler *resampler;
    fsfm_jpeg_plain *jpeg;
};

void fsfm_bad_list_free(fsfm_bad_node **list)
{
    while (*list) {
        fsfm_bad_node *next = (*list)->next;
        free(*list);
        *list = next;
    }
}

uint64_t fsfm_row_maker_memory_bytes(const fsfm_reader_plan *plan)
{
    const uint64_t pixels = (uint64_t)plan->size * (uint64_t)plan->size;
    const uint64_t stored = pixels; /* a JPEG file, a deflated map */
    return 2 * pixels + stored + (plan->view == FSFM_VIEW_CROP ? 3 * pixels : 0);
}

fsfm_status fsfm_row_maker_create(const fsfm_reader_plan *plan, fsfm_row_maker **out, fsfm_error *err)
{
    const size_t pixels = (size_t)plan->size * (size_t)plan->size,
                 across = (size_t)(plan->size / plan->patch);
    fsfm_status st = FSFM_OK;
    fsfm_row_maker *maker = calloc(1, sizeof *maker);
    *out = NULL;
    if (!maker) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a reader's thread");
    maker->plan = plan;
    maker->bits = malloc(across * across * sizeof *maker->bits);
    maker->map = malloc(pixels);
    maker->view_map = malloc(pixels);
    maker->has_inflater = inflateInit(&maker->inflater) == Z_OK;
    st = fsfm_jpeg_plain_create(fsfm_jpeg_vectors_here(), &maker->jpeg, err);
    if (plan->view == FSFM_VIEW_CROP) {
        maker->image = malloc(pixels * 3);
        if (st == FSFM_OK) st = fsfm_resampler_create(plan->size, plan->size, &maker->resampler, err);
    }
    if (st == FSFM_OK && (!maker->bits || !maker->map || !maker->view_map || !maker->has_inflater ||
                          (plan->view == FSFM_VIEW_CROP && !maker->image)))
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a reader thread's buffers of %zu pixels", pixels);
    if (st != FSFM_OK) fsfm_row_maker_free(&maker);
    *out = maker;
    return st;
}

void fsfm_row_maker_free(fsfm_row_maker **maker)
{
    fsfm_row_maker *self = *maker;
    if (!self) return;
    fsfm_stored_sample_free(&self->stored);
    if (self->has_inflater) inflateEnd(&self->inflater);
    fsfm_resampler_free(&self->resampler);
    fsfm_jpeg_plain_free(&self->jpeg);
    free(self->bits);
    free(self->map);
    free(self->view_map);
    free(self->image);
    free(self);
    *maker = NULL;
}

/* maker->map is then what was packed: size x size labels. */
static fsfm_status inflate_map(fsfm_row_maker *maker, fsfm_error *err)
{
    const fsfm_stored_sample *stored = &maker->stored;
    const size_t pixels = (size_t)maker->plan->size * (size_t)maker->plan->size;
    uint8_t largest = 0;
    if (stored->map_bytes > UINT_MAX)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "map of %" PRIu64 " bytes", stored->map_bytes);
    z_stream *inflater = &maker->inflater;
    inflateReset(inflater);
    inflater->next_in = stored->map_deflated;
    inflater->avail_in = (uInt)stored->map_bytes;
    inflater->next_out = maker->map;
    inflater->avail_out = (uInt)pixels;
    const int code = inflate(inflater, Z_FINISH);
    if (code == Z_MEM_ERROR) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to inflate a map");
    if (code != Z_STREAM_END || inflater->avail_out != 0)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "the deflated map does not hold %d x %d labels",
                         maker->plan->size, maker->plan->size);
    for (size_t i = 0; i < pixels; i++) largest = maker->map[i] > largest ? maker->map[i] : largest;
    if (largest > LABEL_MAX)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "the map has label %d, expected 0 to %d", largest, LABEL_MAX);
    return FSFM_OK;
}

static const uint16_t *packed_bits(const fsfm_row_maker *maker)
{
    return maker->plan->patch == 16   ? maker->stored.regions_p16
           : maker->plan->patch == 14 ? maker->stored.regions_p14
                                      : NULL;
}

static regions_form form_of_regions(const fsfm_row_maker *maker, const fsfm_shard_kind *kind)
{
    const fsfm_reader_plan *plan = maker->plan;
    if (!plan->draw_masks || !kind->has_regions) return NO_REGIONS;
    return plan->view == FSFM_VIEW_CROP || plan->wants_map || !packed_bits(maker) ? WHOLE_MAP : PACKED_BITS;
}

static fsfm_status decode(fsfm_row_maker *maker, uint8_t *image, fsfm_error *err)
{
    const uint8_t *file = maker->stored.image;
    const size_t size_bytes = (size_t)maker->stored.image_bytes;
    const int size = maker->plan->size;
    if (fsfm_jpeg_plain_decode(maker->jpeg, file, size_bytes, size, image)) return FSFM_OK;
    return fsfm_jpeg_decode_square(file, size_bytes, size, image, err);
}

/* Image and map as stored; image (size, size, 3). FSFM_ERR_FORMAT: the sample is damaged. */
static fsfm_status load(fsfm_row_maker *maker, fsfm_place place, uint8_t *image, fsfm_error *err)
{
    fsfm_dataset *dataset = maker->plan->sources[place.source];
    const fsfm_shard_kind *kind = &fsfm_dataset_describe(dataset)->kind;
    const bool is_raw = kind->encoding == FSFM_ENCODING_RAW;
    fsfm_status st = fsfm_dataset_read(dataset, place.sample, is_raw ? image : NULL, &maker->stored, err);
    if (st != FSFM_OK) return st; /* says which shard and place */
    if (!is_raw) st = decode(maker, image, err);
    maker->form = form_of_regions(maker, kind);
    if (st == FSFM_OK && maker->form == WHOLE_MAP) st = inflate_map(maker, err);
    if (st != FSFM_OK) fsfm_context(err, "%s: sample %" PRId64, fsfm_dataset_folder(dataset), place.sample);
    return st;
}

static fsfm_status note_bad(const fsfm_row *row, const fsfm_error *error, fsfm_error *err)
{
    fsfm_bad_node **end = row->bad;
    while (*end) end = &(*end)->next;
    if (!(*end = calloc(1, sizeof **end)))
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory to note a damaged sample");
    (*end)->bad.source = row->ref->place.source;
    (*end)->bad.sample = row->ref->place.sample;
    snprintf((*end)->bad.message, sizeof(*end)->bad.message, "%.255s", error->message);
    return FSFM_OK;
}

/* Loads the sample asked for, or the first good one behind it. */
static fsfm_status load_good(fsfm_row_maker *maker, const fsfm_row *row, uint8_t *image, fsfm_error *err)
{
    fsfm_error error;
    for (int tries = 0; tries <= REPLACEMENTS_MAX; tries++) {
        const fsfm_status st = load(maker, row->ref->place, image, &error);
        if (st == FSFM_ERR_FORMAT) {
            FSFM_TRY(note_bad(row, &error, err));
            row->ref->place = fsfm_sampler_replacement(maker->plan->sampler, row->ref->place);
        } else {
            if (st != FSFM_OK && err) *err = error;
            return st;
        }
    }
    if (err) *err = error;
    return fsfm_context(err, "%d samples in a row are damaged, the last one", REPLACEMENTS_MAX + 1);
}

static void draw_masks(fsfm_row_maker *maker, const fsfm_row *row, const fsfm_cut *cut)
{
    const fsfm_reader_plan *plan = maker->plan;
    const uint16_t *bits = maker->form == PACKED_BITS ? packed_bits(maker) : NULL;
    const uint8_t *map = maker->form == WHOLE_MAP ? maker->map : NULL;
    if (bits && cut->is_flipped) {
        fsfm_flip_bits(bits, plan->size / plan->patch, maker->bits);
        bits = maker->bits;
    }
    if (map && plan->view != FSFM_VIEW_NONE) {
        fsfm_cut_map(cut, map, plan->size, maker->view_map);
        map = maker->view_map;
    }
    plan->draw_masks(plan->draw_context, row->ref, bits, map, row->mask, row->region, row->target_mask);
}

fsfm_status fsfm_row_make(fsfm_row_maker *maker, const fsfm_row *row, fsfm_error *err)
{
    const fsfm_reader_plan *plan = maker->plan;
    const bool crops = plan->view == FSFM_VIEW_CROP;
    FSFM_TRY(load_good(maker, row, crops ? maker->image : row->image, err));
    const fsfm_cut cut = fsfm_cut_draw(plan->view, plan->size, plan->seed, row->ref->place);
    if (crops)
        fsfm_resampler_run(maker->resampler, maker->image, plan->size, cut.x, cut.y, cut.width, cut.height,
                           row->image);
    if (cut.is_flipped) fsfm_flip_pixels(row->image, plan->size, plan->size);
    if (plan->draw_masks) draw_masks(maker, row, &cut);
    return FSFM_OK;
}
