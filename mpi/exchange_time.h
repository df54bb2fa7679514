/* SPDX-License-Identifier: Apache-2.0
 * mpi/exchange_time.h - how long the sum of gradients over ranks takes by the rates and latencies of its
 * links: a model, not a measurement. */
#ifndef FSFM_MPI_EXCHANGE_TIME_H
#define FSFM_MPI_EXCHANGE_TIME_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int ranks, ranks_per_node;                /* nodes are filled one after another */
    double bytes;                             /* of the gradients */
    double bucket_bytes;                      /* they travel in pieces of so many, one after another */
    double node_bytes_s;                      /* of a rank to others of its node, one way */
    double network_bytes_s;                   /* of a rank to other nodes, one way */
    double node_latency_s, network_latency_s; /* of a message */
} fsfm_exchange_setup;

typedef struct {
    int nodes;
    double buckets;
    double inside_s;  /* summed within nodes and handed back, by a ring */
    double between_s; /* summed between nodes, every rank its part: by a ring or a tree, what is faster */
    bool is_tree;
    double total_s;
} fsfm_exchange_time;

fsfm_exchange_time fsfm_exchange_time_model(const fsfm_exchange_setup *setup);
/* Bytes that each of n ranks sends in a ring of them: every byte twice, but for a part in n. */
double fsfm_exchange_ring_bytes(int n, double bytes);

/* What is left of the sum when backward is over. Gradients of all that comes behind the encoder are complete
 * when the encoder's backward begins, which takes backward_s; the encoder's own, late_share of all bytes,
 * become so evenly while it goes on. Buckets travel one after another, as they are complete. */
double fsfm_exchange_exposed_s(const fsfm_exchange_time *time, double backward_s, double late_share);

#ifdef __cplusplus
}
#endif
#endif
