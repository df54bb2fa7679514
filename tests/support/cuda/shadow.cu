// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/shadow.cu - the checker's memory of memory; see shadow.h.
#include "shadow.h"

#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <memory>

#include "memory.h"
#include "settings.h"
#include "shared.h"

namespace emulated
{

static constexpr size_t page = 4096, most_addresses = (size_t)1 << 40;

static std::map<const void *, std::unique_ptr<Shadow>> of_allocations; // by base
static Shadow **of_pages; // of the device, by page: one allocation each

// Shared variables of the module that has the kernel, by address; all lie in one range, which has one shadow.
static const std::vector<SharedVariable> *variables;
static std::map<const void *, std::unique_ptr<Shadow>> of_modules; // by variables
static Shadow *of_variables;
static std::unique_ptr<Shadow> of_dynamic;

Shadow::Shadow(const char *a_base, size_t a_bytes) : base(a_base), bytes(a_bytes)
{
    mapped_bytes = (bytes / cell_bytes + 2) * sizeof(Cell);
    void *mapped = mmap(nullptr, mapped_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) fail("no memory for the checker");
    cells = static_cast<Cell *>(mapped);
}

Shadow::~Shadow()
{
    munmap(cells, mapped_bytes);
}

static Shadow *&shadow_of_page(const char *address)
{
    return of_pages[(size_t)(address - device_base()) / page];
}

void shadow_allocated(const void *address, size_t bytes)
{
    const char *base = static_cast<const char *>(address);
    if (of_pages == nullptr) {
        void *mapped = mmap(nullptr, most_addresses / page * sizeof(Shadow *), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapped == MAP_FAILED) fail("no address space for the checker");
        of_pages = static_cast<Shadow **>(mapped);
    }
    of_allocations[address] = std::make_unique<Shadow>(base, bytes);
    for (const char *at = base; at < base + bytes; at += page)
        shadow_of_page(at) = of_allocations[address].get();
    shadow_of_page(base + bytes - 1) = of_allocations[address].get();
}

void shadow_freed(const void *address)
{
    const Shadow &shadow = *of_allocations[address];
    for (const char *at = shadow.base; at < shadow.base + shadow.bytes; at += page)
        shadow_of_page(at) = nullptr;
    shadow_of_page(shadow.base + shadow.bytes - 1) = nullptr;
    of_allocations.erase(address);
}

void shadow_written(const void *address, size_t bytes)
{
    Shadow *shadow = shadow_of_page(static_cast<const char *>(address));
    const size_t first = shadow->offset_of(address);
    for (size_t i = first; i < first + bytes; i++)
        shadow->cell_at(i)->defined_mask |= (uint8_t)(1u << i % cell_bytes);
}

static std::unique_ptr<Shadow> shadow_of(const std::vector<SharedVariable> &found)
{
    if (found.empty()) return std::make_unique<Shadow>(nullptr, 0);
    const char *first = found.front().address, *end = found.back().address + found.back().bytes;
    return std::make_unique<Shadow>(first, (size_t)(end - first));
}

void shadow_new_launch(const void *kernel)
{
    variables = &shared_variables(kernel);
    std::unique_ptr<Shadow> &shadow = of_modules[variables];
    if (shadow == nullptr) shadow = shadow_of(*variables);
    of_variables = shadow.get();
    const char *dynamic = reinterpret_cast<const char *>(view.dynamic_shared);
    if (of_dynamic == nullptr || of_dynamic->base != dynamic || of_dynamic->bytes != dynamic_shared_bytes())
        of_dynamic = std::make_unique<Shadow>(dynamic, dynamic_shared_bytes());
}

// The variable that has address, NULL without; neighbours are told apart.
static const SharedVariable *variable_at(const char *address)
{
    const auto next = std::upper_bound(variables->begin(), variables->end(), address,
                                       [](const char *a, const SharedVariable &v) { return a < v.address; });
    if (next == variables->begin()) return nullptr;
    const SharedVariable &before = *std::prev(next);
    return address < before.address + before.bytes ? &before : nullptr;
}

static Place place_in(Space space, Shadow *shadow, const char *address, size_t bytes_behind)
{
    return Place{space, shadow, shadow->offset_of(address), bytes_behind};
}

Place place_of(const void *of)
{
    const char *address = static_cast<const char *>(of);
    if (is_device_address(address)) {
        Shadow *shadow = shadow_of_page(address);
        if (shadow == nullptr || shadow->offset_of(address) >= shadow->bytes)
            return Place{Space::device, nullptr, 0, 0};
        return place_in(Space::device, shadow, address, shadow->bytes - shadow->offset_of(address));
    }
    if (of_dynamic->offset_of(address) < of_dynamic->bytes)
        return place_in(Space::shared, of_dynamic.get(), address,
                        of_dynamic->bytes - of_dynamic->offset_of(address));
    if (is_beside_shared(address)) return Place{Space::shared, nullptr, 0, 0};
    if (of_variables->offset_of(address) < of_variables->bytes) {
        const SharedVariable *variable = variable_at(address);
        if (variable != nullptr)
            return place_in(Space::shared, of_variables, address,
                            (size_t)(variable->address + variable->bytes - address));
    }
    return Place{Space::other, nullptr, 0, 0};
}

} // namespace emulated
