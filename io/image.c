/* SPDX-License-Identifier: Apache-2.0 */
#include "io/image.h"

#include <stdlib.h>
#include <string.h>

#include "io/codec.h"

fsfm_status fsfm_image_check_sides(int64_t width, int64_t height, fsfm_error *err)
{
    if (width >= 1 && width <= FSFM_IMAGE_SIDE_MAX && height >= 1 && height <= FSFM_IMAGE_SIDE_MAX)
        return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_FORMAT, "an image of %lld x %lld pixels, expected sides of 1 to %d",
                     (long long)width, (long long)height, FSFM_IMAGE_SIDE_MAX);
}

fsfm_status fsfm_image_check(const fsfm_image *image, fsfm_error *err)
{
    FSFM_TRY(fsfm_image_check_sides(image->width, image->height, err));
    if (!image->pixels || (image->channels != 1 && image->channels != 3))
        return fsfm_fail(err, FSFM_ERR_ARG, "an image of %d channels, expected 1 or 3", image->channels);
    return FSFM_OK;
}

fsfm_status fsfm_image_create(int width, int height, int channels, fsfm_image *out, fsfm_error *err)
{
    memset(out, 0, sizeof *out);
    FSFM_TRY(fsfm_image_check_sides(width, height, err));
    if (channels != 1 && channels != 3)
        return fsfm_fail(err, FSFM_ERR_ARG, "an image of %d channels, expected 1 or 3", channels);
    uint8_t *pixels = calloc((size_t)width * (size_t)height, (size_t)channels);
    if (!pixels)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for an image of %d x %d pixels", width, height);
    *out = (fsfm_image){.width = width, .height = height, .channels = channels, .pixels = pixels};
    return FSFM_OK;
}

void fsfm_image_free(fsfm_image *image)
{
    free(image->pixels);
    memset(image, 0, sizeof *image);
}

static fsfm_status fail_kind(const uint8_t *bytes, size_t size_bytes, fsfm_error *err)
{
    if (size_bytes == 0)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "the file is empty, expected a PNG or a JPEG");
    return fsfm_fail(err, FSFM_ERR_FORMAT,
                     "neither a PNG nor a JPEG: it begins with the bytes %02x %02x %02x %02x", bytes[0],
                     size_bytes > 1 ? bytes[1] : 0, size_bytes > 2 ? bytes[2] : 0,
                     size_bytes > 3 ? bytes[3] : 0);
}

fsfm_status fsfm_image_decode(const uint8_t *bytes, size_t size_bytes, fsfm_image *out, fsfm_error *err)
{
    memset(out, 0, sizeof *out);
    if (fsfm_png_is(bytes, size_bytes)) return fsfm_png_decode(bytes, size_bytes, out, err);
    if (fsfm_jpeg_is(bytes, size_bytes)) return fsfm_jpeg_decode(bytes, size_bytes, out, err);
    return fail_kind(bytes, size_bytes, err);
}

fsfm_status fsfm_image_probe(const uint8_t *bytes, size_t size_bytes, int *width, int *height, int *is_jpeg,
                             fsfm_error *err)
{
    *width = *height = 0;
    *is_jpeg = fsfm_jpeg_is(bytes, size_bytes);
    if (*is_jpeg) return fsfm_jpeg_probe(bytes, size_bytes, width, height, err);
    if (fsfm_png_is(bytes, size_bytes)) return fsfm_png_probe(bytes, size_bytes, width, height, err);
    return fail_kind(bytes, size_bytes, err);
}

bool fsfm_growing_reserve(fsfm_growing *growing, size_t more_bytes)
{
    if (growing->capacity - growing->used >= more_bytes) return true;
    size_t capacity = growing->capacity ? growing->capacity : 16384;
    while (capacity - growing->used < more_bytes) capacity *= 2;
    uint8_t *bytes = realloc(growing->bytes, capacity);
    if (!bytes) return false;
    growing->bytes = bytes;
    growing->capacity = capacity;
    return true;
}
