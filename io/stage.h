/* SPDX-License-Identifier: Apache-2.0
 * io/stage.h - data.stage: a copy of a dataset on a disk of the node's own. */
#ifndef FSFM_IO_STAGE_H
#define FSFM_IO_STAGE_H

#include <stddef.h>

#include "core/base/status.h"

/* Copies the dataset in folder to stage/dataset-CHECKSUM, once a node: the processes of a node may all call
 * this, one copies while the others wait. Every file is read back and compared, each shard also with
 * dataset.yaml. A copy that is there already is used again, an unfinished one is finished. out holds
 * size_bytes and gets the path of the copy. */
FSFM_MUST_USE
fsfm_status fsfm_stage_dataset(const char *folder, const char *stage, char *out, size_t size_bytes,
                               fsfm_error *err);
#endif
