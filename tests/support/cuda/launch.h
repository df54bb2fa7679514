/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/launch.h - what kernels are allowed. */
#ifndef FSFM_TESTS_EMULATED_LAUNCH_H
#define FSFM_TESTS_EMULATED_LAUNCH_H

#include <stddef.h>

namespace emulated
{

/* Launches of kernel may ask for so many bytes of dynamic shared memory. */
void consent_to_shared(const void *kernel, size_t bytes);

} // namespace emulated
#endif
