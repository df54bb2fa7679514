/* SPDX-License-Identifier: Apache-2.0
 * One sample: from an image file (and a map) to what a shard stores, or the reason why not. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "core/mask/regions.h"
#include "io/file.h"
#include "io/image.h"
#include "jobs/pack/pack.h"

enum { DEFLATE_LEVEL = 6 };
#define JPEG_KEEP_MAX \
    ((size_t)16 << 20) /* a longer file of the right size carries more than an image: encoded anew */

static fsfm_status no_memory(fsfm_error *err)
{
    return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a sample");
}

/* Notes why the sample is bad; the first reason stays. */
FSFM_PRINTF(2, 3) static fsfm_status reject(pack_product *out, const char *fmt, ...)
{
    va_list args;
    if (out->reason) return FSFM_OK;
    va_start(args, fmt);
    if (vasprintf(&out->reason, fmt, args) < 0) out->reason = NULL;
    va_end(args);
    return out->reason ? FSFM_OK : FSFM_ERR_MEMORY;
}

/* A failure of a decoder is the file's, but for want of memory. */
static fsfm_status reject_file(pack_product *out, const char *what, fsfm_status st, fsfm_error *err)
{
    if (st == FSFM_ERR_MEMORY) return st;
    return reject(out, "%s: %s", what, err->message) == FSFM_OK ? FSFM_OK : no_memory(err);
}

static fsfm_status read_below(const char *root, const char *relative, uint8_t **bytes, size_t *size_bytes,
                              fsfm_error *err)
{
    char path[PACK_PATH_SIZE], prefix[PACK_PATH_SIZE + 2];
    if (pack_file_path(root, relative, path) != FSFM_OK) return fsfm_fail(err, FSFM_ERR_ARG, "path too long");
    fsfm_status st = fsfm_file_read(path, bytes, size_bytes, err);
    /* The quarantine list names the file already, and must not depend on where the source folder stands. */
    const size_t length = (size_t)snprintf(prefix, sizeof prefix, "%s: ", path);
    if (st != FSFM_OK && strncmp(err->message, prefix, length) == 0)
        memmove(err->message, err->message + length, strlen(err->message + length) + 1);
    return st;
}

static void square_of(const fsfm_image *image, int *x, int *y, int *side)
{
    *side = image->width < image->height ? image->width : image->height;
    *x = (image->width - *side) / 2;
    *y = (image->height - *side) / 2;
}

static void add_pixels(const uint8_t *pixels, int64_t count, fsfm_pixel_sums *sums)
{
    sums->pixels += (uint64_t)count;
    for (int64_t p = 0; p < count; p++)
        for (int c = 0; c < 3; c++) {
            const uint64_t v = pixels[p * 3 + c];
            sums->sum[c] += v;
            sums->sum_of_squares[c] += v * v;
        }
}

/* The sums over what a reader will decode from out->image. */
static fsfm_status sum_jpeg(const pack_plan *plan, pack_product *out, fsfm_error *err)
{
    const int size = plan->kind.size;
    uint8_t *pixels = malloc((size_t)size * (size_t)size * 3);
    if (!pixels) return no_memory(err);
    fsfm_status st = fsfm_jpeg_decode_square(out->image, out->image_bytes, size, pixels, err);
    if (st == FSFM_OK) add_pixels(pixels, (int64_t)size * size, &out->sums);
    free(pixels);
    return st;
}

/* Takes over the file where it can be stored byte for byte. */
static bool keep_jpeg(const pack_plan *plan, uint8_t **file, size_t file_bytes, const fsfm_image *image,
                      pack_product *out)
{
    fsfm_error err;
    int width, height, is_jpeg = 0;
    if (plan->kind.encoding != FSFM_ENCODING_JPEG || image->width != plan->kind.size ||
        image->height != plan->kind.size || file_bytes > JPEG_KEEP_MAX ||
        fsfm_image_probe(*file, file_bytes, &width, &height, &is_jpeg, &err) != FSFM_OK || !is_jpeg)
        return false;
    out->image = *file;
    out->image_bytes = file_bytes;
    if (sum_jpeg(plan, out, &err) == FSFM_OK) {
        *file = NULL;
        return true;
    }
    out->image = NULL;
    return false;
}

/* Cropped to a square and resized where it must be. */
static fsfm_status store_pixels(const pack_plan *plan, fsfm_image *image, pack_product *out, fsfm_error *err)
{
    const int size = plan->kind.size;
    fsfm_image resized = {0};
    fsfm_status st = FSFM_OK;
    if (image->width != size || image->height != size) {
        int x, y, side;
        square_of(image, &x, &y, &side);
        FSFM_TRY(fsfm_image_crop_resize(image, x, y, side, side, size, &resized, err));
        fsfm_image_free(image);
        *image = resized;
    }
    if (plan->kind.encoding == FSFM_ENCODING_RAW) {
        add_pixels(image->pixels, (int64_t)size * size, &out->sums);
        out->image = image->pixels;
        out->image_bytes = (uint64_t)size * (uint64_t)size * 3;
        image->pixels = NULL;
    } else {
        size_t size_bytes = 0;
        st = fsfm_image_encode_jpeg(image, PACK_JPEG_QUALITY, &out->image, &size_bytes, err);
        out->image_bytes = size_bytes;
        if (st == FSFM_OK) st = sum_jpeg(plan, out, err);
    }
    return st;
}

static fsfm_status deflate_map(const fsfm_image *map, pack_product *out, fsfm_error *err)
{
    const uLong raw_bytes = (uLong)map->width * (uLong)map->height;
    uLongf deflated_bytes = compressBound(raw_bytes);
    if (!(out->map_deflated = malloc(deflated_bytes)) ||
        compress2(out->map_deflated, &deflated_bytes, map->pixels, raw_bytes, DEFLATE_LEVEL) != Z_OK)
        return no_memory(err);
    out->map_bytes = deflated_bytes;
    return FSFM_OK;
}

static fsfm_status store_regions(const fsfm_image *map, int size, int patch, uint16_t **bits, fsfm_error *err)
{
    if (size % patch != 0) return FSFM_OK;
    if (!(*bits = calloc((size_t)(size / patch) * (size_t)(size / patch), sizeof **bits)))
        return no_memory(err);
    fsfm_regions_from_map(map->pixels, size, patch, 0, *bits);
    return FSFM_OK;
}

/* Labels become LaPa-11 labels, then the map follows the image's crop. */
static fsfm_status store_map(const pack_plan *plan, fsfm_image *map, const char *name, pack_product *out,
                             fsfm_error *err)
{
    const int size = plan->kind.size;
    const fsfm_label_scheme *scheme = &plan->options->scheme;
    const int64_t outside = fsfm_label_scheme_apply(scheme, map->pixels, (int64_t)map->width * map->height);
    if (outside >= 0) {
        const int row = (int)(outside / map->width), column = (int)(outside % map->width);
        if (reject(out, "map %s: label %d (row %d, column %d) is outside the scheme %s", name,
                   map->pixels[outside], row, column, scheme->name) != FSFM_OK)
            return no_memory(err);
        return FSFM_OK;
    }
    if (map->width != size || map->height != size) {
        int x, y, side;
        fsfm_image resized = {0};
        square_of(map, &x, &y, &side);
        FSFM_TRY(fsfm_map_crop_resize(map, x, y, side, side, size, &resized, err));
        fsfm_image_free(map);
        *map = resized;
    }
    FSFM_TRY(store_regions(map, size, 16, &out->regions_p16, err));
    FSFM_TRY(store_regions(map, size, 14, &out->regions_p14, err));
    return deflate_map(map, out, err);
}

static fsfm_status take_map(const pack_plan *plan, const pack_source *source, int width, int height,
                            pack_product *out, fsfm_error *err)
{
    const char *relative = pack_text(&plan->list, source->map);
    char name[PACK_PATH_SIZE + 32];
    uint8_t *file = NULL;
    size_t file_bytes = 0;
    fsfm_image map = {0};
    snprintf(name, sizeof name, "parsing_maps/%s", relative);
    fsfm_status st = read_below(plan->list.maps_root, relative, &file, &file_bytes, err);
    if (st == FSFM_OK)
        st = source->map_kind == PACK_MAP_NPY ? fsfm_map_decode_npy(file, file_bytes, &map, err)
                                              : fsfm_map_decode_png(file, file_bytes, &map, err);
    if (st != FSFM_OK) {
        char what[PACK_PATH_SIZE + 40];
        snprintf(what, sizeof what, "map %s", name);
        st = reject_file(out, what, st, err);
    } else if (map.width != width || map.height != height) {
        if (reject(out, "map %s is %d x %d, the image %d x %d", name, map.width, map.height, width, height) !=
            FSFM_OK)
            st = no_memory(err);
    } else {
        st = store_map(plan, &map, name, out, err);
    }
    fsfm_image_free(&map);
    free(file);
    return st;
}

static fsfm_status take_image(const pack_plan *plan, const pack_source *source, int *width, int *height,
                              pack_product *out, fsfm_error *err)
{
    uint8_t *file = NULL;
    size_t file_bytes = 0;
    fsfm_image image = {0};
    fsfm_status st =
        read_below(plan->list.root, pack_text(&plan->list, source->path), &file, &file_bytes, err);
    if (st == FSFM_OK) st = fsfm_image_decode(file, file_bytes, &image, err);
    if (st != FSFM_OK) {
        st = reject_file(out, "image", st, err);
    } else {
        *width = image.width;
        *height = image.height;
        if (!keep_jpeg(plan, &file, file_bytes, &image, out)) st = store_pixels(plan, &image, out, err);
    }
    fsfm_image_free(&image);
    free(file);
    return st;
}

fsfm_status pack_sample(const pack_plan *plan, const pack_source *source, pack_product *out, fsfm_error *err)
{
    int width = 0, height = 0;
    const int stem = (int)source->id_length;
    const char *path = pack_text(&plan->list, source->path);
    fsfm_status st = FSFM_OK;
    memset(out, 0, sizeof *out);
    if (source->is_duplicate)
        st = reject(out, "another file has the same id '%.*s'", stem, path);
    else if (plan->list.has_maps && source->map_kind == PACK_MAP_NONE)
        st = reject(out, "map missing: no parsing_maps/%.*s.npy or .png", stem, path);
    if (st != FSFM_OK) return no_memory(err);
    if (!out->reason) st = take_image(plan, source, &width, &height, out, err);
    if (st == FSFM_OK && !out->reason && plan->list.has_maps)
        st = take_map(plan, source, width, height, out, err);
    return st;
}

void pack_product_free(pack_product *product)
{
    free(product->reason);
    free(product->image);
    free(product->map_deflated);
    free(product->regions_p16);
    free(product->regions_p14);
    memset(product, 0, sizeof *product);
}
