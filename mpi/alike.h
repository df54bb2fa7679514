/* SPDX-License-Identifier: Apache-2.0
 * mpi/alike.h - what must be the same on every rank before they compute together: the program, the
 * configuration, the dataset. */
#ifndef FSFM_MPI_ALIKE_H
#define FSFM_MPI_ALIKE_H

#include "mpi/comm.h"

/* Collective. FSFM_OK where text is the same on all ranks. Else all ranks fail with status, and the message
 * names what, the ranks and hosts that differ from most of the others (from rank 0, where there is no most),
 * and the first line that differs, as they and as the others have it. A line that is indented is told with
 * the last one before it that is not: a key with its section. */
FSFM_MUST_USE
fsfm_status fsfm_alike_text(fsfm_comm *comm, fsfm_status status, const char *what, const char *text,
                            fsfm_error *err);
/* Collective. The same of the bytes of a file that each rank finds under a path of its own: a program, a
 * library. They differ where the file cannot be read on one of them, too. */
FSFM_MUST_USE
fsfm_status fsfm_alike_file(fsfm_comm *comm, fsfm_status status, const char *what, const char *path,
                            fsfm_error *err);
#endif
