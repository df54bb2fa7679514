/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/clocks.h - what comes before what in a block: barriers order all threads, __syncwarp
 * orders the lanes that take part. Shuffles and votes order nothing, as NVIDIA's guide says. */
#ifndef FSFM_TESTS_EMULATED_CLOCKS_H
#define FSFM_TESTS_EMULATED_CLOCKS_H

#include "shadow.h"

namespace emulated
{

void clocks_new_block();
void clocks_barrier();
void clocks_sync_warp(int warp, uint32_t mask);

/* Sets block, thread and clocks of an access that the thread whose turn it is does now. */
void clocks_stamp(Access *access);

/* Whether access, of the same launch, comes before what the thread does now. */
bool comes_before(const Access &access);
/* Whether all reads do that access and others stand for. */
bool all_come_before(const Access &access, Others others);
/* Who reads beside an access that does not come before that of the thread. */
Others others_with(const Access &access, Others others);

} // namespace emulated
#endif
