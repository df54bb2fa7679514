/* SPDX-License-Identifier: Apache-2.0
 * jobs/machine/machine_find.h - where the descriptions of machines lie: configs/machines/ beside the program,
 * in the tree (build/fsfm) or installed (bin/fsfm and share/fsfm/configs). */
#ifndef FSFM_JOBS_MACHINE_MACHINE_FIND_H
#define FSFM_JOBS_MACHINE_MACHINE_FIND_H

#include <stddef.h>

#include "core/base/status.h"

/* The path of NAME.yaml there, whether the file exists or not; from the present folder if there is no such
 * folder. */
FSFM_MUST_USE
fsfm_status fsfm_machine_path(const char *name, char *out, size_t size_bytes, fsfm_error *err);
#endif
