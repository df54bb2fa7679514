// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/launch.cu - launches: limits, and the blocks of a grid one after another.
#include <memory>
#include <numeric>
#include <unordered_map>

#include "api.h"
#include "launch.h"
#include "machine.h"
#include "memory.h"
#include "observer.h"
#include "shared.h"
#include "stream.h"

namespace emulated
{

static constexpr uint32_t most_blocks_y = 65535, most_blocks_x = 0x7fffffff, most_threads_z = 64;

static std::unordered_map<const void *, size_t> consents; // bytes of dynamic shared memory, by kernel

void consent_to_shared(const void *kernel, size_t bytes)
{
    consents[kernel] = bytes;
}

static void check_launch(const char *name, const void *kernel, dim3 grid, dim3 threads, size_t shared_bytes,
                         Site site)
{
    const uint64_t count = (uint64_t)threads.x * threads.y * threads.z;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > most_blocks_x || grid.y > most_blocks_y ||
        grid.z > most_blocks_y)
        fail("launch of %s at %s:%d: a grid of %u x %u x %u blocks", name, site.file, site.line, grid.x,
             grid.y, grid.z);
    if (count == 0 || count > most_threads || threads.z > most_threads_z)
        fail("launch of %s at %s:%d: blocks of %u x %u x %u threads", name, site.file, site.line, threads.x,
             threads.y, threads.z);
    const auto consent = consents.find(kernel);
    const size_t limit = consent == consents.end() ? most_shared_bytes_without_consent : consent->second;
    if (shared_bytes > limit)
        fail("launch of %s at %s:%d: %zu bytes of dynamic shared memory, allowed are %zu", name, site.file,
             site.line, shared_bytes, limit);
}

static uint3 place_of(uint64_t number, dim3 grid)
{
    return uint3{(unsigned)(number % grid.x), (unsigned)(number / grid.x % grid.y),
                 (unsigned)(number / grid.x / grid.y)};
}

// In order, backwards, or shuffled.
static std::vector<uint32_t> order_of_blocks(uint64_t count)
{
    std::vector<uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0u);
    if (settings().order == Order::lifo)
        for (uint64_t i = 0; i < count; i++) order[i] = (uint32_t)(count - 1 - i);
    if (settings().order == Order::random || settings().order == Order::pct)
        for (uint64_t i = count; i > 1; i--) std::swap(order[i - 1], order[random_below((uint32_t)i)]);
    return order;
}

// Shared memory is new for each block; where none has waited, none can have used it with others.
static void run_grid(const char *name, const void *kernel, dim3 grid, dim3 threads, size_t shared_bytes,
                     const Call *call)
{
    const DeviceAccess access;
    set_dynamic_shared(shared_bytes);
    block.kernel = name;
    block.function = kernel;
    block.call = call;
    block.has_waited = true;
    view.block_size = threads;
    view.grid_size = grid;
    if (observer.launch_begun != nullptr) observer.launch_begun();
    for (const uint32_t number : order_of_blocks((uint64_t)grid.x * grid.y * grid.z)) {
        view.block = place_of(number, grid);
        if (block.has_waited) fill_shared(kernel);
        block.has_waited = false;
        if (observer.block_begun != nullptr) observer.block_begun();
        run_block((int)(threads.x * threads.y * threads.z));
        if (shared_bytes > 0) check_shared_guards();
    }
    check_guards();
}

void launch(const char *name, const void *kernel, dim3 grid, dim3 threads, size_t shared_bytes,
            cudaStream_t stream, const Call *call, Site site)
{
    const std::lock_guard<std::recursive_mutex> lock(device_lock);
    const std::shared_ptr<const Call> kept(call);
    check_launch(name, kernel, grid, threads, shared_bytes, site);
    check_device(stream, current_device());
    submit(stream, [=] { run_grid(name, kernel, grid, threads, shared_bytes, kept.get()); });
}

} // namespace emulated
