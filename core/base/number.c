/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool fsfm_number_int(const char *text, int64_t *out)
{
    const char *c = text + (*text == '-');
    if (!is_digit(*c)) return false;
    while (is_digit(*c)) c++;
    if (*c) return false;
    errno = 0;
    const long long value = strtoll(text, NULL, 10);
    if (errno) return false;
    *out = value;
    return true;
}

bool fsfm_number_real(const char *text, double *out)
{
    /* strtod also takes spaces, hexadecimal, "inf" and "nan": only these letters can be in a decimal number.
     */
    if (!*text || text[strspn(text, "0123456789.eE+-")] || *text == '+') return false;
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value)) return false;
    *out = value;
    return true;
}

const char *fsfm_number_format(double value, char out[32])
{
    if (isfinite(value) && fabs(value) < 1e15 && value == floor(value)) {
        snprintf(out, 32, "%.0f", value); /* 1000000, not 1e+06 */
        return out;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, value);
        if (strtod(out, NULL) == value) break;
    }
    char *exponent = strchr(out, 'e');
    if (exponent && !strchr(out, '.')) { /* readers of YAML 1.1 take 1e-06 for text, 1.0e-06 for a number */
        memmove(exponent + 2, exponent, strlen(exponent) + 1);
        memcpy(exponent, ".0", 2);
    }
    return out;
}
