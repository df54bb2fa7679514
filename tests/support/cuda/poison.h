/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/poison.h - bytes that AddressSanitizer, if it is there, lets nobody touch. */
#ifndef FSFM_TESTS_EMULATED_POISON_H
#define FSFM_TESTS_EMULATED_POISON_H

#include <stddef.h>

#if defined __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#define NOT_SANITIZED __attribute__((no_sanitize("address", "undefined"), noinline))

namespace emulated
{

inline void poison(const void *address, size_t bytes)
{
#if defined __SANITIZE_ADDRESS__
    __asan_poison_memory_region(address, bytes);
#else
    (void)address, (void)bytes;
#endif
}

inline void unpoison(const void *address, size_t bytes)
{
#if defined __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(address, bytes);
#else
    (void)address, (void)bytes;
#endif
}

} // namespace emulated
#endif
