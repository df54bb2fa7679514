/* SPDX-License-Identifier: Apache-2.0
 * core/mask/regions.h - facial regions of patches, from a map of LaPa-11 labels (DESIGN.md, "Regions"). */
#ifndef FSFM_CORE_MASK_REGIONS_H
#define FSFM_CORE_MASK_REGIONS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FSFM_LABELS = 11 }; /* 0 background, 1 skin, 2/3 brows, 4/5 eyes, 6 nose, 7..9 mouth, 10 hair */

/* In the order in which groups own patches; bit g of a patch's region bits is group g. */
typedef enum {
    FSFM_REGION_BROWS,
    FSFM_REGION_EYES,
    FSFM_REGION_NOSE,
    FSFM_REGION_MOUTH,
    FSFM_REGION_BOUNDARY, /* skin and (hair or background) in one patch */
    FSFM_REGION_HAIR,
    FSFM_REGION_SKIN,
    FSFM_REGION_BACKGROUND,
    FSFM_REGIONS,
    FSFM_REGIONS_COVERABLE = FSFM_REGION_SKIN, /* crfr_* cover one of the groups before skin */
    FSFM_REGION_NONE = -1
} fsfm_region;

const char *fsfm_region_name(int region); /* "brows", ... */

/* bits (patches), row-major over patches of patch x patch pixels; map (size, size), labels 0..10; size is a
 * multiple of patch. A patch has a group if more than threshold of its pixels do (0: any pixel does); a patch
 * that is left without a group then belongs to the group of its most frequent label. */
void fsfm_regions_from_map(const uint8_t *map, int size, int patch, int threshold, uint16_t *bits);

#ifdef __cplusplus
}
#endif
#endif
