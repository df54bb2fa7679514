/* SPDX-License-Identifier: Apache-2.0
 * core/mask/statistics.h - what a strategy does to the facial regions, counted over many draws. Pure
 * functions. */
#ifndef FSFM_CORE_MASK_STATISTICS_H
#define FSFM_CORE_MASK_STATISTICS_H

#include <stdint.h>

#include "core/mask/regions.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of one strategy and ratio; start from zeros. Plain data. */
typedef struct {
    int64_t draws;                       /* masks added */
    int removed_min, removed_max;        /* patches removed by a draw */
    int64_t group_patches[FSFM_REGIONS]; /* patches that have the group, over all draws */
    int64_t group_masked[FSFM_REGIONS];  /* those of them that were removed */
    int64_t group_covered[FSFM_REGIONS]; /* draws in which it was the covered region */
} fsfm_mask_statistics;

/* Adds one draw: bits (patches), NULL where the image has no regions; mask (patches); covered as
 * fsfm_mask_draw() returned it. */
void fsfm_mask_statistics_add(fsfm_mask_statistics *statistics, int patches, const uint16_t *bits,
                              const uint8_t *mask, int covered);
/* Adds all draws of from; the order of additions does not matter. */
void fsfm_mask_statistics_merge(fsfm_mask_statistics *statistics, const fsfm_mask_statistics *from);

/* Removed patches that have the group / patches that have it; NAN where none has it. */
double fsfm_mask_masked_share(const fsfm_mask_statistics *statistics, int region);
/* Share of the draws in which the group was the covered one; NAN without draws. */
double fsfm_mask_covered_share(const fsfm_mask_statistics *statistics, int region);

#ifdef __cplusplus
}
#endif
#endif
