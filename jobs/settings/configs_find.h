/* SPDX-License-Identifier: Apache-2.0
 * jobs/settings/configs_find.h - where the files of configs/ lie: beside the program, in the tree
 * (build/fsfm) or installed (bin/fsfm and share/fsfm/configs), wherever that was moved to. */
#ifndef FSFM_JOBS_SETTINGS_CONFIGS_FIND_H
#define FSFM_JOBS_SETTINGS_CONFIGS_FIND_H

#include <stddef.h>

#include "core/base/status.h"

/* The path of NAME.yaml in a folder of configs ("machines"; "" for configs itself), whether the file exists
 * or not; from the present folder if there is no configs beside the program. */
FSFM_MUST_USE
fsfm_status fsfm_configs_path(const char *folder, const char *name, char *out, size_t size_bytes,
                              fsfm_error *err);
#endif
