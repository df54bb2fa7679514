/* SPDX-License-Identifier: Apache-2.0
 * io/pictures.h - sheets of small pictures with captions, written as PNG. */
#ifndef FSFM_IO_PICTURES_H
#define FSFM_IO_PICTURES_H

#include <stdint.h>

#include "core/base/status.h"
#include "io/image.h"

typedef struct fsfm_sheet fsfm_sheet;
/* columns x rows cells of cell x cell pixels, with room for a caption above each column and left of each row,
 * and a title line on top. */
FSFM_MUST_USE
fsfm_status fsfm_sheet_create(int columns, int rows, int cell, const char *title, fsfm_sheet **out,
                              fsfm_error *err);
void fsfm_sheet_column_caption(fsfm_sheet *sheet, int column,
                               const char *text); /* ASCII; cut where it is too long */
void fsfm_sheet_row_caption(fsfm_sheet *sheet, int row, const char *text);
/* pixels (size, size, 3), scaled to the cell. */
void fsfm_sheet_put(fsfm_sheet *sheet, int column, int row, const uint8_t *pixels, int size);
FSFM_MUST_USE
fsfm_status fsfm_sheet_write(const fsfm_sheet *sheet, const char *path, fsfm_error *err);
void fsfm_sheet_free(fsfm_sheet **sheet);

/* Paints removed patches of image (size, size, 3) grey, and those of the covered region in a colour of its
 * own (both masks (size / patch)^2; region may be NULL), in place. */
void fsfm_paint_mask(uint8_t *image, int size, int patch, const uint8_t *mask, const uint8_t *region);
/* Tints every patch by the first region group that it has (bits as of regions_p16), in place: the region
 * picture. */
void fsfm_paint_regions(uint8_t *image, int size, int patch, const uint16_t *bits);
#endif
