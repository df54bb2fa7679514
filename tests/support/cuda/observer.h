/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/observer.h - what the emulated device tells to a checker that is linked in, if one is.
 */
#ifndef FSFM_TESTS_EMULATED_OBSERVER_H
#define FSFM_TESTS_EMULATED_OBSERVER_H

#include <stddef.h>
#include <stdint.h>

#include "emulated.h"

namespace emulated
{

/* Entries are NULL without a checker. */
struct Observer {
    void (*launch_begun)();
    void (*block_begun)();
    void (*block_synced)();
    void (*warp_synced)(int warp, uint32_t mask);
    /* An access that the emulator does in the name of the thread that runs; again: told of before. */
    void (*thread_accessed)(const void *address, size_t bytes, bool is_write, bool is_again, Site site);
    void (*device_allocated)(const void *address, size_t bytes);
    void (*device_freed)(const void *address);
    /* A copy has written device memory. */
    void (*device_written)(const void *address, size_t bytes);
};
extern Observer observer;

} // namespace emulated
#endif
