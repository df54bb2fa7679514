/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/graph.h - what streams record instead of running it, to be run any number of times. */
#ifndef FSFM_TESTS_EMULATED_GRAPH_H
#define FSFM_TESTS_EMULATED_GRAPH_H

#include <functional>
#include <vector>

#include "stream.h"

namespace emulated
{

/* A lane is one of the streams that took part; marks have numbers. */
struct Node {
    int lane;
    std::function<void()> run; /* or */
    int marks, awaits;         /* number of a mark, -1: none */
    std::function<bool()> is_ready = {};
};

struct Graph {
    std::vector<Node> nodes;       /* in an order in which they can run */
    std::vector<Stream *> streams; /* by lane, while captured; the first one began */
    int marks = 0;
    bool is_broken = false; /* by a call that no capture allows: what follows is recorded for nothing */
};

void graph_append(Stream *stream, Work work);
void graph_record(Stream *stream, Event *event);
/* stream waits for event, which a capture has recorded: it takes part from here. */
void graph_wait(Stream *stream, const Event *event);
Graph *graph_begin(Stream *stream);
/* Whether the first stream waits, at last, for all that others recorded. */
bool graph_is_joined(const Graph *graph);
void graph_end(Graph *graph);
void graph_run(const Graph *graph, Stream *stream);

} // namespace emulated
#endif
