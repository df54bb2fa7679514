/* SPDX-License-Identifier: Apache-2.0
 * core/mask/strategy.h - which patches of an image are removed: the five strategies (DESIGN.md, "Strategies";
 * FSFM, arXiv 2412.12032, section 3.1 and algorithm 1). Pure functions. */
#ifndef FSFM_CORE_MASK_STRATEGY_H
#define FSFM_CORE_MASK_STRATEGY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/random.h"
#include "core/mask/mask_options.h"
#include "core/mask/regions.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FSFM_PATCHES_MAX = 1024 }; /* 512 x 512 pixels in patches of 16 */

/* Patches removed from each image: patches - floor(patches (1 - ratio) + 1e-9). */
int fsfm_mask_budget(int patches, double ratio);

bool fsfm_mask_needs_regions(fsfm_mask_strategy strategy); /* all but random */

/* Draws one mask. bits (patches): region bits, may be NULL where the strategy needs none. mask (patches): 1 =
 * removed, exactly budget ones. region (patches): 1 = patch of the fully covered region; all 0 where there is
 * none. forced_region: the region to cover (scope batch), or FSFM_REGION_NONE to draw it from those present;
 * a forced region that the image lacks gives frp with region empty. Returns the covered region or
 * FSFM_REGION_NONE. */
int fsfm_mask_draw(fsfm_mask_strategy strategy, int patches, int budget, const uint16_t *bits,
                   int forced_region, fsfm_random *random, uint8_t *mask, uint8_t *region);

/* scope batch: the region of samples [group * region_group, ...) of the global batch of this step, uniform
 * over the coverable ones. */
int fsfm_mask_batch_region(uint64_t seed, int64_t step, int64_t group);

#ifdef __cplusplus
}
#endif
#endif
