/* SPDX-License-Identifier: Apache-2.0
 * core/model/position.h - the fixed 2-D sin-cos table (golden/FORMAT.md; Vaswani et al. 2017 in two
 * dimensions). */
#ifndef FSFM_CORE_MODEL_POSITION_H
#define FSFM_CORE_MODEL_POSITION_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* table (grid * grid, width): with w_k = 10000^(-k / (width / 4)), the row of patch (y, x) is
 * [sin(x w), cos(x w), sin(y w), cos(y w)]. The class token's row, zeros, is not part of it. width divides
 * by 4. */
void fsfm_position_table(int64_t grid, int64_t width, float *table);

#ifdef __cplusplus
}
#endif
#endif
