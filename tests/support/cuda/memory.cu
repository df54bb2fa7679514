// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/memory.cu - the device's memory; see memory.h.
#include "memory.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "observer.h"
#include "poison.h"
#include "settings.h"

namespace emulated
{

static constexpr size_t page = 4096, alignment = 256;
static constexpr size_t most_addresses = (size_t)1 << 40, fewest_addresses = (size_t)1 << 34;

static char *arena;
static size_t arena_bytes, arena_used, bytes_used;
static std::map<uintptr_t, Allocation> allocations, freed; // by base
static int open_count;

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

// As many addresses as there are to have; memory comes with the allocations.
static void reserve()
{
    for (arena_bytes = most_addresses; arena_bytes >= fewest_addresses; arena_bytes /= 2) {
        void *mapped =
            mmap(nullptr, arena_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapped == MAP_FAILED) continue;
        arena = static_cast<char *>(mapped);
        catch_faults();
        return;
    }
    fail("no address space for device memory");
}

static bool is_open()
{
    return open_count > 0 || !settings().is_protected;
}

static void set_access(const Allocation &allocation, bool is_allowed)
{
    mprotect(allocation.pages, allocation.pages_bytes, is_allowed ? PROT_READ | PROT_WRITE : PROT_NONE);
}

// Pages of NaN that take memory only when they are written: all are private copies of one file's.
static bool fill_with_nan(char *pages, size_t bytes)
{
    static const size_t file_bytes = (size_t)4 << 20;
    static int file = -1;
    if (file < 0) {
        file = memfd_create("nan", MFD_CLOEXEC);
        if (file < 0 || ftruncate(file, (off_t)file_bytes) != 0) return false;
        void *all = mmap(nullptr, file_bytes, PROT_WRITE, MAP_SHARED, file, 0);
        if (all == MAP_FAILED) return false;
        memset(all, 0xff, file_bytes);
        munmap(all, file_bytes);
    }
    for (size_t at = 0; at < bytes; at += file_bytes)
        if (mmap(pages + at, std::min(file_bytes, bytes - at), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_FIXED, file, 0) == MAP_FAILED)
            return false;
    return true;
}

// The allocation ends as near to the next page, which cannot be touched, as its alignment allows.
void *device_allocate(size_t bytes)
{
    if (arena == nullptr) reserve();
    Allocation allocation = {};
    allocation.bytes = bytes;
    allocation.pages_bytes = round_up(round_up(bytes, alignment), page);
    if (bytes > device_bytes - bytes_used || arena_used + page + allocation.pages_bytes > arena_bytes)
        return nullptr;
    allocation.pages = arena + arena_used + page;
    allocation.base = allocation.pages + allocation.pages_bytes - round_up(bytes, alignment);
    if (!fill_with_nan(allocation.pages, allocation.pages_bytes)) return nullptr;
    arena_used += page + allocation.pages_bytes;
    bytes_used += bytes;
    poison(allocation.pages, (size_t)(allocation.base - allocation.pages));
    poison(allocation.base + bytes, round_up(bytes, alignment) - bytes);
    if (!is_open()) set_access(allocation, false);
    allocations[(uintptr_t)allocation.base] = allocation;
    if (observer.device_allocated != nullptr) observer.device_allocated(allocation.base, bytes);
    return allocation.base;
}

bool device_free(void *address)
{
    const auto found = allocations.find((uintptr_t)address);
    if (found == allocations.end()) return false;
    Allocation allocation = found->second;
    if (observer.device_freed != nullptr) observer.device_freed(allocation.base);
    unpoison(allocation.pages, allocation.pages_bytes);
    mmap(allocation.pages, allocation.pages_bytes, PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    bytes_used -= allocation.bytes;
    allocation.is_freed = true;
    freed[(uintptr_t)allocation.base] = allocation;
    allocations.erase(found);
    return true;
}

size_t device_bytes_free()
{
    return device_bytes - bytes_used;
}

static const Allocation *last_before(const std::map<uintptr_t, Allocation> &of, const void *address)
{
    auto next = of.upper_bound((uintptr_t)address);
    return next == of.begin() ? nullptr : &(--next)->second;
}

const Allocation *allocation_before(const void *address)
{
    const Allocation *live = last_before(allocations, address), *dead = last_before(freed, address);
    if (live == nullptr || dead == nullptr) return live == nullptr ? dead : live;
    return live->base > dead->base ? live : dead;
}

bool is_device_address(const void *address)
{
    return arena != nullptr && (uintptr_t)address - (uintptr_t)arena < arena_bytes;
}

const char *device_base()
{
    return arena;
}

bool is_on_device(const void *address, size_t bytes)
{
    const Allocation *allocation = last_before(allocations, address);
    if (allocation == nullptr) return false;
    const size_t offset = (uintptr_t)address - (uintptr_t)allocation->base;
    return offset <= allocation->bytes && bytes <= allocation->bytes - offset;
}

static void set_all(bool is_allowed)
{
    if (!settings().is_protected) return;
    for (const auto &entry : allocations) set_access(entry.second, is_allowed);
}

DeviceAccess::DeviceAccess()
{
    if (open_count++ == 0) set_all(true);
}

DeviceAccess::~DeviceAccess()
{
    if (--open_count == 0) set_all(false);
}

bool is_device_open()
{
    return is_open();
}

NOT_SANITIZED static bool is_filled(const char *bytes, size_t count)
{
    uint64_t all = UINT64_MAX;
    for (; count >= sizeof all; count -= sizeof all, bytes += sizeof all) {
        uint64_t word;
        memcpy(&word, bytes, sizeof word);
        all &= word;
    }
    for (; count > 0; count--) all &= (uint64_t)(int64_t)(signed char)*bytes++;
    return all == UINT64_MAX;
}

void check_guards()
{
    for (const auto &entry : allocations) {
        const Allocation &a = entry.second;
        const char *end = a.base + a.bytes, *pages_end = a.pages + a.pages_bytes;
        if (!is_filled(a.pages, (size_t)(a.base - a.pages)))
            fail("something was written before an allocation of %zu bytes at %p", a.bytes, (void *)a.base);
        if (!is_filled(end, (size_t)(pages_end - end)))
            fail("something was written after an allocation of %zu bytes at %p", a.bytes, (void *)a.base);
    }
}

} // namespace emulated
