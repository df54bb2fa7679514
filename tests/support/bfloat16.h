/* SPDX-License-Identifier: Apache-2.0
 * tests/support/bfloat16.h - bfloat16 (8 significant bits, the exponents of float) on real numbers. */
#ifndef FSFM_TESTS_SUPPORT_BFLOAT16_H
#define FSFM_TESTS_SUPPORT_BFLOAT16_H

#include <stdint.h>

/* Rounding moves a number by at most this much of itself. */
#define BF16_ROUNDING 0x1p-8

/* From one number of x's size to the next. */
double bf16_step(double x);
/* The nearest bfloat16, ties to even; infinite beyond the largest. */
double bf16_nearest(double x);
/* The largest that is not above x, the smallest that is not below. */
double bf16_below(double x);
double bf16_above(double x);

uint16_t bf16_bits(double x); /* of the nearest */
double bf16_value(uint16_t bits);
#endif
