/* SPDX-License-Identifier: Apache-2.0
 * io/draw.h - white RGB pictures, smooth lines and discs on them, and their files; private to io. */
#ifndef FSFM_IO_DRAW_H
#define FSFM_IO_DRAW_H

#include "io/image.h"

extern const uint8_t fsfm_ink[3]; /* of text */

/* A white picture; the caller ends it with fsfm_image_free(). */
FSFM_MUST_USE
fsfm_status fsfm_draw_begin(int width, int height, fsfm_image *out, fsfm_error *err);
/* As PNG; errors name path. */
FSFM_MUST_USE
fsfm_status fsfm_draw_write(const fsfm_image *image, const char *path, fsfm_error *err);

/* Coordinates are those of pixels' corners: (0.5, 0.5) is the middle of the first. What lies outside of the
 * picture is left out. */
void fsfm_draw_line(fsfm_image *image, double x0, double y0, double x1, double y1, double width,
                    const uint8_t colour[3]);
void fsfm_draw_disc(fsfm_image *image, double x, double y, double radius, const uint8_t colour[3]);
#endif
