/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/checker.h - each access of a kernel is looked at: bounds, alignment, memory never
 * written, and races within a block and between blocks. The first error ends the process. */
#ifndef FSFM_TESTS_EMULATED_CHECKER_H
#define FSFM_TESTS_EMULATED_CHECKER_H

#include <stddef.h>

#include "shadow.h"

namespace emulated
{

/* Again: the access is not counted. */
void check_access(const void *address, size_t bytes, bool is_write, bool is_again, uint32_t code);

/* Bytes for FSFM_EMULATION_COUNT: what kernels ask for, and each byte once a launch. */
void count_launch();
void count_access(size_t bytes, bool is_write, size_t new_bytes);

} // namespace emulated
#endif
