/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/clock.h"

#include <time.h>

static double read_clock(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double fsfm_clock_monotonic_s(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

double fsfm_clock_unix_s(void)
{
    return read_clock(CLOCK_REALTIME);
}
