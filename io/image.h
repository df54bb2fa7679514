/* SPDX-License-Identifier: Apache-2.0
 * io/image.h - pictures in memory, and PNG and JPEG (libpng, libjpeg-turbo). Thread-safe: no shared state. */
#ifndef FSFM_IO_IMAGE_H
#define FSFM_IO_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

/* 8-bit pixels, row-major, interleaved. channels: 3 (RGB), or 1 (grey; label maps). */
typedef struct {
    int width, height, channels;
    uint8_t *pixels; /* owned; (height, width, channels) */
} fsfm_image;

enum { FSFM_IMAGE_SIDE_MAX = 16384 };

FSFM_MUST_USE
fsfm_status fsfm_image_create(int width, int height, int channels, fsfm_image *out, fsfm_error *err);
void fsfm_image_free(fsfm_image *image); /* zeroes it; accepts an image of zeros */

/* Decode a whole file in memory into RGB: grey, palette, 16-bit and alpha (dropped) are converted. The kind
 * is told by the first bytes, not by a name. On failure *out is empty; a truncated or broken file is an
 * error, never a half image. */
FSFM_MUST_USE
fsfm_status fsfm_image_decode(const uint8_t *bytes, size_t size_bytes, fsfm_image *out, fsfm_error *err);
/* Width, height (and whether it is a JPEG) without decoding. */
FSFM_MUST_USE
fsfm_status fsfm_image_probe(const uint8_t *bytes, size_t size_bytes, int *width, int *height, int *is_jpeg,
                             fsfm_error *err);
/* Decodes a JPEG of exactly size x size into pixels (size, size, 3), allocating nothing but what libjpeg does
 * itself. */
FSFM_MUST_USE
fsfm_status fsfm_jpeg_decode_square(const uint8_t *bytes, size_t size_bytes, int size, uint8_t *pixels,
                                    fsfm_error *err);
/* A label map: a PNG of one channel (grey or palette: the raw values or indices, 8 bits or fewer),
 * unconverted. */
FSFM_MUST_USE
fsfm_status fsfm_map_decode_png(const uint8_t *bytes, size_t size_bytes, fsfm_image *out, fsfm_error *err);
/* A label map: a .npy file (version 1 to 3) of shape (1, H, W) or (H, W), of int8, uint8, int16, int32 or
 * int64, C order, values 0 .. 255. */
FSFM_MUST_USE
fsfm_status fsfm_map_decode_npy(const uint8_t *bytes, size_t size_bytes, fsfm_image *out, fsfm_error *err);

/* Encoders give memory that the caller frees with free(). Deterministic: the same pixels give the same bytes.
 */
FSFM_MUST_USE
fsfm_status fsfm_image_encode_png(const fsfm_image *image, uint8_t **bytes, size_t *size_bytes,
                                  fsfm_error *err);
/* 4:4:4, quality 1 .. 100. */
FSFM_MUST_USE
fsfm_status fsfm_image_encode_jpeg(const fsfm_image *image, int quality, uint8_t **bytes, size_t *size_bytes,
                                   fsfm_error *err);
/* int8 (1, H, W), C order, version 1.0: the layout that the authors' preprocessing writes. */
FSFM_MUST_USE
fsfm_status fsfm_map_encode_npy(const fsfm_image *map, uint8_t **bytes, size_t *size_bytes, fsfm_error *err);

/* Cuts out (x, y, width, height) and resizes to size x size: bicubic (Keys, a = -0.5; the filter is widened
 * when shrinking, horizontal pass first, rounded to u8 after each: DOWNSTREAM.md 2.1). */
FSFM_MUST_USE
fsfm_status fsfm_image_crop_resize(const fsfm_image *image, int x, int y, int width, int height, int size,
                                   fsfm_image *out, fsfm_error *err);
/* The same for labels: nearest neighbour (centre of the output pixel). */
FSFM_MUST_USE
fsfm_status fsfm_map_crop_resize(const fsfm_image *map, int x, int y, int width, int height, int size,
                                 fsfm_image *out, fsfm_error *err);
#endif
