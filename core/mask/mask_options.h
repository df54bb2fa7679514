/* SPDX-License-Identifier: Apache-2.0
 * core/mask/mask_options.h - the keys `mask.*`. */
#ifndef FSFM_CORE_MASK_MASK_OPTIONS_H
#define FSFM_CORE_MASK_MASK_OPTIONS_H

#include "core/base/options.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    FSFM_MASK_RANDOM,
    FSFM_MASK_FASKING_I,
    FSFM_MASK_FRP,
    FSFM_MASK_CRFR_R,
    FSFM_MASK_CRFR_P,
    FSFM_MASK_STRATEGIES
} fsfm_mask_strategy;

typedef enum { FSFM_REGION_SCOPE_SAMPLE, FSFM_REGION_SCOPE_BATCH } fsfm_region_scope;

typedef struct {
    fsfm_mask_strategy strategy;
    double ratio; /* share of removed patches */
    fsfm_region_scope region_scope;
    int64_t region_group;    /* consecutive samples of the global batch that share a region (scope batch) */
    int64_t patch_threshold; /* pixels */
} fsfm_mask_options;

extern const fsfm_option fsfm_mask_options_table[];
extern const int fsfm_mask_options_count;
extern const char *const fsfm_mask_strategy_names[]; /* by value, ended by NULL */

#ifdef __cplusplus
}
#endif
#endif
