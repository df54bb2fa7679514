/* SPDX-License-Identifier: Apache-2.0
 * io/jpeg_scan.h - the entropy-coded part of a baseline JPEG, block by block, for processors with BMI2;
 * private to io. */
#ifndef FSFM_IO_JPEG_SCAN_H
#define FSFM_IO_JPEG_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "io/jpeg_blocks.h"
#include "io/jpeg_huffman.h"

enum { FSFM_JPEG_SCAN_SLACK = 1024 };

/* Takes bits from a scan without its stuffed zeros. FSFM_JPEG_SCAN_SLACK bytes behind end must be there. */
typedef struct {
    const uint8_t *next, *end;
    uint64_t window; /* what comes next, from the top bit on */
    int ahead;       /* bits of window that lie before next */
} fsfm_jpeg_scan;
/* Bits left; negative where more was taken than there was. */
int64_t fsfm_jpeg_scan_left(const fsfm_jpeg_scan *scan);

typedef struct {
    const fsfm_huffman_table *dc, *ac;
} fsfm_huffman_pair;

/* Where the k-th coefficient of a file (0 .. 63, in zigzag order) stands in reading order. */
int fsfm_jpeg_reading_index(int k);

/* Reads count blocks of each component, lane by lane, into components, which are zeros. dc: the components'
 * first coefficients of the last block before, then of the last one read. False where the bits end, or are no
 * code, or one that no 8-bit picture needs. */
bool fsfm_jpeg_scan_read(fsfm_jpeg_scan *scan, const fsfm_huffman_pair tables[3], int count, int dc[3],
                         fsfm_jpeg_lanes components[3]);
#endif
