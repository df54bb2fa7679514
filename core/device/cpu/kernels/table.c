/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/cpu/kernels/table.h"

extern const fsfm_cpu_kernels KERNEL(kernels);

const fsfm_cpu_kernels KERNEL(kernels) = {
#if defined __AVX512F__
    .name = "avx512",
#elif defined __AVX2__
    .name = "avx2",
#elif defined __SSE2__
    .name = "sse2",
#else
    .name = "generic",
#endif
    .layernorm = KERNEL(layernorm),
    .layernorm_backward = KERNEL(layernorm_backward),
    .gelu = KERNEL(gelu),
    .gelu_backward = KERNEL(gelu_backward),
    .attention_scratch_bytes = KERNEL(attention_scratch_bytes),
    .attention = KERNEL(attention),
    .attention_backward = KERNEL(attention_backward),
    .sum = KERNEL(sum),
    .axpy = KERNEL(axpy),
    .column_sums = KERNEL(column_sums),
    .dot = KERNEL(dot),
    .adamw = KERNEL(adamw),
    .ema = KERNEL(ema),
};
