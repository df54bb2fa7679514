// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/api_device.cu - the devices that the process sees, their properties, and errors. Each
// looks like an H100, but for its memory, and has the number of a GPU of the machine in its UUID.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "api.h"
#include "launch.h"
#include "memory.h"
#include "settings.h"
#include "shared.h"
#include "stream.h"

using namespace emulated;

static constexpr int version = 13000, processors = 132, cache_bytes = 50 << 20;
static constexpr int shared_bytes_a_processor = 228 << 10, registers = 65536;

static thread_local cudaError_t last_error = cudaSuccess;
static thread_local int device_now = 0;

// Numbers of the machine's GPUs in the process's order: all, or those of CUDA_VISIBLE_DEVICES up to the first
// that there is not, as CUDA has it. That variable is heeded where FSFM_EMULATION_DEVICES is set: a real
// GPU's may be hidden.
static std::vector<int> visible_gpus()
{
    const char *number = getenv("FSFM_EMULATION_DEVICES"), *list = getenv("CUDA_VISIBLE_DEVICES");
    const int gpus = number == nullptr ? 1 : atoi(number);
    std::vector<int> visible;
    if (number == nullptr || list == nullptr) {
        for (int gpu = 0; gpu < gpus; gpu++) visible.push_back(gpu);
        return visible;
    }
    for (char *end; *list != '\0'; list = *end == ',' ? end + 1 : end) {
        const long gpu = strtol(list, &end, 10);
        if (end == list || gpu < 0 || gpu >= gpus) break;
        visible.push_back((int)gpu);
    }
    return visible;
}

static bool is_visible(int device)
{
    return device >= 0 && device < (int)visible_gpus().size();
}

int emulated::current_device()
{
    return device_now;
}

int emulated::current_gpu()
{
    return is_visible(device_now) ? visible_gpus()[(size_t)device_now] : -1;
}

// What is not allowed during a capture ends it, whether anybody looks at the error or not.
static bool breaks_captures(cudaError_t error)
{
    return error == cudaErrorStreamCaptureUnsupported || error == cudaErrorStreamCaptureImplicit ||
           error == cudaErrorStreamCaptureIsolation || error == cudaErrorCapturedEvent;
}

cudaError_t emulated::give(cudaError_t error)
{
    if (breaks_captures(error)) break_captures();
    if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
    return error;
}

extern "C" {

cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
#define NAME(error) \
    case error: return #error
        NAME(cudaSuccess);
        NAME(cudaErrorInvalidValue);
        NAME(cudaErrorMemoryAllocation);
        NAME(cudaErrorInvalidDevice);
        NAME(cudaErrorNoDevice);
        NAME(cudaErrorInvalidResourceHandle);
        NAME(cudaErrorNotReady);
        NAME(cudaErrorHostMemoryAlreadyRegistered);
        NAME(cudaErrorHostMemoryNotRegistered);
        NAME(cudaErrorStreamCaptureUnsupported);
        NAME(cudaErrorStreamCaptureInvalidated);
        NAME(cudaErrorStreamCaptureUnjoined);
        NAME(cudaErrorStreamCaptureImplicit);
#undef NAME
    default: return "unrecognized error code";
    }
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    default: return cudaGetErrorName(error);
    }
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = (int)visible_gpus().size();
    return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaSetDevice(int device)
{
    if (!is_visible(device)) return give(cudaErrorInvalidDevice);
    device_now = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = device_now;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    if (!is_visible(device)) return give(cudaErrorInvalidDevice);
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "emulated");
    snprintf(properties->uuid.bytes, sizeof properties->uuid.bytes, "emulated %d",
             visible_gpus()[(size_t)device]);
    properties->major = 9;
    properties->totalGlobalMem = settings().said_bytes > 0 ? settings().said_bytes : device_bytes;
    properties->sharedMemPerBlock = most_shared_bytes_without_consent;
    properties->sharedMemPerBlockOptin = (size_t)settings().shared_bytes;
    properties->sharedMemPerMultiprocessor = shared_bytes_a_processor;
    properties->regsPerBlock = properties->regsPerMultiprocessor = registers;
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = 1024;
    properties->maxThreadsPerMultiProcessor = 2048;
    properties->multiProcessorCount = processors;
    properties->l2CacheSize = cache_bytes;
    properties->memoryBusWidth = 5120;
    properties->asyncEngineCount = 3;
    properties->unifiedAddressing = 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    if (!is_visible(device)) return give(cudaErrorInvalidDevice);
    switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
    case cudaDevAttrMultiProcessorCount: *value = processors; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = 2048; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = (int)most_shared_bytes_without_consent; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = settings().shared_bytes; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = shared_bytes_a_processor; break;
    case cudaDevAttrMaxRegistersPerBlock: *value = registers; break;
    case cudaDevAttrL2CacheSize: *value = cache_bytes; break;
    case cudaDevAttrClockRate: *value = 1980000; break;
    case cudaDevAttrMemoryClockRate: *value = 2619000; break;
    case cudaDevAttrGlobalMemoryBusWidth: *value = 5120; break;
    default: return give(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *number)
{
    *number = version;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *number)
{
    *number = version;
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value)
{
    const Entry entry;
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        (size_t)value > most_shared_bytes)
        return give(cudaErrorInvalidValue);
    consent_to_shared(kernel, (size_t)value);
    return cudaSuccess;
}

} // extern "C"
