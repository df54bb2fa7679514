/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/cpu/kernels/table.h"
#include "core/device/cpu/kernels/act.h"

extern const fsfm_cpu_kernels KERNEL(kernels);

const fsfm_cpu_kernels KERNEL(kernels) = {
#if defined FSFM_AMX
    .name = "amx_bf16",
#elif defined FSFM_BF16
    .name = "avx512_bf16",
#elif defined __AVX512F__
    .name = "avx512",
#elif defined __AVX2__
    .name = "avx2",
#elif defined __SSE2__
    .name = "sse2",
#else
    .name = "generic",
#endif
    .act_bytes = sizeof(act),
    .layernorm = KERNEL(layernorm),
    .layernorm_backward = KERNEL(layernorm_backward),
    .cut = &KERNEL(cut),
    .product_scratch_bytes = KERNEL(product_scratch_bytes),
    .product = KERNEL(product),
#if defined FSFM_AMX
    .turned = &KERNEL(turned),
#endif
    .attention_scratch_bytes = KERNEL(attention_scratch_bytes),
    .attention = KERNEL(attention),
    .attention_backward = KERNEL(attention_backward),
    .to_act = KERNEL(to_act),
    .to_float = KERNEL(to_float),
    .add_acts = KERNEL(add_acts),
    .add_floats = KERNEL(add_floats),
    .axpy_act = KERNEL(axpy_act),
    .column_sums = KERNEL(column_sums),
    .sum = KERNEL(sum),
    .axpy = KERNEL(axpy),
    .column_sums_float = KERNEL(column_sums_float),
    .dot = KERNEL(dot),
    .set_matrix = KERNEL(set_matrix),
    .get_matrix = KERNEL(get_matrix),
    .matrix_rest = KERNEL(matrix_rest),
    .adamw = KERNEL(adamw),
};
