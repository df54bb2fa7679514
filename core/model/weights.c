/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/weights.h"

#include <stdarg.h>
#include <stdio.h>

static fsfm_weight look_up(const fsfm_weights *weights, const char *name)
{
    const int i = fsfm_parameters_find(weights->list, name);
    FSFM_ASSERT(i >= 0);
    const int64_t offset = weights->list->items[i].offset;
    return (fsfm_weight){weights->values ? weights->values + offset : NULL,
                         weights->grads ? weights->grads + offset : NULL, offset};
}

fsfm_weight fsfm_weights_get(const fsfm_weights *weights, const char *fmt, ...)
{
    char name[FSFM_PARAMETER_NAME_SIZE];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    return look_up(weights, name);
}

fsfm_weight_pair fsfm_weights_pair(const fsfm_weights *weights, const char *fmt, ...)
{
    char name[FSFM_PARAMETER_NAME_SIZE], full[FSFM_PARAMETER_NAME_SIZE + 8];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    fsfm_weight_pair pair;
    snprintf(full, sizeof full, "%s.weight", name);
    pair.weight = look_up(weights, full);
    snprintf(full, sizeof full, "%s.bias", name);
    pair.bias = look_up(weights, full);
    return pair;
}
