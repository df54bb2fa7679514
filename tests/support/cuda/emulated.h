/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/emulated.h - what core/device/cuda/port.h needs under g++: CUDA's words for kernels, run
 * by an emulated device on the CPU.
 *
 * A CUDA thread is a fiber; fibers of one block take turns on one CPU. A thread gives its turn away only
 * where it waits for others: barriers and operations of warps. Types are those of NVIDIA's headers. */
#ifndef FSFM_TESTS_EMULATED_H
#define FSFM_TESTS_EMULATED_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <cuda_runtime_api.h>
#include <vector_functions.h>

#include <tuple>
#include <utility>

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __grid_constant__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __grid_constant__
#define __constant__ static const
/* One block runs at a time. The emulator finds these by their names in the symbol table. */
#define __shared__ static __attribute__((used))

namespace emulated
{

/* Where in the source a thread waits: the default argument is the caller's line. */
struct Site {
    const char *file;
    int line;
};
inline Site here(const char *file = __builtin_FILE(), int line = __builtin_LINE())
{
    return Site{file, line};
}

/* What a kernel sees of the thread that runs, its block and its grid. */
struct View {
    uint3 thread, block;
    dim3 block_size, grid_size;
    unsigned char *dynamic_shared;
};
extern View view;

/* Operations that a warp's lanes do together; each returns when all lanes of mask have come. */
enum class Shuffle { index, up, down, exclusive_or };
uint64_t shuffle(Shuffle kind, uint32_t mask, uint64_t value, int argument, int width, Site site);
uint32_t ballot(uint32_t mask, bool vote, Site site);
void sync_warp(uint32_t mask, Site site);
void sync_block(Site site);
void multiply_16x8x16(float *d, const uint32_t *a, const uint32_t *b, const float *c, Site site);
void load_matrices(uint32_t *fragments, int count, bool is_transposed, const void *row, Site site);

void copy_async(void *shared, const void *global, bool is_there, Site site);
void copy_commit();
void copy_wait(int under_way);

/* A kernel with its arguments; run is what one thread does. */
struct Call {
    size_t bytes; /* of the whole object */
    virtual void run() const = 0;
    virtual ~Call() = default;
};

template <class... Parameters> struct KernelCall : Call {
    void (*kernel)(Parameters...);
    std::tuple<std::decay_t<Parameters>...> arguments;

    KernelCall(void (*a_kernel)(Parameters...), std::decay_t<Parameters>... values)
        : kernel(a_kernel), arguments(values...)
    {
        bytes = sizeof *this;
    }
    void run() const override
    {
        std::apply(kernel, arguments);
    }
};

/* Deletes call when it has run, or with the graph that has captured it. */
void launch(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared_bytes,
            cudaStream_t stream, const Call *call, Site site);

template <class To, class From> To bits_as(From from)
{
    static_assert(sizeof(To) >= sizeof from, "a shuffle takes at most 8 bytes");
    To to{};
    memcpy(&to, &from, sizeof from);
    return to;
}

template <class T> T shuffle_value(Shuffle kind, uint32_t mask, T value, int argument, int width, Site site)
{
    const uint64_t bits = shuffle(kind, mask, bits_as<uint64_t>(value), argument, width, site);
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Arguments are copied at the launch, as types of the kernel's parameters. */
template <class... Parameters, class... Arguments>
void launch_kernel(const char *name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                   size_t shared_bytes, cudaStream_t stream, Site site, Arguments... arguments)
{
    const Call *call =
        new KernelCall<Parameters...>(kernel, static_cast<std::decay_t<Parameters>>(arguments)...);
    launch(name, reinterpret_cast<const void *>(kernel), grid, block, shared_bytes, stream, call, site);
}

} // namespace emulated

#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    emulated::launch_kernel(#kernel, kernel, grid, block, shared_bytes, stream, emulated::here(), __VA_ARGS__)
#define DYNAMIC_SHARED(type, name) type *name = reinterpret_cast<type *>(emulated::view.dynamic_shared)
#define ALLOW_SHARED(kernel, shared_bytes)                       \
    cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), \
                         cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes))

#define threadIdx (emulated::view.thread)
#define blockIdx (emulated::view.block)
#define blockDim (emulated::view.block_size)
#define gridDim (emulated::view.grid_size)
static const int warpSize __attribute__((unused)) = 32;

inline void __syncthreads(emulated::Site site = emulated::here())
{
    emulated::sync_block(site);
}

inline void __syncwarp(uint32_t mask = 0xffffffffu, emulated::Site site = emulated::here())
{
    emulated::sync_warp(mask, site);
}

template <class T>
inline T __shfl_sync(uint32_t mask, T value, int lane, int width = 32, emulated::Site site = emulated::here())
{
    return emulated::shuffle_value(emulated::Shuffle::index, mask, value, lane, width, site);
}

template <class T>
inline T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32,
                        emulated::Site site = emulated::here())
{
    return emulated::shuffle_value(emulated::Shuffle::up, mask, value, (int)delta, width, site);
}

template <class T>
inline T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32,
                          emulated::Site site = emulated::here())
{
    return emulated::shuffle_value(emulated::Shuffle::down, mask, value, (int)delta, width, site);
}

template <class T>
inline T __shfl_xor_sync(uint32_t mask, T value, int lanes, int width = 32,
                         emulated::Site site = emulated::here())
{
    return emulated::shuffle_value(emulated::Shuffle::exclusive_or, mask, value, lanes, width, site);
}

inline uint32_t __ballot_sync(uint32_t mask, int vote, emulated::Site site = emulated::here())
{
    return emulated::ballot(mask, vote != 0, site);
}

inline int __any_sync(uint32_t mask, int vote, emulated::Site site = emulated::here())
{
    return emulated::ballot(mask, vote != 0, site) != 0;
}

inline int __all_sync(uint32_t mask, int vote, emulated::Site site = emulated::here())
{
    return emulated::ballot(mask, vote == 0, site) == 0;
}

inline void mma_16x8x16(float *d, const uint32_t *a, const uint32_t *b, const float *c,
                        emulated::Site site = emulated::here())
{
    emulated::multiply_16x8x16(d, a, b, c, site);
}

inline void ldmatrix_x4(uint32_t *fragments, const void *row, emulated::Site site = emulated::here())
{
    emulated::load_matrices(fragments, 4, false, row, site);
}

inline void ldmatrix_x4_transposed(uint32_t *fragments, const void *row,
                                   emulated::Site site = emulated::here())
{
    emulated::load_matrices(fragments, 4, true, row, site);
}

inline void ldmatrix_x2_transposed(uint32_t *fragments, const void *row,
                                   emulated::Site site = emulated::here())
{
    emulated::load_matrices(fragments, 2, true, row, site);
}

inline void cp_async_16(void *shared, const void *global, bool is_there,
                        emulated::Site site = emulated::here())
{
    emulated::copy_async(shared, global, is_there, site);
}

inline void cp_async_commit()
{
    emulated::copy_commit();
}

template <int N> inline void cp_async_wait()
{
    emulated::copy_wait(N);
}

#include "emulated_math.h"

#endif
