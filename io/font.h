/* SPDX-License-Identifier: Apache-2.0
 * io/font.h - small text on pictures; private to io. */
#ifndef FSFM_IO_FONT_H
#define FSFM_IO_FONT_H

#include "io/image.h"

enum { FSFM_FONT_WIDTH = 6, FSFM_FONT_HEIGHT = 10 }; /* of one character's cell at scale 1 */

/* Writes ASCII text with its upper left corner at (x, y) into an RGB image; what lies outside is left out.
 * Other characters become '?'. Text of more than max_width pixels is cut and ends in "..". */
void fsfm_font_draw(fsfm_image *image, int x, int y, int scale, int max_width, const char *text,
                    const uint8_t colour[3]);
/* Pixels that text takes. */
int fsfm_font_width(const char *text, int scale);
#endif
