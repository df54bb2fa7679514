/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels.h - the inner loops, compiled from the same sources once for each instruction set.
 *
 * A kernel does one piece of an operation on the calling thread. Its sums have an order given by the shape
 * and by the width of the set's vectors alone. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/device/device.h"

/* c (M, N) = a (M, K) b (K, N) + bias (N) + added (M, N), and what follows from it; bias and added may be
 * NULL. Dense rows; a and b in compute precision, transposed: stored as (K, M), (N, K); not both. c and added
 * in compute precision, or float if c_is_float, which it has to be where a is transposed; added may be c. For
 * c in compute precision one of these: active (M, N) = GELU(c); hidden (M, N): c *= GELU'(hidden), and where
 * active is not NULL too, active = GELU(hidden). */
typedef struct {
    int64_t M, N, K;
    const fsfm_act *a, *b;
    const float *bias;
    bool a_transposed, b_transposed, c_is_float;
    const void *added;
    void *c;
    const fsfm_act *hidden;
    fsfm_act *active;
} fsfm_cpu_product;

typedef struct {
    int64_t row, rows, column, columns;
} fsfm_cpu_block;

/* A chunk of a product's depth: the numbers [first, first + count). */
typedef struct {
    int64_t first, count;
} fsfm_cpu_depth;

/* How a product is best cut into blocks: sides are multiples of the steps, but at the far ends. Where the
 * left factor is not transposed, a block has at most rows_most rows, and columns: of one step, or if
 * is_wide as many as leave every thread its share. Else it has sides of at most turned_rows and
 * turned_columns. More rows than useful_rows make a product hardly faster (core/device/device.h). */
typedef struct {
    int64_t row_step, column_step, rows_most, turned_rows, turned_columns;
    bool is_wide;
    int64_t useful_rows;
} fsfm_cpu_cut;

/* Products whose left factor is transposed, where threads share what they pack: chunk by chunk of at most
 * depth_most numbers, pieces are packed, then blocks multiplied, each of which sets or adds to its part of c.
 */
typedef struct {
    int64_t depth_most;
    size_t (*bytes)(const fsfm_cpu_product *product, int64_t depth); /* that a chunk takes packed */
    int64_t (*pieces)(int64_t depth);
    /* packed: of the chunk, for all pieces, aligned to 64 */
    void (*pack)(const fsfm_cpu_product *product, const fsfm_cpu_depth *chunk, int64_t piece, void *packed);
    void (*multiply)(const fsfm_cpu_product *product, const fsfm_cpu_depth *chunk,
                     const fsfm_cpu_block *block, const void *packed);
} fsfm_cpu_turned;

/* A head of an image, and that which the thread is likely to take next, whose numbers it may ask for:
 * next_image -1: none. */
typedef struct {
    int64_t image, head;
    int64_t next_image, next_head;
} fsfm_cpu_head;

typedef struct {
    const char *name;
    size_t act_bytes; /* of a number in compute precision, fsfm_act */
    /* Rows [first, first + rows). Backward sets this piece's shares of dweight and dbias (C). */
    void (*layernorm)(const fsfm_layernorm_args *args, int64_t first, int64_t rows);
    void (*layernorm_backward)(const fsfm_layernorm_backward_args *args, int64_t first, int64_t rows,
                               float *dweight, float *dbias);

    const fsfm_cpu_cut *cut;
    /* A block of c, of at most row_block rows; scratch holds product_scratch_bytes, aligned to 64. */
    size_t (*product_scratch_bytes)(const fsfm_cpu_product *product, int64_t row_block);
    void (*product)(const fsfm_cpu_product *product, const fsfm_cpu_block *block, void *scratch);
    /* For those whose left factor is transposed; NULL: they are products as others are. */
    const fsfm_cpu_turned *turned;

    /* scratch holds attention_scratch_bytes, aligned to 64. */
    size_t (*attention_scratch_bytes)(int64_t Tq, int64_t T, int64_t D, bool backward);
    void (*attention)(const fsfm_attention_args *args, const fsfm_cpu_head *at, void *scratch);
    void (*attention_backward)(const fsfm_attention_backward_args *args, const fsfm_cpu_head *at,
                               void *scratch);

    void (*to_act)(int64_t count, const float *x, fsfm_act *out);
    void (*to_float)(int64_t count, const fsfm_act *x, float *out);
    void (*add_acts)(int64_t count, const fsfm_act *x, const fsfm_act *y,
                     fsfm_act *out); /* out = x + y; out may be either */
    void (*add_floats)(int64_t count, const fsfm_act *x, const float *y, fsfm_act *out); /* out = x + y */
    void (*axpy_act)(int64_t count, float a, const fsfm_act *x, fsfm_act *y);            /* y += a x */
    void (*column_sums)(int64_t rows, int64_t C, int64_t stride, const fsfm_act *x,
                        float *sums); /* sums (C) += rows of x */

    void (*sum)(int64_t count, const float *x, const float *y,
                float *out);                                        /* out = x + y; out may be either */
    void (*axpy)(int64_t count, float a, const float *x, float *y); /* y += a x */
    void (*column_sums_float)(int64_t rows, int64_t C, int64_t stride, const float *x, float *sums);
    double (*dot)(int64_t count, const float *x, const float *y);

    void (*set_matrix)(int64_t count, int64_t first, int64_t last, void *matrix, const float *values);
    void (*get_matrix)(int64_t count, int64_t first, int64_t last, const void *matrix, float *values);
    void (*matrix_rest)(int64_t count, int64_t first, int64_t last, const void *matrix, fsfm_act *out);
    void (*adamw)(const fsfm_adamw_args *args, int64_t piece);
} fsfm_cpu_kernels;

/* Those of the best set that this processor and oneDNN's limit (ONEDNN_MAX_CPU_ISA) allow, for precision;
 * NULL: there are none for it. */
const fsfm_cpu_kernels *fsfm_cpu_kernels_best(fsfm_precision precision);

#endif
