// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/shared.cu - a block's shared memory; see shared.h.
#include "shared.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "machine.h"
#include "poison.h"

namespace emulated
{

static constexpr size_t page = 4096, alignment = 256, region_bytes = 256 << 10;

static char *region; // between two pages that cannot be touched
static size_t dynamic_bytes;
static const std::vector<SharedVariable> *variables;

static void reserve()
{
    void *mapped = mmap(nullptr, region_bytes + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) fail("no memory for shared memory");
    region = static_cast<char *>(mapped) + page;
    mprotect(region, region_bytes, PROT_READ | PROT_WRITE);
}

// Not memset, which AddressSanitizer would check: what it adds around a variable may be filled too.
static void fill(char *address, size_t bytes)
{
    asm volatile("rep stosb" : "+D"(address), "+c"(bytes) : "a"(0xff) : "memory");
}

void set_dynamic_shared(size_t bytes)
{
    if (region != nullptr && bytes == dynamic_bytes) return;
    if (region == nullptr) reserve();
    unpoison(region, region_bytes);
    memset(region, 0xff, region_bytes);
    dynamic_bytes = bytes;
    char *base = region + region_bytes - (bytes + alignment - 1) / alignment * alignment;
    poison(region, (size_t)(base - region));
    poison(base + bytes, (size_t)(region + region_bytes - base) - bytes);
    view.dynamic_shared = reinterpret_cast<unsigned char *>(base);
}

size_t dynamic_shared_bytes()
{
    return dynamic_bytes;
}

void fill_shared(const void *kernel)
{
    variables = &shared_variables(kernel);
    for (const SharedVariable &variable : *variables) fill(variable.address, variable.bytes);
    memset(view.dynamic_shared, 0xff, dynamic_bytes);
}

NOT_SANITIZED static bool is_filled(const char *bytes, const char *end)
{
    for (; bytes < end; bytes++)
        if (*bytes != '\xff') return false;
    return true;
}

void check_shared_guards()
{
    const char *base = reinterpret_cast<const char *>(view.dynamic_shared);
    if (!is_filled(base - alignment < region ? region : base - alignment, base))
        fail("something was written before the %zu bytes of dynamic shared memory", dynamic_bytes);
    if (!is_filled(base + dynamic_bytes, region + region_bytes))
        fail("something was written after the %zu bytes of dynamic shared memory", dynamic_bytes);
}

static bool is_inside(const void *address, size_t bytes, const void *base, size_t base_bytes)
{
    const size_t offset = (uintptr_t)address - (uintptr_t)base;
    return offset <= base_bytes && bytes <= base_bytes - offset;
}

void check_shared(const void *address, size_t bytes, const char *name, Site site)
{
    if (((uintptr_t)address & (bytes - 1)) != 0)
        fail("%s at %s:%d: %p in shared memory is not aligned to %zu bytes", name, site.file, site.line,
             address, bytes);
    if (is_inside(address, bytes, view.dynamic_shared, dynamic_bytes)) return;
    for (const SharedVariable &variable : *variables)
        if (is_inside(address, bytes, variable.address, variable.bytes)) return;
    fail("%s at %s:%d: %p is not in the block's shared memory", name, site.file, site.line, address);
}

bool is_beside_shared(const void *address)
{
    const char *a = static_cast<const char *>(address);
    return region != nullptr && a >= region - page && a < region + region_bytes + page;
}

} // namespace emulated
