/* SPDX-License-Identifier: Apache-2.0
 * core/base/median.h - the middle of some numbers. */
#ifndef FSFM_CORE_BASE_MEDIAN_H
#define FSFM_CORE_BASE_MEDIAN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sorts values (count >= 1, none of them NaN); the mean of the middle two where there is no middle one. */
double fsfm_median(double *values, int64_t count);

#ifdef __cplusplus
}
#endif
#endif
