/* SPDX-License-Identifier: Apache-2.0
 * jobs/pack/label_scheme.h - what the values of a label map mean, as LaPa-11 labels. */
#ifndef FSFM_JOBS_LABEL_SCHEME_H
#define FSFM_JOBS_LABEL_SCHEME_H

#include <stdint.h>

#include "core/base/status.h"

enum { FSFM_LABEL_OUTSIDE = 255 };

typedef struct {
    char name[64];
    uint8_t to_lapa[256]; /* FSFM_LABEL_OUTSIDE: the scheme has no such value */
} fsfm_label_scheme;

/* name_or_file: lapa11, celebamaskhq19, or a YAML file {name: x, map: {VALUE: LABEL, ...}}, LABEL a LaPa-11
 * number or name
 * ("skin", "left_brow", ...; fsfm_lapa_label_name()). */
FSFM_MUST_USE
fsfm_status fsfm_label_scheme_load(const char *name_or_file, fsfm_label_scheme *out, fsfm_error *err);
/* "background", "skin", ... for 0 to 10; NULL otherwise. */
const char *fsfm_lapa_label_name(int label);
/* Replaces values by LaPa-11 labels in place. Returns the position of the first value outside the scheme
 * (values before it are replaced already), or -1. */
int64_t fsfm_label_scheme_apply(const fsfm_label_scheme *scheme, uint8_t *map, int64_t count);
#endif
