/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/exchange_time.h"

#include <math.h>

double fsfm_exchange_ring_bytes(int n, double bytes)
{
    return n > 1 ? 2.0 * (n - 1) / n * bytes : 0.0;
}

/* Each bucket takes a message for every step of the way, there and back. */
static double ring_s(int n, double bytes, double bytes_s, double latency_s, double buckets)
{
    return buckets * 2.0 * (n - 1) * latency_s + fsfm_exchange_ring_bytes(n, bytes) / bytes_s;
}

/* Two trees, each with half of the bytes, in which the leaves of one are the inner ranks of the other: a rank
 * sends every byte once up and once down. */
static double tree_s(int n, double bytes, double bytes_s, double latency_s, double buckets)
{
    return buckets * 2.0 * ceil(log2(n)) * latency_s + 2.0 * bytes / bytes_s;
}

fsfm_exchange_time fsfm_exchange_time_model(const fsfm_exchange_setup *s)
{
    const int local = s->ranks < s->ranks_per_node ? s->ranks : s->ranks_per_node;
    fsfm_exchange_time t = {.nodes = (s->ranks + s->ranks_per_node - 1) / s->ranks_per_node};
    t.buckets = fmax(1.0, ceil(s->bytes / s->bucket_bytes));
    t.inside_s = ring_s(local, s->bytes, s->node_bytes_s, s->node_latency_s, t.buckets);
    if (t.nodes > 1) {
        const double part = s->bytes / local;
        const double ring = ring_s(t.nodes, part, s->network_bytes_s, s->network_latency_s, t.buckets);
        const double tree = tree_s(t.nodes, part, s->network_bytes_s, s->network_latency_s, t.buckets);
        t.is_tree = tree < ring;
        t.between_s = fmin(ring, tree);
    }
    t.total_s = t.inside_s + t.between_s;
    return t;
}

/* The last bucket to be waited for is the first of those that come late, the last of them, or one that was
 * there from the start. */
double fsfm_exchange_exposed_s(const fsfm_exchange_time *time, double backward_s, double late_share)
{
    const double bucket_s = time->total_s / time->buckets, late = fmax(1.0, late_share * time->buckets);
    const double from_first = backward_s / late + late * bucket_s, from_last = backward_s + bucket_s;
    return fmax(time->total_s, fmax(from_first, from_last)) - backward_s;
}
