// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/checker.cu - the checks of an access; see checker.h.
#include "checker.h"

#include <link.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>

#include "clocks.h"
#include "code.h"
#include "machine.h"
#include "observer.h"

namespace emulated
{

static uint32_t launch_number, block_number; // of all that ran, from 1

struct Where {
    char text[256];

    explicit Where(uint32_t code)
    {
        describe_code(code, text, sizeof text);
    }
};

static const char *name_of(bool is_write)
{
    return is_write ? "write" : "read";
}

[[noreturn]] static void report_race(const Access &before, bool was_write, bool is_write, uint32_t code)
{
    const Where here(code), there(before.code);
    fail("race: %s at %s and %s at %s by thread %d of block %u", name_of(is_write), here.text,
         name_of(was_write), there.text, before.thread, before.block);
}

static void remember_read(Cell *cell, const Access &access)
{
    if (cell->read.code == 0 || all_come_before(cell->read, cell->others))
        cell->others = Others::none;
    else if (!comes_before(cell->read))
        cell->others = others_with(cell->read, cell->others);
    cell->read = access;
}

static void check_cell(Cell *cell, const Access &access, bool is_write)
{
    if (cell->write.code != 0 && (cell->write.bytes_mask & access.bytes_mask) != 0 &&
        !comes_before(cell->write))
        report_race(cell->write, true, is_write, access.code);
    if (!is_write) {
        remember_read(cell, access);
        return;
    }
    if (cell->read.code != 0 && (cell->read.bytes_mask & access.bytes_mask) != 0 &&
        !all_come_before(cell->read, cell->others))
        report_race(cell->read, false, true, access.code);
    cell->write = access;
    cell->read.code = 0;
    cell->defined_mask |= access.bytes_mask;
}

// Launches come one after another, and so do blocks: in shared memory each block starts anew.
static void renew(Cell *cell, Space space)
{
    const uint32_t owner = space == Space::device ? launch_number : block_number;
    if (cell->owner == owner) return;
    cell->owner = owner;
    cell->write.code = cell->read.code = 0;
    cell->was_read = cell->was_written = false;
    if (space == Space::shared) cell->defined_mask = 0;
}

static bool is_inside(const void *address, const void *base, size_t bytes)
{
    return (uintptr_t)address - (uintptr_t)base < bytes;
}

// Constants and the arguments may be read.
static bool is_readable(const void *address)
{
    if (is_inside(address, block.call, block.call->bytes)) return true;
    const auto visit = [](struct dl_phdr_info *module, size_t, void *data) {
        const uintptr_t wanted = (uintptr_t)data;
        for (int i = 0; i < module->dlpi_phnum; i++) {
            const ElfW(Phdr) &part = module->dlpi_phdr[i];
            const bool is_constant =
                part.p_type == PT_GNU_RELRO || (part.p_type == PT_LOAD && !(part.p_flags & PF_W));
            if (is_constant && wanted - (module->dlpi_addr + part.p_vaddr) < part.p_memsz) return 1;
        }
        return 0;
    };
    return dl_iterate_phdr(visit, const_cast<void *>(address)) != 0;
}

static void check_other(const void *address, bool is_write, uint32_t code)
{
    if (!is_write && is_readable(address)) return;
    fail("%s of %p, which is not the device's memory, at %s", name_of(is_write), address, Where(code).text);
}

static void check_bounds(const Place &place, const void *address, size_t bytes, bool is_write, uint32_t code)
{
    const char *space = place.space == Space::device ? "device" : "shared";
    if (bytes > place.bytes_behind)
        fail("%s of %zu bytes at %p, out of bounds of %s memory, at %s", name_of(is_write), bytes, address,
             space, Where(code).text);
    if (((uintptr_t)address & (bytes - 1)) != 0 && (bytes & (bytes - 1)) == 0)
        fail("%s of %zu bytes at %p, not aligned, at %s", name_of(is_write), bytes, address,
             Where(code).text);
}

// The bytes of a cell from first to before end, as a mask.
static uint8_t mask_of(size_t first, size_t end)
{
    unsigned mask = 0;
    for (size_t i = first; i < end; i++) mask |= 1u << i % cell_bytes;
    return (uint8_t)mask;
}

// Device memory is full of ones at first: a word that is not has been written, by a library if not by a
// kernel.
static bool is_changed(const void *address)
{
    uint32_t word;
    memcpy(&word, reinterpret_cast<const void *>((uintptr_t)address & ~(sizeof word - 1)), sizeof word);
    return word != UINT32_MAX;
}

static void check_defined(Cell *cell, const Place &place, size_t offset, const Access &access)
{
    if ((cell->defined_mask & access.bytes_mask) == access.bytes_mask) return;
    const char *address = place.shadow->base + offset;
    const bool is_device = place.space == Space::device;
    if (!is_device || !is_changed(address))
        fail("read of %s memory at %p that nobody has written, at %s", is_device ? "device" : "shared",
             (const void *)address, Where(access.code).text);
    cell->defined_mask = 3;
}

// Whether the owner has not touched the cell so before.
static bool is_new(Cell *cell, bool is_write)
{
    bool &was_touched = is_write ? cell->was_written : cell->was_read;
    const bool is_first = !was_touched;
    was_touched = true;
    return is_first;
}

void check_access(const void *address, size_t bytes, bool is_write, bool is_again, uint32_t code)
{
    if (block.thread == nullptr || is_inside(address, &view, sizeof view) || fiber_owns(address)) return;
    const Place place = place_of(address);
    if (place.space == Space::other) {
        check_other(address, is_write, code);
        return;
    }
    check_bounds(place, address, bytes, is_write, code);
    Access access = {};
    access.code = code;
    clocks_stamp(&access);
    size_t new_bytes = 0;
    for (size_t i = place.offset, end = place.offset + bytes; i < end;
         i = (i / cell_bytes + 1) * cell_bytes) {
        Cell *cell = place.shadow->cell_at(i);
        access.bytes_mask = 3 & mask_of(i, std::min(end, (i / cell_bytes + 1) * cell_bytes));
        renew(cell, place.space);
        if (!is_write) check_defined(cell, place, i, access);
        check_cell(cell, access, is_write);
        if (is_new(cell, is_write)) new_bytes += cell_bytes;
    }
    if (place.space == Space::device && !is_again) count_access(bytes, is_write, new_bytes);
}

static void access_by_emulator(const void *address, size_t bytes, bool is_write, bool is_again, Site site)
{
    check_access(address, bytes, is_write, is_again, code_of(site));
}

static void launch_begun()
{
    launch_number++;
    shadow_new_launch(block.function);
    count_launch();
}

static void block_begun()
{
    block_number++;
    clocks_new_block();
}

static bool install()
{
    observer.launch_begun = launch_begun;
    observer.block_begun = block_begun;
    observer.block_synced = clocks_barrier;
    observer.warp_synced = clocks_sync_warp;
    observer.thread_accessed = access_by_emulator;
    observer.device_allocated = shadow_allocated;
    observer.device_freed = shadow_freed;
    observer.device_written = shadow_written;
    return true;
}
static const bool is_installed __attribute__((used)) = install();

} // namespace emulated
