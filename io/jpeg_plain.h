/* SPDX-License-Identifier: Apache-2.0
 * io/jpeg_plain.h - a fast way for plain JPEG files on processors with AVX2 or AVX-512: baseline, JFIF, no
 * colour subsampling, no restarts, fine quantisers (quality 87 and more on libjpeg's scale), sides that are
 * multiples of 8; what `fsfm pack` writes. Private to io.
 *
 * It gives the pixels of libjpeg's accurate transform to the bit, or says that it does not do this file: then
 * libjpeg decodes it, or says what is wrong with it. */
#ifndef FSFM_IO_JPEG_PLAIN_H
#define FSFM_IO_JPEG_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

typedef struct fsfm_jpeg_plain fsfm_jpeg_plain; /* tables and buffers of one thread */
typedef enum { FSFM_JPEG_NONE, FSFM_JPEG_AVX2, FSFM_JPEG_AVX512 } fsfm_jpeg_vectors;
/* The widest that this processor has. */
fsfm_jpeg_vectors fsfm_jpeg_vectors_here(void);
/* The decoder takes the widest vectors that the processor has, up to widest; without any it refuses every
 * file.
 */
FSFM_MUST_USE
fsfm_status fsfm_jpeg_plain_create(fsfm_jpeg_vectors widest, fsfm_jpeg_plain **out, fsfm_error *err);
void fsfm_jpeg_plain_free(fsfm_jpeg_plain **plain); /* accepts NULL */
/* Decodes a file of size x size pixels to pixels (size, size, 3). False where the file is of another kind or
 * size, or damaged, or memory for a copy of it ends; pixels are then of no use. */
bool fsfm_jpeg_plain_decode(fsfm_jpeg_plain *plain, const uint8_t *bytes, size_t size_bytes, int size,
                            uint8_t *pixels);
#endif
