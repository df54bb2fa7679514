/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/shadow.h - what the checker remembers of each two bytes that kernels can touch. */
#ifndef FSFM_TESTS_EMULATED_SHADOW_H
#define FSFM_TESTS_EMULATED_SHADOW_H

#include <stddef.h>
#include <stdint.h>

namespace emulated
{

constexpr size_t cell_bytes = 2;

/* An access, with the clocks of its thread at that time (see clocks.h). */
struct Access {
    uint32_t code; /* see code.h; 0: no access */
    uint32_t block;
    uint16_t barriers, own_clock, warp_syncs;
    uint16_t thread : 14;
    uint16_t bytes_mask : 2; /* which of the two bytes */
};

/* Who else has read since the last write, at the same time as the reader that is remembered. */
enum class Others : uint8_t { none, same_warp, same_block, other_blocks };

/* All zeros: nobody has touched it. */
struct Cell {
    uint32_t owner; /* accesses are of this launch or, of shared memory, of this block */
    Access write, read;
    Others others;
    uint8_t defined_mask;       /* of the bytes: have been written, ever or by the block */
    bool was_read, was_written; /* by the owner */
};

enum class Space { device, shared, other };

/* A range of memory with its cells, which take memory where they are touched. */
class Shadow
{
  public:
    const char *const base;
    const size_t bytes;

    Shadow(const char *a_base, size_t a_bytes);
    ~Shadow();
    Shadow(const Shadow &) = delete;
    Shadow &operator=(const Shadow &) = delete;
    /* Far outside where address is not in the range. */
    size_t offset_of(const void *address) const
    {
        return (size_t)((uintptr_t)address - (uintptr_t)base);
    }
    Cell *cell_at(size_t offset)
    {
        return &cells[offset / cell_bytes];
    }

  private:
    Cell *cells;
    size_t mapped_bytes;
};

/* The memory around an address. For shared variables, that one alone. */
struct Place {
    Space space;
    Shadow *shadow;      /* NULL: none of the device's is here */
    size_t offset;       /* in the shadow */
    size_t bytes_behind; /* from the address to the end */
};
Place place_of(const void *address);

void shadow_new_launch(const void *kernel);

void shadow_allocated(const void *address, size_t bytes);
void shadow_freed(const void *address);
void shadow_written(const void *address, size_t bytes);

} // namespace emulated
#endif
