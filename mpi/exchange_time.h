/* SPDX-License-Identifier: Apache-2.0
 * mpi/exchange_time.h - how long the sum of gradients over ranks takes by the rates of its links: a model,
 * not a measurement. */
#ifndef FSFM_MPI_EXCHANGE_TIME_H
#define FSFM_MPI_EXCHANGE_TIME_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int ranks, ranks_per_node; /* nodes are filled one after another */
    double bytes;              /* of the gradients */
    double node_bytes_s;       /* of a rank to others of its node, one way */
    double network_bytes_s;    /* of a rank to other nodes, one way */
} fsfm_exchange_setup;

typedef struct {
    int nodes;
    double inside_s;  /* summed within nodes and handed back */
    double between_s; /* summed between nodes, every rank its part */
    double total_s;
} fsfm_exchange_time;

fsfm_exchange_time fsfm_exchange_time_model(const fsfm_exchange_setup *setup);
/* What backward does not hide: buckets travel while it goes on, but for the last one. share: the last
 * bucket's of all bytes. */
double fsfm_exchange_exposed_s(double total_s, double backward_s, double share);

#ifdef __cplusplus
}
#endif
#endif
