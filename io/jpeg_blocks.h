/* SPDX-License-Identifier: Apache-2.0
 * io/jpeg_blocks.h - from the coefficients of JPEG blocks to pixels, for processors with AVX2 or AVX-512;
 * private to io.
 *
 * Blocks that lie side by side are computed at once, one in each lane: nothing before the last step mixes
 * lanes. The arithmetic is that of libjpeg's accurate integer transform (13 bits behind the point, 2 more
 * between the passes) and of its conversion of colours (16 bits), so the pixels are the same to the bit. */
#ifndef FSFM_IO_JPEG_BLOCKS_H
#define FSFM_IO_JPEG_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FSFM_JPEG_LANES = 32, FSFM_JPEG_BLOCK = 64 };

/* A component of a group of blocks: coefficients in reading order, not in zigzag order, and a row of no use
 * behind them. */
typedef int16_t fsfm_jpeg_lanes[FSFM_JPEG_BLOCK + 1][FSFM_JPEG_LANES];

/* Largest |coefficient| x quantiser that dequantising can take; larger ones would not fit into 16 bits. */
enum { FSFM_JPEG_PRODUCT_MAX = INT16_MAX };

/* Writes the RGB pixels of the first count blocks at pixels, whose rows are stride bytes apart. components:
 * Y, Cb and Cr; overwritten. quantisers: each twice, in both halves of a word. False, and nothing of use
 * written, where a block's coefficients are larger than those of any picture, so that 16 bits might not hold
 * what comes of them. */
typedef bool fsfm_jpeg_blocks(fsfm_jpeg_lanes components[3], const uint32_t quantisers[3][FSFM_JPEG_BLOCK],
                              int count, uint8_t *pixels, size_t stride);
fsfm_jpeg_blocks fsfm_jpeg_blocks_avx2, fsfm_jpeg_blocks_avx512; /* where the processor's kind has them */
#endif
