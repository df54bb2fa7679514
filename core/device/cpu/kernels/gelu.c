/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/gelu.c - GELU's derivative on blocks of rows. */
#include "core/device/cpu/kernels/gelu.h"
#include "core/device/cpu/kernels/table.h"

void KERNEL(gelu_backward)(int64_t rows, int64_t columns, int64_t stride, const fsfm_act *x, fsfm_act *dx,
                           fsfm_act *active)
{
    const act *from = x;
    act *gradient = dx, *again = active;
    for (int64_t n = 0; n < rows; n++, from += stride, gradient += stride) {
        for (int64_t c = 0; c < columns; c += VW) {
            const vf value = act_load_at(from, c, columns);
            const tail_place at = find_place(value);
            act_store_at(gradient, act_load_at(gradient, c, columns) * gelu_slope(value, &at), c, columns);
            if (again) act_store_at(again, gelu_of(value, &at), c, columns);
        }
        if (again) again += stride;
    }
}
