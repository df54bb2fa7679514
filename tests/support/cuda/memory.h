/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/memory.h - the device's memory: one range of addresses, in which each allocation lies
 * between pages that cannot be touched and is full of NaN at first. Addresses are never used again. */
#ifndef FSFM_TESTS_EMULATED_MEMORY_H
#define FSFM_TESTS_EMULATED_MEMORY_H

#include <stddef.h>

namespace emulated
{

constexpr size_t device_bytes = (size_t)16 << 30; /* what the device has */

struct Allocation {
    char *base;
    size_t bytes;
    char *pages; /* what is mapped: whole pages around it */
    size_t pages_bytes;
    bool is_freed;
};

/* NULL where the device's memory does not suffice. */
void *device_allocate(size_t bytes);
/* False where address is not the base of an allocation. */
bool device_free(void *address);
size_t device_bytes_free();

/* Whether all bytes from address lie in one allocation that is not freed. */
bool is_on_device(const void *address, size_t bytes);
/* The range of all addresses that the device may ever use. */
bool is_device_address(const void *address);
const char *device_base();
/* The last allocation that begins at or before address, NULL without. */
const Allocation *allocation_before(const void *address);

/* While one exists the device's memory can be touched, with FSFM_EMULATION_PROTECT too. */
class DeviceAccess
{
  public:
    DeviceAccess();
    ~DeviceAccess();
    DeviceAccess(const DeviceAccess &) = delete;
    DeviceAccess &operator=(const DeviceAccess &) = delete;
};
bool is_device_open();

/* Fails where bytes beside an allocation have changed: what wrote to them is the kernel named, or before it.
 */
void check_guards();

/* Turns faults in the device's memory into a failure that says what was touched. */
void catch_faults();

} // namespace emulated
#endif
