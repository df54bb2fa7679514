/* SPDX-License-Identifier: Apache-2.0
 * mpi/checkpoint_folder.h - the names in RUN/checkpoints/: step-00000020.h5, latest, best, and which files
 * go. */
#ifndef FSFM_MPI_CHECKPOINT_FOLDER_H
#define FSFM_MPI_CHECKPOINT_FOLDER_H

#include <stdint.h>

#include "core/base/status.h"

void fsfm_checkpoint_file_name(char out[32], int64_t step);
/* Steps of the files there, the one that `latest` names first, the others from the newest down; an owned
 * array. */
FSFM_MUST_USE
fsfm_status fsfm_checkpoint_folder_list(const char *folder, int64_t **steps, int64_t *count, fsfm_error *err);
/* After step was written: keeps it and those before it up to keep_last files, multiples of keep_every (0:
 * none) and best; removes others, and those of later steps, which the run that is going on has not come to
 * yet. */
void fsfm_checkpoint_folder_retain(const char *folder, int64_t step, int64_t best, int64_t keep_last,
                                   int64_t keep_every);
/* Removes temporary files that a killed run has left. */
void fsfm_checkpoint_folder_clean(const char *folder);
#endif
