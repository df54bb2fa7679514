/* SPDX-License-Identifier: Apache-2.0
 * mpi/node_sum.h - sums arrays over the ranks of one host through memory that they share.
 *
 * MPI libraries copy what travels between processes through small buffers, several times; here an array goes
 * through the processors' caches in pieces: each rank lays its own down, adds up its share of everybody's,
 * and takes the sum. */
#ifndef FSFM_MPI_NODE_SUM_H
#define FSFM_MPI_NODE_SUM_H

#include "mpi/comm.h"

typedef struct fsfm_node_sum fsfm_node_sum;
/* Collective, and all ranks return the same: FSFM_ERR_COMM where they are on several hosts, FSFM_ERR_MEMORY
 * where there is nothing that they can share: err names the lowest rank that failed, and its call. comm is
 * borrowed. The caller owns *out. */
FSFM_MUST_USE
fsfm_status fsfm_node_sum_open(fsfm_comm *comm, fsfm_node_sum **out, fsfm_error *err);
void fsfm_node_sum_close(fsfm_node_sum **sum); /* not collective; accepts NULL */
/* Collective. In place, values: (count) floats, added in the order of ranks: equal bits on all of them. */
void fsfm_node_sum_float(fsfm_node_sum *sum, float *values, int64_t count);
/* What is shared by so many ranks. */
uint64_t fsfm_node_sum_bytes(int ranks);

#endif
