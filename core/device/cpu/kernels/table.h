/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/table.h - the kernels of one instruction set, by the names that KERNEL() gives
 * them. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_TABLE_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_TABLE_H

#include "core/device/cpu/kernels.h"
#include "core/device/cpu/kernels/vector.h"

void KERNEL(layernorm)(const fsfm_layernorm_args *args, int64_t first, int64_t rows);
void KERNEL(layernorm_backward)(const fsfm_layernorm_backward_args *args, int64_t first, int64_t rows,
                                float *dweight, float *dbias);
/* On a block of rows: dx *= GELU'(x); active = GELU(x) where not NULL. stride: from row to row, of every
 * array. */
void KERNEL(gelu_backward)(int64_t rows, int64_t columns, int64_t stride, const fsfm_act *x, fsfm_act *dx,
                           fsfm_act *active);
extern const fsfm_cpu_cut KERNEL(cut);
size_t KERNEL(product_scratch_bytes)(const fsfm_cpu_product *product, int64_t row_block);
void KERNEL(product)(const fsfm_cpu_product *product, const fsfm_cpu_block *block, void *scratch);
extern const fsfm_cpu_turned KERNEL(turned); /* of the sets that have it */
size_t KERNEL(attention_scratch_bytes)(int64_t Tq, int64_t T, int64_t D, bool backward);
void KERNEL(attention)(const fsfm_attention_args *args, const fsfm_cpu_head *at, void *scratch);
void KERNEL(attention_backward)(const fsfm_attention_backward_args *args, const fsfm_cpu_head *at,
                                void *scratch);
/* c (rows, columns) = or += a b; a (rows, depth) words with strides a_row, a_step; b (depth, columns) words
 * with rows of stride b_row, c floats with rows of stride c_row; columns is a multiple of VW (words.h). */
void KERNEL(multiply)(int64_t rows, int64_t columns, int64_t depth, const uint32_t *a, int64_t a_row,
                      int64_t a_step, const uint32_t *b, int64_t b_row, float *c, int64_t c_row, bool adds);
void KERNEL(to_act)(int64_t count, const float *x, fsfm_act *out);
void KERNEL(to_float)(int64_t count, const fsfm_act *x, float *out);
void KERNEL(add_acts)(int64_t count, const fsfm_act *x, const fsfm_act *y, fsfm_act *out);
void KERNEL(add_floats)(int64_t count, const fsfm_act *x, const float *y, fsfm_act *out);
void KERNEL(axpy_act)(int64_t count, float a, const fsfm_act *x, fsfm_act *y);
void KERNEL(column_sums)(int64_t rows, int64_t C, int64_t stride, const fsfm_act *x, float *sums);
void KERNEL(sum)(int64_t count, const float *x, const float *y, float *out);
void KERNEL(axpy)(int64_t count, float a, const float *x, float *y);
void KERNEL(column_sums_float)(int64_t rows, int64_t C, int64_t stride, const float *x, float *sums);
double KERNEL(dot)(int64_t count, const float *x, const float *y);
void KERNEL(set_matrix)(int64_t count, int64_t first, int64_t last, void *matrix, const float *values);
void KERNEL(get_matrix)(int64_t count, int64_t first, int64_t last, const void *matrix, float *values);
void KERNEL(matrix_rest)(int64_t count, int64_t first, int64_t last, const void *matrix, fsfm_act *out);
void KERNEL(adamw)(const fsfm_adamw_args *args, int64_t piece);

#endif
