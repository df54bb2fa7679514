/* SPDX-License-Identifier: Apache-2.0 */
#include <oneapi/dnnl/dnnl.h>
#if defined __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "core/device/cpu/kernels.h"

extern const fsfm_cpu_kernels fsfm_cpu_kernels_baseline;
#if defined __x86_64__
extern const fsfm_cpu_kernels fsfm_cpu_kernels_avx2, fsfm_cpu_kernels_avx512, fsfm_cpu_kernels_avx512_bf16,
    fsfm_cpu_kernels_amx_bf16;
#endif

#if defined __x86_64__

/* Whether the processor has tiles for bfloat16, and Linux lets this process use them: their state is so large
 * that it has to be asked for. */
static bool has_amx(void)
{
    enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & AMX_BF16) || !(d & AMX_TILE)) return false;
#if defined __linux__
    enum { REQUEST = 0x1023 /* ARCH_REQ_XCOMP_PERM */, TILE_DATA = 18 /* XFEATURE_XTILEDATA */ };
    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
#else
    return false;
#endif
}

#endif

const fsfm_cpu_kernels *fsfm_cpu_kernels_best(fsfm_precision precision)
{
#if defined __x86_64__
    const dnnl_cpu_isa_t limit =
        dnnl_get_effective_cpu_isa(); /* a set of bits: wider sets contain the narrower */
    __builtin_cpu_init();
    const bool avx2 = (limit & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2 && __builtin_cpu_supports("avx2") &&
                      __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    const bool avx512 = (limit & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core &&
                        __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512cd");
    const bool bf16 = (limit & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16 &&
                      __builtin_cpu_supports("avx512bf16");
    const bool amx = (limit & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx && has_amx();
    if (precision == FSFM_PRECISION_BF16)
        return !(avx2 && avx512 && bf16) ? NULL
               : amx                     ? &fsfm_cpu_kernels_amx_bf16
                                         : &fsfm_cpu_kernels_avx512_bf16;
    if (avx2 && avx512) return &fsfm_cpu_kernels_avx512;
    if (avx2) return &fsfm_cpu_kernels_avx2;
#endif
    return precision == FSFM_PRECISION_FP32 ? &fsfm_cpu_kernels_baseline : NULL;
}
