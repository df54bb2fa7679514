// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/api_memory.cu - allocations and copies.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <map>

#include "api.h"
#include "memory.h"
#include "observer.h"
#include "stream.h"

using namespace emulated;

struct HostMemory {
    size_t bytes;
    bool is_ours;
};
static std::map<uintptr_t, HostMemory> pinned; // by address

bool emulated::is_pinned(const void *address, size_t bytes)
{
    auto next = pinned.upper_bound((uintptr_t)address);
    if (next == pinned.begin()) return false;
    --next;
    return (uintptr_t)address + bytes <= next->first + next->second.bytes;
}

static bool is_to_device(enum cudaMemcpyKind kind, const void *destination)
{
    if (kind == cudaMemcpyDefault) return is_device_address(destination);
    return kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
}

static bool is_from_device(enum cudaMemcpyKind kind, const void *source)
{
    if (kind == cudaMemcpyDefault) return is_device_address(source);
    return kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
}

static void check_side(const void *address, size_t bytes, bool is_device, const char *what)
{
    if (is_device != is_device_address(address))
        fail("a copy's %s %p is %s the device's", what, address, is_device ? "not" : "memory of");
    if (is_device && !is_on_device(address, bytes))
        fail("a copy's %s %p of %zu bytes is not in one allocation", what, address, bytes);
}

static void copy(void *destination, const void *source, size_t bytes)
{
    const DeviceAccess access;
    if (is_device_address(destination)) check_side(destination, bytes, true, "destination");
    if (is_device_address(source)) check_side(source, bytes, true, "source");
    memcpy(destination, source, bytes);
    if (is_device_address(destination) && observer.device_written != nullptr)
        observer.device_written(destination, bytes);
}

static void set(void *destination, int value, size_t bytes)
{
    const DeviceAccess access;
    check_side(destination, bytes, true, "destination");
    memset(destination, value, bytes);
    if (observer.device_written != nullptr) observer.device_written(destination, bytes);
}

extern "C" {

cudaError_t cudaMalloc(void **address, size_t bytes)
{
    const Entry entry;
    *address = nullptr;
    if (is_any_capturing()) return give(cudaErrorStreamCaptureUnsupported);
    if (bytes == 0) return cudaSuccess;
    *address = device_allocate(bytes);
    return give(*address == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t cudaFree(void *address)
{
    const Entry entry;
    if (address == nullptr) return cudaSuccess;
    if (is_any_capturing()) return give(cudaErrorStreamCaptureUnsupported);
    drain_all();
    if (!device_free(address)) fail("cudaFree of %p, which is no allocation", address);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    const Entry entry;
    *free_bytes = device_bytes_free();
    *total_bytes = device_bytes;
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **address, size_t bytes, unsigned int)
{
    const Entry entry;
    *address = nullptr;
    if (is_any_capturing()) return give(cudaErrorStreamCaptureUnsupported);
    if (posix_memalign(address, 4096, bytes == 0 ? 1 : bytes) != 0) {
        *address = nullptr;
        return give(cudaErrorMemoryAllocation);
    }
    memset(*address, 0xff, bytes);
    pinned[(uintptr_t)*address] = HostMemory{bytes, true};
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **address, size_t bytes)
{
    return cudaHostAlloc(address, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *address)
{
    const Entry entry;
    if (address == nullptr) return cudaSuccess;
    drain_all();
    const auto found = pinned.find((uintptr_t)address);
    if (found == pinned.end() || !found->second.is_ours)
        fail("cudaFreeHost of %p, which is no allocation", address);
    pinned.erase(found);
    free(address);
    return cudaSuccess;
}

cudaError_t cudaHostRegister(void *address, size_t bytes, unsigned int)
{
    const Entry entry;
    const bool is_new = pinned.emplace((uintptr_t)address, HostMemory{bytes, false}).second;
    return give(is_new ? cudaSuccess : cudaErrorHostMemoryAlreadyRegistered);
}

cudaError_t cudaHostUnregister(void *address)
{
    const Entry entry;
    drain_all();
    return give(pinned.erase((uintptr_t)address) == 1 ? cudaSuccess : cudaErrorHostMemoryNotRegistered);
}

cudaError_t cudaMemcpy(void *destination, const void *source, size_t bytes, enum cudaMemcpyKind kind)
{
    const Entry entry;
    if (bytes == 0) return cudaSuccess;
    if (is_any_capturing()) return give(cudaErrorStreamCaptureImplicit);
    check_side(destination, bytes, is_to_device(kind, destination), "destination");
    check_side(source, bytes, is_from_device(kind, source), "source");
    drain_blocking_streams();
    copy(destination, source, bytes);
    return cudaSuccess;
}

// Memory of the host that is not pinned is read before the call returns, and written too.
cudaError_t cudaMemcpyAsync(void *destination, const void *source, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t handle)
{
    const Entry entry;
    if (bytes == 0) return cudaSuccess;
    const bool from_device = is_from_device(kind, source), to_device = is_to_device(kind, destination);
    check_side(destination, bytes, to_device, "destination");
    check_side(source, bytes, from_device, "source");
    Stream *stream = stream_of(handle);
    const bool is_captured = stream != nullptr && stream->capture != nullptr;
    if (!from_device && !is_pinned(source, bytes) && !is_captured) {
        const char *first = static_cast<const char *>(source);
        const auto staged = std::make_shared<std::vector<char>>(first, first + bytes);
        submit(handle, [=] { copy(destination, staged->data(), bytes); });
    } else {
        submit(handle, [=] { copy(destination, source, bytes); });
    }
    if (!to_device && !is_pinned(destination, bytes) && !is_captured && stream != nullptr)
        drain_stream(stream);
    return cudaSuccess;
}

cudaError_t cudaMemset(void *destination, int value, size_t bytes)
{
    const Entry entry;
    if (bytes == 0) return cudaSuccess;
    if (is_any_capturing()) return give(cudaErrorStreamCaptureImplicit);
    check_side(destination, bytes, true, "destination");
    submit(nullptr, [=] { set(destination, value, bytes); });
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *destination, int value, size_t bytes, cudaStream_t stream)
{
    const Entry entry;
    if (bytes == 0) return cudaSuccess;
    check_side(destination, bytes, true, "destination");
    submit(stream, [=] { set(destination, value, bytes); });
    return cudaSuccess;
}

} // extern "C"
