/* SPDX-License-Identifier: Apache-2.0
 * core/base/clock.h - time. */
#ifndef FSFM_CORE_BASE_CLOCK_H
#define FSFM_CORE_BASE_CLOCK_H

#ifdef __cplusplus
extern "C" {
#endif

/* Seconds since some fixed moment; never goes back. For durations. */
double fsfm_clock_monotonic_s(void);
/* Seconds since 1970 (Unix time). For records. */
double fsfm_clock_unix_s(void);

#ifdef __cplusplus
}
#endif
#endif
