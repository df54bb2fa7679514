/* SPDX-License-Identifier: Apache-2.0
 * io/draw.h - smooth lines and discs on RGB pictures; private to io. */
#ifndef FSFM_IO_DRAW_H
#define FSFM_IO_DRAW_H

#include "io/image.h"

/* Coordinates are those of pixels' corners: (0.5, 0.5) is the middle of the first. What lies outside of the
 * picture is left out. */
void fsfm_draw_line(fsfm_image *image, double x0, double y0, double x1, double y1, double width,
                    const uint8_t colour[3]);
void fsfm_draw_disc(fsfm_image *image, double x, double y, double radius, const uint8_t colour[3]);
#endif
