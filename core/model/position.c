/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/position.h"

#include <math.h>

void fsfm_position_table(int64_t grid, int64_t width, float *table)
{
    const int64_t quarter = width / 4;
    for (int64_t y = 0; y < grid; y++)
        for (int64_t x = 0; x < grid; x++) {
            float *row = table + (y * grid + x) * width;
            for (int64_t k = 0; k < quarter; k++) {
                const double w = pow(10000.0, -(double)k / (double)quarter);
                row[k] = (float)sin((double)x * w);
                row[quarter + k] = (float)cos((double)x * w);
                row[2 * quarter + k] = (float)sin((double)y * w);
                row[3 * quarter + k] = (float)cos((double)y * w);
            }
        }
}
