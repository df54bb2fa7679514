/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/port.h - what kernels need beyond C++: the one place where nvcc and g++ differ.
 *
 * nvcc compiles the kernels for GPUs. g++ compiles the same text against the emulated device of
 * tests/support/cuda, whose emulated.h defines what is defined here in the first half. */
#ifndef FSFM_CORE_DEVICE_CUDA_PORT_H
#define FSFM_CORE_DEVICE_CUDA_PORT_H

#include <stdint.h>

#if defined __CUDACC__
#include <cuda_bf16.h>
#include <cuda_runtime.h>

/* kernel<<<...>>>(arguments). A kernel with commas in its name stands in parentheses. */
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    (kernel)<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
/* The block's dynamic shared memory, as an array of type. */
#define DYNAMIC_SHARED(type, name)                                   \
    extern __shared__ __align__(16) unsigned char dynamic_shared_[]; \
    type *name = reinterpret_cast<type *>(dynamic_shared_)
/* Lets kernel have more than 48 KiB of dynamic shared memory. */
#define ALLOW_SHARED(kernel, shared_bytes) \
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(shared_bytes))

/* d (16, 8) = a (16, 16) b (16, 8) + c, of a warp, in PTX's fragments of mma.m16n8k16. */
static __device__ __forceinline__ void mma_16x8x16(float *d, const uint32_t *a, const uint32_t *b,
                                                   const float *c)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%10,%11,%12,%13};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]),
          "f"(c[3]));
}

/* Matrices of 8 x 8 16-bit numbers from shared memory to a warp's fragments; lane l gives the address of row
 * l % 8 of matrix l / 8. Transposed: fragments as of the transposed matrices. */
static __device__ __forceinline__ void ldmatrix_x4(uint32_t *fragments, const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(fragments[0]), "=r"(fragments[1]), "=r"(fragments[2]), "=r"(fragments[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
}

static __device__ __forceinline__ void ldmatrix_x4_transposed(uint32_t *fragments, const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(fragments[0]), "=r"(fragments[1]), "=r"(fragments[2]), "=r"(fragments[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
}

/* Lanes 16 to 31 give an address that is not used. */
static __device__ __forceinline__ void ldmatrix_x2_transposed(uint32_t *fragments, const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(fragments[0]), "=r"(fragments[1])
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
}

/* 16 bytes from global to shared memory, some time before the wait; zeros, and no read, if not is_there. */
static __device__ __forceinline__ void cp_async_16(void *shared, const void *global, bool is_there)
{
    asm volatile(
        "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((unsigned)__cvta_generic_to_shared(shared)),
        "l"(global), "r"(is_there ? 16 : 0)
        : "memory");
}

static __device__ __forceinline__ void cp_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits until at most N of the thread's committed groups are under way. */
template <int N> static __device__ __forceinline__ void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* 2^x to a relative error of 2^-22; small numbers become 0. */
static __device__ __forceinline__ float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

static __device__ __forceinline__ uint16_t bf16_bits(float x)
{
    return __bfloat16_as_ushort(__float2bfloat16_rn(x));
}
#else
#include "emulated.h"
#endif

/* bfloat16: the upper half of a float, rounded to nearest, ties to even. */
struct bf16 {
    uint16_t bits;
};

static __device__ __forceinline__ float to_float(float x)
{
    return x;
}

static __device__ __forceinline__ float to_float(bf16 x)
{
    return __uint_as_float((uint32_t)x.bits << 16);
}

/* x as a number of type Act: float or bf16. */
template <class Act> static __device__ __forceinline__ Act to_act(float x);

template <> __device__ __forceinline__ float to_act<float>(float x)
{
    return x;
}

template <> __device__ __forceinline__ bf16 to_act<bf16>(float x)
{
    return bf16{bf16_bits(x)};
}

#endif
