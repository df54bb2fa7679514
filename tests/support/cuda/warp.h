/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/warp.h - how the lanes of a warp meet. */
#ifndef FSFM_TESTS_EMULATED_WARP_H
#define FSFM_TESTS_EMULATED_WARP_H

#include "machine.h"

namespace emulated
{

/* The running thread's call, with its name, place and those lanes of mask that exist; the rest is the
 * caller's to fill in, in place: to copy a call that has just been put together costs more than a change of
 * threads. */
WarpCall &begin_call(const char *name, uint32_t mask, Site site);

/* Waits until all lanes of the call's mask have come here with the same call; the last one does work for all
 * of them, which may set each lane's call.value. Returns the thread's call.value. */
uint64_t meet(void (*work)(Thread *lanes, uint32_t mask));

} // namespace emulated
#endif
