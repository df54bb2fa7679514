/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/gemm.h - large products by oneDNN, each block of the result on one thread.
 *
 * The result is cut into blocks by its shape; every block runs over the whole K in one oneDNN primitive on
 * one thread, so its bits do not depend on how many threads there are. Primitives are made at the first use
 * of a shape and kept. */
#ifndef FSFM_CORE_DEVICE_CPU_GEMM_H
#define FSFM_CORE_DEVICE_CPU_GEMM_H

#include "core/device/cpu/cpu_device.h"

/* c (M, N) = or, if adds, += a (M, K) b (K, N) + bias (N). a and b are dense, in the device's precision;
 * transposed: stored as (K, M), (N, K). c is in the device's precision, or float if c_is_float. Sums are
 * floats in either case. */
typedef struct {
    int64_t M, N, K;
    const fsfm_act *a, *b;
    const float *bias; /* may be NULL */
    bool a_transposed, b_transposed, adds, c_is_float;
    void *c;
} fsfm_cpu_product;

typedef struct fsfm_cpu_gemm fsfm_cpu_gemm;

/* A product cut into pieces: rows by row_block, columns by column_block; the last ones may be smaller. */
typedef struct {
    fsfm_cpu_product product;
    int64_t row_block, column_block, row_pieces, column_pieces;
    fsfm_cpu_gemm *gemm[2][2]; /* [in the last row of blocks][in the last column] */
} fsfm_cpu_grid;

fsfm_cpu_gemms *fsfm_cpu_gemms_create(void);                     /* NULL: no memory */
void fsfm_cpu_gemms_destroy(fsfm_cpu_gemms *gemms, int threads); /* accepts NULL */

/* Cuts product and looks up or makes the primitives of its pieces. */
FSFM_MUST_USE
fsfm_status fsfm_cpu_grid_prepare(fsfm_cpu_device *cpu, const fsfm_cpu_product *product, fsfm_cpu_grid *grid,
                                  fsfm_error *err);
int64_t fsfm_cpu_grid_pieces(const fsfm_cpu_grid *grid);

/* Where a piece's block of c lies: rows of columns elements, the first at element first of c. */
typedef struct {
    int64_t rows, columns, first;
} fsfm_cpu_block;
fsfm_cpu_block fsfm_cpu_grid_block(const fsfm_cpu_grid *grid, int64_t piece);
void fsfm_cpu_grid_run(fsfm_cpu_device *cpu, const fsfm_cpu_grid *grid, int64_t piece, int thread);
/* The first failure of any piece on any thread, which is then forgotten. */
FSFM_MUST_USE
fsfm_status fsfm_cpu_grid_status(fsfm_cpu_device *cpu, fsfm_error *err);

#endif
