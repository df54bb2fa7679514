/* SPDX-License-Identifier: Apache-2.0
 * mpi/shared_folder.h - whether all ranks see one folder under a path. Rank 0 alone writes to a run directory
 * and reads it; but the next time it may be on another host, and would begin anew in an empty folder there.
 */
#ifndef FSFM_MPI_SHARED_FOLDER_H
#define FSFM_MPI_SHARED_FOLDER_H

#include "mpi/comm.h"

/* Collective. Rank 0 writes a file into folder, which exists there; all others have to find it with what it
 * holds within timeout_s, as file systems over a network show a change late. The file is gone afterwards.
 * Fails with FSFM_ERR_IO, naming the host of the lowest rank that does not see it. */
FSFM_MUST_USE
fsfm_status fsfm_shared_folder_check(fsfm_comm *comm, const char *folder, double timeout_s, fsfm_error *err);
#endif
