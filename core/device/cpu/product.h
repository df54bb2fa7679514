/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/product.h - large products: how one is cut into pieces for the threads.
 *
 * An element of the result is one sum over K in an order of its own (kernels.h): neither the cut nor the
 * number of threads changes a bit of it. */
#ifndef FSFM_CORE_DEVICE_CPU_PRODUCT_H
#define FSFM_CORE_DEVICE_CPU_PRODUCT_H

#include "core/device/cpu/cpu_device.h"

/* A product cut into blocks: rows by row_block, columns by column_block; the last ones may be smaller. Its
 * rounds come one after the other, the pieces of one in any order. Where threads share what they pack
 * (turned), even rounds pack a chunk of the depth and odd ones multiply it; else there is one round. */
typedef struct {
    fsfm_cpu_product product;
    int64_t row_block, column_block, row_pieces, column_pieces;
    const fsfm_cpu_turned *turned; /* or NULL */
    int64_t depth_block, rounds;
} fsfm_cpu_grid;

/* Cuts product and sees to it that there is scratch for its pieces. */
FSFM_MUST_USE
fsfm_status fsfm_cpu_grid_prepare(fsfm_cpu_device *cpu, const fsfm_cpu_product *product, fsfm_cpu_grid *grid,
                                  fsfm_error *err);
int64_t fsfm_cpu_grid_pieces(const fsfm_cpu_grid *grid, int64_t round);
void fsfm_cpu_grid_run(fsfm_cpu_device *cpu, const fsfm_cpu_grid *grid, int64_t round, int64_t piece,
                       int thread);

#endif
