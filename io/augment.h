/* SPDX-License-Identifier: Apache-2.0
 * io/augment.h - the views of data.augment.view: what a sample's view is, and making it, for image and label
 * map alike. */
#ifndef FSFM_IO_AUGMENT_H
#define FSFM_IO_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/data_options.h"
#include "io/sampler.h"

/* The part of a square image that is seen, before it is mirrored. Plain data. */
typedef struct {
    int x, y, width, height; /* pixels */
    bool is_flipped;
} fsfm_cut;

/* Drawn by (seed, place); size: of the image. none: all of it; flip: all of it, mirrored with p = 0.5; crop:
 * 0.5 to 1 of the area, width / height from 3/4 to 4/3, and mirrored with p = 0.5. */
fsfm_cut fsfm_cut_draw(fsfm_view view, int size, uint64_t seed, fsfm_place place);

/* Mirrors rows in place: pixels (height, width, 3). */
void fsfm_flip_pixels(uint8_t *pixels, int width, int height);
/* Mirrors region bits: (across, across) patches; exact, as a patch's bits do not depend on the order of its
 * pixels. */
void fsfm_flip_bits(const uint16_t *bits, int across, uint16_t *out);
/* map (size, size) -> out (size, size): the cut, stretched to size x size (nearest) and mirrored. */
void fsfm_cut_map(const fsfm_cut *cut, const uint8_t *map, int size, uint8_t *out);
#endif
