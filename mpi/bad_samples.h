/* SPDX-License-Identifier: Apache-2.0
 * mpi/bad_samples.h - the distinct damaged samples of a run, the same list on all ranks. */
#ifndef FSFM_MPI_BAD_SAMPLES_H
#define FSFM_MPI_BAD_SAMPLES_H

#include "io/reader.h"
#include "mpi/comm.h"

typedef struct {
    int source;
    int64_t sample;
} fsfm_bad_key;

typedef struct {
    fsfm_bad_key *items; /* owned */
    int64_t count, room;
} fsfm_bad_samples;

void fsfm_bad_samples_free(fsfm_bad_samples *list);
/* Collective. Adds what the ranks met (found (count) is this rank's) and is not in the list yet, in order of
 * (source, sample); *added gets those, owned by the caller, on every rank. */
FSFM_MUST_USE
fsfm_status fsfm_bad_samples_merge(fsfm_bad_samples *list, fsfm_comm *comm, const fsfm_bad_sample *found,
                                   int64_t count, fsfm_bad_sample **added, int64_t *added_count,
                                   fsfm_error *err);
/* "0:17 0:394": the list as a checkpoint keeps it; an owned string. */
FSFM_MUST_USE
fsfm_status fsfm_bad_samples_write(const fsfm_bad_samples *list, char **text, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_bad_samples_parse(const char *text, fsfm_bad_samples *list, fsfm_error *err);
#endif
