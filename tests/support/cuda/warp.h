/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/warp.h - how the lanes of a warp meet. */
#ifndef FSFM_TESTS_EMULATED_WARP_H
#define FSFM_TESTS_EMULATED_WARP_H

#include "machine.h"

namespace emulated
{

/* Waits until all lanes of call.mask have come here with the same call; the last one does work for all of
 * them, which may set each lane's call.value. Returns the thread's call.value. */
uint64_t meet(const WarpCall &call, Site site, void (*work)(Thread *lanes, uint32_t mask));

} // namespace emulated
#endif
