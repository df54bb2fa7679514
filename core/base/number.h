/* SPDX-License-Identifier: Apache-2.0
 * core/base/number.h - numbers in text, strictly: the whole text is one finite number, with no space around
 * it. */
#ifndef FSFM_CORE_BASE_NUMBER_H
#define FSFM_CORE_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Decimal digits with an optional minus. False, and *out untouched, for anything else or what int64_t cannot
 * hold. */
bool fsfm_number_int(const char *text, int64_t *out);
/* Decimal, with optional minus, point and exponent. False for infinities, hexadecimal and overflow. */
bool fsfm_number_real(const char *text, double *out);
/* The fewest significant digits that read back as the same double, a point before an exponent ("1.0e-06");
 * returns out. */
const char *fsfm_number_format(double value, char out[32]);

#ifdef __cplusplus
}
#endif
#endif
