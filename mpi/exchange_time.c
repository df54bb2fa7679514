/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/exchange_time.h"

#include <math.h>

/* A ring of n sends every byte twice, but for a part in n. */
static double ring_bytes(int n, double bytes)
{
    return n > 1 ? 2.0 * (n - 1) / n * bytes : 0.0;
}

fsfm_exchange_time fsfm_exchange_time_model(const fsfm_exchange_setup *setup)
{
    const int local = setup->ranks < setup->ranks_per_node ? setup->ranks : setup->ranks_per_node;
    fsfm_exchange_time t = {.nodes = (setup->ranks + setup->ranks_per_node - 1) / setup->ranks_per_node};
    t.inside_s = ring_bytes(local, setup->bytes) / setup->node_bytes_s;
    t.between_s = ring_bytes(t.nodes, setup->bytes / local) / setup->network_bytes_s;
    t.total_s = t.inside_s + t.between_s;
    return t;
}

double fsfm_exchange_exposed_s(double total_s, double backward_s, double share)
{
    return fmax(total_s - backward_s, fmin(share, 1.0) * total_s);
}
