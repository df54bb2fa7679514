/* SPDX-License-Identifier: Apache-2.0
 * io/codec.h - what png.c, jpeg.c and image.c share; private to io. */
#ifndef FSFM_IO_CODEC_H
#define FSFM_IO_CODEC_H

#include <stdbool.h>

#include "io/image.h"

bool fsfm_png_is(const uint8_t *bytes, size_t size_bytes);
bool fsfm_jpeg_is(const uint8_t *bytes, size_t size_bytes);
/* Width and height from the header, checked against FSFM_IMAGE_SIDE_MAX. */
FSFM_MUST_USE
fsfm_status fsfm_png_probe(const uint8_t *bytes, size_t size_bytes, int *width, int *height, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_jpeg_probe(const uint8_t *bytes, size_t size_bytes, int *width, int *height,
                            fsfm_error *err);
/* To RGB. On failure *out is empty. */
FSFM_MUST_USE
fsfm_status fsfm_png_decode(const uint8_t *bytes, size_t size_bytes, fsfm_image *out, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_jpeg_decode(const uint8_t *bytes, size_t size_bytes, fsfm_image *out, fsfm_error *err);
/* An encoder's output: grows by doubling. False where memory ends; the bytes are then kept. */
typedef struct {
    uint8_t *bytes;
    size_t used, capacity;
} fsfm_growing;
bool fsfm_growing_reserve(fsfm_growing *growing, size_t more_bytes);
/* Width, height in 1 .. FSFM_IMAGE_SIDE_MAX, channels 1 or 3, pixels there. */
FSFM_MUST_USE
fsfm_status fsfm_image_check(const fsfm_image *image, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_image_check_sides(int64_t width, int64_t height, fsfm_error *err);
#endif
