/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/cuda/cuda_device.h"

#include <stdio.h>
#include <stdlib.h>

fsfm_status fsfm_cuda_check(const fsfm_cuda_device *cuda, cudaError_t code, const char *what, fsfm_error *err)
{
    if (code == cudaSuccess) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_DEVICE, "%s: %s: %s (%s)", cuda->base.name, what, cudaGetErrorString(code),
                     cudaGetErrorName(code));
}

#define DEFINE(op)                                                                                   \
    static fsfm_status enqueue_##op(fsfm_device *dev, const fsfm_##op##_args *args, fsfm_error *err) \
    {                                                                                                \
        fsfm_cuda_device *cuda = fsfm_cuda(dev);                                                     \
        return fsfm_cuda_check(cuda, fsfm_cuda_##op(&cuda->queue, args), #op, err);                  \
    }
FSFM_OTHER_OPERATIONS(DEFINE)
#undef DEFINE

#define DEFINE_ON_VECTORS(op, x_type, y_type)                                                    \
    static fsfm_status enqueue_##op(fsfm_device *dev, int64_t count, const x_type *x, y_type *y, \
                                    fsfm_error *err)                                             \
    {                                                                                            \
        fsfm_cuda_device *cuda = fsfm_cuda(dev);                                                 \
        return fsfm_cuda_check(cuda, fsfm_cuda_##op(&cuda->queue, count, x, y), #op, err);       \
    }
FSFM_VECTOR_OPERATIONS(DEFINE_ON_VECTORS)
#undef DEFINE_ON_VECTORS

#define MEMBER(op) .op = enqueue_##op,
#define LINEAR_MEMBER(op) .op = fsfm_cuda_##op,
#define VECTOR_MEMBER(op, x_type, y_type) .op = enqueue_##op,
static const fsfm_device_ops cuda_ops = {
    FSFM_LINEAR_OPERATIONS(LINEAR_MEMBER) FSFM_OTHER_OPERATIONS(MEMBER) FSFM_VECTOR_OPERATIONS(VECTOR_MEMBER)
        .alloc = fsfm_cuda_alloc,
    .free = fsfm_cuda_free,
    .upload = fsfm_cuda_upload,
    .download = fsfm_cuda_download,
    .start_read = fsfm_cuda_start_read,
    .finish_read = fsfm_cuda_finish_read,
    .copy = fsfm_cuda_copy,
    .zero = fsfm_cuda_zero,
    .synchronize = fsfm_cuda_synchronize,
    .set_matrix = fsfm_cuda_set_matrix,
    .get_matrix = fsfm_cuda_get_matrix,
};
#undef VECTOR_MEMBER
#undef LINEAR_MEMBER
#undef MEMBER

/* GPUs that this process sees; CUDA itself heeds CUDA_VISIBLE_DEVICES. */
static fsfm_status count_gpus(int *count, fsfm_error *err)
{
    *count = 0;
    const cudaError_t code = cudaGetDeviceCount(count);
    if (code != cudaSuccess)
        return fsfm_fail(err, FSFM_ERR_DEVICE, "no GPU to be had: %s (%s)", cudaGetErrorString(code),
                         cudaGetErrorName(code));
    if (*count < 1) return fsfm_fail(err, FSFM_ERR_DEVICE, "no GPU is visible to this process");
    return FSFM_OK;
}

/* Whether the kernels run on it. */
static fsfm_status check_gpu(int gpu, fsfm_error *err)
{
    struct cudaDeviceProp properties;
    int major = 0, shared_bytes = 0;
    cudaError_t code = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, gpu);
    if (code == cudaSuccess)
        code = cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, gpu);
    if (code == cudaSuccess && major >= 8 && (size_t)shared_bytes >= FSFM_CUDA_SHARED_BYTES) return FSFM_OK;
    if (code == cudaSuccess) code = cudaGetDeviceProperties(&properties, gpu); /* takes longer */
    if (code != cudaSuccess)
        return fsfm_fail(err, FSFM_ERR_DEVICE, "cuda:%d: its properties: %s (%s)", gpu,
                         cudaGetErrorString(code), cudaGetErrorName(code));
    if (major < 8)
        return fsfm_fail(err, FSFM_ERR_DEVICE,
                         "cuda:%d (%.64s): compute capability %d.%d, expected at least 8.0", gpu,
                         properties.name, properties.major, properties.minor);
    return fsfm_fail(err, FSFM_ERR_DEVICE,
                     "cuda:%d (%.64s): %d bytes of shared memory a block, expected at least %zu", gpu,
                     properties.name, shared_bytes, FSFM_CUDA_SHARED_BYTES);
}

/* Which GPU a rank takes: index counts those that can be used, modulo their number. If there is none, err
 * says it of the first. */
static fsfm_status find_gpu(int index, int *gpu, fsfm_error *err)
{
    fsfm_error why, other;
    int count, usable = 0;
    FSFM_TRY(count_gpus(&count, err));
    for (int g = 0; g < count; g++) usable += check_gpu(g, g == 0 ? &why : &other) == FSFM_OK;
    if (usable == 0) return fsfm_fail(err, why.status, "%s", why.message);
    index %= usable;
    for (int g = 0; g < count; g++)
        if (check_gpu(g, &other) == FSFM_OK && index-- == 0) *gpu = g;
    return FSFM_OK;
}

static fsfm_status probe(fsfm_error *err)
{
    int gpu;
    return find_gpu(0, &gpu, err);
}

/* The device once more, computing in fp32: only what is planned for its products is its own. */
static fsfm_status open_whole(fsfm_cuda_device *cuda, fsfm_error *err)
{
    cuda->base.whole = &cuda->base;
    if (cuda->base.precision == FSFM_PRECISION_FP32) return FSFM_OK;
    fsfm_cuda_device *whole = malloc(sizeof *whole);
    if (!whole) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the device %s", cuda->base.name);
    *whole = *cuda;
    whole->base.precision = whole->queue.precision = FSFM_PRECISION_FP32;
    whole->base.act_bytes = sizeof(float);
    whole->base.whole = cuda->base.whole = &whole->base;
    fsfm_cuda_products_share(cuda, whole);
    return FSFM_OK;
}

static void close_whole(fsfm_cuda_device *cuda)
{
    if (!cuda->base.whole || cuda->base.whole == &cuda->base) return;
    fsfm_cuda_device *whole = fsfm_cuda(cuda->base.whole);
    fsfm_cuda_products_forget(whole);
    free(whole);
}

static void close_device(fsfm_device *dev)
{
    fsfm_cuda_device *cuda = fsfm_cuda(dev);
    if (cuda->queue.stream) cudaStreamSynchronize(cuda->queue.stream);
    fsfm_cuda_wire_close(cuda);
    close_whole(cuda);
    fsfm_cuda_products_close(cuda);
    fsfm_cuda_memory_close(cuda);
    cudaFree(cuda->queue.scratch);
    if (cuda->queue.stream) cudaStreamDestroy(cuda->queue.stream);
    free(cuda);
}

static fsfm_status describe(fsfm_cuda_device *cuda, int gpu, fsfm_error *err)
{
    struct cudaDeviceProp properties;
    fsfm_device *base = &cuda->base;
    snprintf(base->name, sizeof base->name, "cuda:%d", gpu);
    FSFM_TRY(fsfm_cuda_check(cuda, cudaGetDeviceProperties(&properties, gpu), "its properties", err));
    snprintf(base->name, sizeof base->name, "cuda:%d (%.64s)", gpu, properties.name);
    snprintf(base->isa, sizeof base->isa, "sm_%d%d", properties.major, properties.minor);
    for (size_t i = 0; i < sizeof properties.uuid.bytes; i++)
        snprintf(base->place + 2 * i, 3, "%02x", (unsigned)(unsigned char)properties.uuid.bytes[i]);
    base->memory_bytes = properties.totalGlobalMem;
    cuda->cache_bytes = properties.l2CacheSize;
    return FSFM_OK;
}

static fsfm_status open_queue(fsfm_cuda_device *cuda, int gpu, fsfm_error *err)
{
    cudaError_t code = cudaSetDevice(gpu);
    if (code == cudaSuccess) code = cudaStreamCreateWithFlags(&cuda->queue.stream, cudaStreamNonBlocking);
    if (code == cudaSuccess) code = cudaMalloc(&cuda->queue.scratch, FSFM_CUDA_SCRATCH_BYTES);
    return fsfm_cuda_check(cuda, code, "opening it", err);
}

static fsfm_status open_device(const fsfm_device_plugin *plugin, const fsfm_device_options *options,
                               fsfm_device **out, fsfm_error *err)
{
    int gpu = 0;
    *out = NULL;
    FSFM_TRY(find_gpu(options->index, &gpu, err));
    fsfm_cuda_device *cuda = calloc(1, sizeof *cuda);
    if (!cuda) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the device cuda:%d", gpu);
    cuda->opened = cuda;
    cuda->queue.precision = options->precision;
    cuda->base = (fsfm_device){.ops = &cuda_ops,
                               .plugin = plugin,
                               .kind = FSFM_DEVICE_CUDA,
                               .precision = options->precision,
                               .act_bytes = options->precision == FSFM_PRECISION_BF16 ? 2 : 4,
                               .threads = 1};
    fsfm_status st = describe(cuda, gpu, err);
    if (st == FSFM_OK) st = open_queue(cuda, gpu, err);
    if (st == FSFM_OK) st = fsfm_cuda_memory_open(cuda, err);
    if (st == FSFM_OK) st = fsfm_cuda_products_open(cuda, err);
    if (st == FSFM_OK) st = open_whole(cuda, err);
    if (st == FSFM_OK) st = fsfm_cuda_wire_open(cuda, err);
    fsfm_cuda_recorder_open(cuda);
    if (st == FSFM_OK)
        *out = &cuda->base;
    else
        close_device(&cuda->base);
    return st;
}

/* The library's one visible symbol. */
const fsfm_device_plugin *FSFM_DEVICE_PLUGIN_SYMBOL(void);
__attribute__((visibility("default"))) const fsfm_device_plugin *FSFM_DEVICE_PLUGIN_SYMBOL(void)
{
    static const fsfm_device_plugin plugin = {.abi = FSFM_DEVICE_PLUGIN_ABI,
                                              .probe = probe,
                                              .open = open_device,
                                              .close = close_device,
                                              .measure_peaks = fsfm_cuda_measure_peaks};
    return &plugin;
}
