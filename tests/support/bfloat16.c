/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/bfloat16.h"

#include <math.h>
#include <string.h>

double bf16_step(double x)
{
    int exponent; /* |x| < 2^exponent */
    frexp(x, &exponent);
    return ldexp(1.0, (exponent < -125 ? -125 : exponent) - 8);
}

double bf16_nearest(double x)
{
    const double beyond = 0x1.ffp127; /* half a step behind the largest, 0x1.fep127 */
    if (fabs(x) >= beyond) return copysign(INFINITY, x);
    return isfinite(x) ? nearbyint(x / bf16_step(x)) * bf16_step(x) : x;
}

double bf16_below(double x)
{
    return floor(x / bf16_step(x)) * bf16_step(x);
}

double bf16_above(double x)
{
    return -bf16_below(-x);
}

uint16_t bf16_bits(double x)
{
    const float rounded = (float)bf16_nearest(x);
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    return (uint16_t)(bits >> 16);
}

double bf16_value(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return (double)value;
}
