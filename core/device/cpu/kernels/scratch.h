/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/kernels/scratch.h - a kernel's scratch memory, laid out by one list for its size and its
 * pointers. */
#ifndef FSFM_CORE_DEVICE_CPU_KERNELS_SCRATCH_H
#define FSFM_CORE_DEVICE_CPU_KERNELS_SCRATCH_H

#include "core/device/cpu/kernels/words.h"

/* Hands out the next count words of scratch, or only counts them where base is NULL. */
static inline void *take(word *base, int64_t *used, int64_t count)
{
    word *at = base ? base + *used : NULL;
    *used += (count + 15) / 16 * 16;
    return at;
}

#endif
