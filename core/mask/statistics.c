/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mask/statistics.h"

#include <math.h>

#include "core/base/status.h"

static void widen(fsfm_mask_statistics *statistics, int removed_min, int removed_max)
{
    if (statistics->draws == 0 || removed_min < statistics->removed_min)
        statistics->removed_min = removed_min;
    if (statistics->draws == 0 || removed_max > statistics->removed_max)
        statistics->removed_max = removed_max;
}

void fsfm_mask_statistics_add(fsfm_mask_statistics *statistics, int patches, const uint16_t *bits,
                              const uint8_t *mask, int covered)
{
    FSFM_ASSERT(covered >= FSFM_REGION_NONE && covered < FSFM_REGIONS);
    int removed = 0;
    for (int p = 0; p < patches; p++) removed += mask[p];
    widen(statistics, removed, removed);
    statistics->draws++;
    if (covered != FSFM_REGION_NONE) statistics->group_covered[covered]++;
    for (int g = 0; bits && g < FSFM_REGIONS; g++) {
        int has = 0, masked = 0;
        for (int p = 0; p < patches; p++) {
            const int bit = bits[p] >> g & 1;
            has += bit;
            masked += bit & mask[p];
        }
        statistics->group_patches[g] += has;
        statistics->group_masked[g] += masked;
    }
}

void fsfm_mask_statistics_merge(fsfm_mask_statistics *statistics, const fsfm_mask_statistics *from)
{
    if (from->draws == 0) return;
    widen(statistics, from->removed_min, from->removed_max);
    statistics->draws += from->draws;
    for (int g = 0; g < FSFM_REGIONS; g++) {
        statistics->group_patches[g] += from->group_patches[g];
        statistics->group_masked[g] += from->group_masked[g];
        statistics->group_covered[g] += from->group_covered[g];
    }
}

static double share(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : NAN;
}

double fsfm_mask_masked_share(const fsfm_mask_statistics *statistics, int region)
{
    return share(statistics->group_masked[region], statistics->group_patches[region]);
}

double fsfm_mask_covered_share(const fsfm_mask_statistics *statistics, int region)
{
    return share(statistics->group_covered[region], statistics->draws);
}
