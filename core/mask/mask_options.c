/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mask/mask_options.h"

#define MEMBER(name) offsetof(fsfm_mask_options, name)

const char *const fsfm_mask_strategy_names[] = {"random", "fasking_i", "frp", "crfr_r", "crfr_p", NULL};
static const char *const scope_names[] = {"sample", "batch", NULL};

const fsfm_option fsfm_mask_options_table[] = {
    {"mask.strategy", FSFM_OPTION_CHOICE, MEMBER(strategy), "crfr_p", 0, 0, fsfm_mask_strategy_names, "",
     "removed patches: uniform (random), facial parts first (fasking_i), in proportion to the regions (frp), "
     "one "
     "region whole and the rest uniform (crfr_r) or in proportion (crfr_p)",
     false},
    {"mask.ratio", FSFM_OPTION_REAL, MEMBER(ratio), "0.75", 0.01, 0.99, NULL, "",
     "share of the patches that is removed", false},
    {"mask.region_scope", FSFM_OPTION_CHOICE, MEMBER(region_scope), "sample", 0, 0, scope_names, "",
     "draw the covered region per sample, or one for each group of mask.region_group samples", false},
    {"mask.region_group", FSFM_OPTION_INT, MEMBER(region_group), "64", 1, 1 << 30, NULL, "samples",
     "consecutive samples of the global batch that share a region (mask.region_scope: batch)", false},
    {"mask.patch_threshold", FSFM_OPTION_INT, MEMBER(patch_threshold), "0", 0, 4095, NULL, "pixels",
     "a patch has a region if more than so many of its pixels do", false},
};
const int fsfm_mask_options_count = sizeof fsfm_mask_options_table / sizeof *fsfm_mask_options_table;
