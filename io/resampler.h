/* SPDX-License-Identifier: Apache-2.0
 * io/resampler.h - cuts and resizes many images without an allocation each; the same bytes as
 * fsfm_image_crop_resize() (bicubic, horizontal pass first, u8 after each pass). One per thread. */
#ifndef FSFM_IO_RESAMPLER_H
#define FSFM_IO_RESAMPLER_H

#include <stdint.h>

#include "core/base/status.h"

typedef struct fsfm_resampler fsfm_resampler;
/* For cuts of at most source_max x source_max RGB pixels, to size x size. The caller owns *out. */
FSFM_MUST_USE
fsfm_status fsfm_resampler_create(int source_max, int size, fsfm_resampler **out, fsfm_error *err);
void fsfm_resampler_free(fsfm_resampler **resampler); /* accepts NULL */
/* pixels: rows of image_width RGB pixels; the cut (x, y, width, height) lies inside. out (size, size, 3). */
void fsfm_resampler_run(fsfm_resampler *resampler, const uint8_t *pixels, int image_width, int x, int y,
                        int width, int height, uint8_t *out);
#endif
