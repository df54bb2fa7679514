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
void KERNEL(gelu)(int64_t count, const float *x, float *out);
void KERNEL(gelu_backward)(int64_t count, const float *x, const float *dout, float *dx);
size_t KERNEL(attention_scratch_bytes)(int64_t T, int64_t D, bool backward);
void KERNEL(attention)(const fsfm_attention_args *args, int64_t image, int64_t head, void *scratch);
void KERNEL(attention_backward)(const fsfm_attention_backward_args *args, int64_t image, int64_t head,
                                void *scratch);
/* c (rows, columns) = or += a b; a (rows, depth) has strides a_row, a_step; b (depth, columns) and c have
 * rows of stride b_row, c_row; columns is a multiple of VW. */
void KERNEL(multiply)(int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t a_row,
                      int64_t a_step, const float *b, int64_t b_row, float *c, int64_t c_row, bool adds);
void KERNEL(sum)(int64_t count, const float *x, const float *y, float *out);
void KERNEL(axpy)(int64_t count, float a, const float *x, float *y);
void KERNEL(column_sums)(int64_t rows, int64_t C, int64_t stride, const float *x, float *sums);
double KERNEL(dot)(int64_t count, const float *x, const float *y);
void KERNEL(adamw)(const fsfm_adamw_args *args, int64_t first, int64_t count);
void KERNEL(ema)(int64_t count, double momentum, const float *online, float *target);

#endif
