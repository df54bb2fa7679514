// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/graph.cu - captured work; see graph.h.
#include "graph.h"

#include <algorithm>

#include "settings.h"

namespace emulated
{

Graph *graph_begin(Stream *stream)
{
    Graph *graph = new Graph;
    graph->streams.push_back(stream);
    stream->capture = graph;
    stream->lane = 0;
    return graph;
}

void graph_append(Stream *stream, Work work)
{
    stream->capture->nodes.push_back(
        Node{stream->lane, std::move(work.run), -1, -1, std::move(work.is_ready)});
}

void graph_record(Stream *stream, Event *event)
{
    Graph *graph = stream->capture;
    event->capture = graph;
    event->captured_mark = graph->marks++;
    graph->nodes.push_back(Node{stream->lane, nullptr, event->captured_mark, -1});
}

void graph_wait(Stream *stream, const Event *event)
{
    Graph *graph = event->capture;
    if (stream->capture == nullptr) {
        stream->capture = graph;
        stream->lane = (int)graph->streams.size();
        graph->streams.push_back(stream);
    } else if (stream->capture != graph) {
        fail("a stream of one capture waits for an event of another");
    }
    graph->nodes.push_back(Node{stream->lane, nullptr, -1, event->captured_mark});
}

// What each lane has done that lane 0 knows of: walk back from the end through the marks that are awaited.
bool graph_is_joined(const Graph *graph)
{
    std::vector<bool> is_known(graph->streams.size()), is_mark_known((size_t)graph->marks);
    is_known[0] = true;
    for (auto node = graph->nodes.rbegin(); node != graph->nodes.rend(); ++node) {
        const size_t lane = (size_t)node->lane;
        if (node->marks >= 0 && is_mark_known[(size_t)node->marks]) is_known[lane] = true;
        if (node->run && !is_known[lane]) return false;
        if (node->awaits >= 0 && is_known[lane]) is_mark_known[(size_t)node->awaits] = true;
    }
    return true;
}

void graph_end(Graph *graph)
{
    for (Stream *stream : graph->streams) stream->capture = nullptr;
    graph->streams.clear();
    events_forget(graph);
}

void graph_run(const Graph *graph, Stream *stream)
{
    std::vector<Stream *> lanes(1, stream);
    std::vector<std::shared_ptr<Mark>> marks((size_t)graph->marks);
    for (auto &mark : marks) mark = std::make_shared<Mark>();
    for (const Node &node : graph->nodes) {
        while ((size_t)node.lane >= lanes.size()) lanes.push_back(stream_create(stream->device, false));
        enqueue(lanes[(size_t)node.lane],
                Work{node.run, node.marks < 0 ? nullptr : marks[(size_t)node.marks],
                     node.awaits < 0 ? nullptr : marks[(size_t)node.awaits], node.is_ready});
    }
    for (size_t lane = 1; lane < lanes.size(); lane++) stream_destroy(lanes[lane]);
}

} // namespace emulated
