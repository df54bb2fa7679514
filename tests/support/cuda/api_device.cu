// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/api_device.cu - the device's properties, and errors. It looks like an H100, but for its
// memory.
#include <stdio.h>
#include <string.h>

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
    default: return cudaGetErrorName(error);
    }
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    return give(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    if (device != 0) return give(cudaErrorInvalidDevice);
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "emulated");
    properties->major = 9;
    properties->totalGlobalMem = device_bytes;
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
    if (device != 0) return give(cudaErrorInvalidDevice);
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
