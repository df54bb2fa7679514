/* SPDX-License-Identifier: Apache-2.0
 * jobs/submit/batch.h - batch scripts and sbatch. */
#ifndef FSFM_JOBS_SUBMIT_BATCH_H
#define FSFM_JOBS_SUBMIT_BATCH_H

#include <stdio.h>

#include "core/base/status.h"

/* As one word of a shell. */
void fsfm_batch_put_quoted(FILE *stream, const char *word);
/* The job that sbatch makes of a script: 17, or 17;cluster. What else sbatch prints (plugins of a site do) is
 * shown on stderr. instead: what one may do where there is no sbatch. */
FSFM_MUST_USE
fsfm_status fsfm_batch_submit(const char *script, const char *instead, char answer[256], fsfm_error *err);
/* The script in jobs/slurm/pretrain.sbatch, which the build puts into the program. */
extern const char fsfm_pretrain_script[];
#endif
