/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fsfm_status fsfm_fail(fsfm_error *err, fsfm_status status, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->status = status;
        vsnprintf(err->message, sizeof err->message, fmt, args);
        va_end(args);
    }
    return status;
}

fsfm_status fsfm_context(fsfm_error *err, const char *fmt, ...)
{
    char prefix[sizeof err->message], old[sizeof err->message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(prefix, sizeof prefix, fmt, args);
    va_end(args);
    memcpy(old, err->message, sizeof old);
    const size_t used = strnlen(prefix, sizeof prefix);
    memcpy(err->message, prefix, used);
    snprintf(err->message + used, sizeof err->message - used, ": %s", old);
    return err->status;
}

void fsfm_assert_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "fsfm: %s:%d: bug: %s does not hold\n", file, line, condition);
    abort();
}
