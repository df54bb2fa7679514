/* SPDX-License-Identifier: Apache-2.0
 * mpi/environment.h - where the ranks run: hosts and processors. */
#ifndef FSFM_MPI_ENVIRONMENT_H
#define FSFM_MPI_ENVIRONMENT_H

#include "core/device/device.h"
#include "mpi/comm.h"

/* One rank. Plain data. */
typedef struct {
    char host[64];
    char device[96];
    char isa[32];
    char place[40];
    int threads;
} fsfm_rank_place;

/* Collective. Threads for this rank: its processors, shared with the ranks of the same host that may use the
 * very same ones; at least 1. */
FSFM_MUST_USE
fsfm_status fsfm_environment_threads(fsfm_comm *comm, int *threads, fsfm_error *err);
/* Collective. Whether there are fewer processors than threads, where each rank that may use the very same
 * processors as this one has as many threads. */
FSFM_MUST_USE
fsfm_status fsfm_environment_is_crowded(fsfm_comm *comm, int threads, bool *is_crowded, fsfm_error *err);
/* Collective. places (ranks), allocated; the caller frees it with free(). */
FSFM_MUST_USE
fsfm_status fsfm_environment_places(fsfm_comm *comm, const fsfm_device *dev, fsfm_rank_place **places,
                                    fsfm_error *err);
/* Bytes of memory that this process may use: the machine's, or the limit of its control groups. */
uint64_t fsfm_environment_memory_bytes(void);
/* Resident memory of this process: now, and the most so far. */
uint64_t fsfm_environment_rss_bytes(void);
uint64_t fsfm_environment_peak_rss_bytes(void);
#endif
