// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/api_stream.cu - streams, events and graphs.
#include <stdio.h>

#include <memory>

#include "api.h"
#include "graph.h"
#include "memory.h"
#include "stream.h"
#include "submit.h"

using namespace emulated;

// The host waits for what is under way.
static void note_wait(const char *how)
{
    if (settings().waits == nullptr) return;
    FILE *file = fopen(settings().waits, "a");
    if (file == nullptr) fail("%s cannot be written", settings().waits);
    fprintf(file, "%s\n", how);
    fclose(file);
}

static void note_use()
{
    if (settings().used == nullptr) return;
    FILE *file = fopen(settings().used, "a");
    if (file == nullptr) fail("%s cannot be written", settings().used);
    fprintf(file, "%d\n", current_gpu());
    fclose(file);
}

static bool is_capturing(const Stream *stream)
{
    return stream != nullptr && stream->capture != nullptr;
}

static Graph *graph_of(cudaGraph_t graph)
{
    return reinterpret_cast<Graph *>(graph);
}

static Graph *graph_of(cudaGraphExec_t graph)
{
    return reinterpret_cast<Graph *>(graph);
}

static std::shared_ptr<std::vector<char>> copy_of(const void *context, size_t bytes)
{
    const char *first = static_cast<const char *>(context);
    return std::make_shared<std::vector<char>>(first, first + bytes);
}

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags)
{
    const Entry entry;
    note_use();
    *stream =
        reinterpret_cast<cudaStream_t>(stream_create(current_device(), (flags & cudaStreamNonBlocking) == 0));
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    const Entry entry;
    if (stream == nullptr) return give(cudaErrorInvalidResourceHandle);
    stream_destroy(stream_of(stream));
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle)
{
    const Entry entry;
    Stream *stream = stream_of(handle);
    if (is_any_capturing()) return give(cudaErrorStreamCaptureUnsupported);
    note_wait("stream");
    if (stream == nullptr)
        drain_blocking_streams();
    else
        drain_stream(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t handle)
{
    const Entry entry;
    Stream *stream = stream_of(handle);
    if (is_any_capturing()) return give(cudaErrorStreamCaptureUnsupported);
    pass_time();
    return stream == nullptr || stream->queue.empty() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaDeviceSynchronize(void)
{
    const Entry entry;
    if (is_any_capturing()) return give(cudaErrorStreamCaptureUnsupported);
    note_wait("device");
    drain_all();
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned int)
{
    const Entry entry;
    Stream *stream = stream_of(handle);
    const Event *event = event_of(event_handle);
    if (event->capture != nullptr) {
        if (stream == nullptr) return give(cudaErrorStreamCaptureImplicit);
        graph_wait(stream, event);
    } else if (is_capturing(stream)) {
        return give(cudaErrorStreamCaptureIsolation);
    } else if (event->last != nullptr) {
        if (stream == nullptr)
            drain_until(event->last);
        else
            enqueue(stream, Work{nullptr, nullptr, event->last});
    }
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags)
{
    const Entry entry;
    Event *created = event_create();
    created->has_time = (flags & cudaEventDisableTiming) == 0;
    *event = reinterpret_cast<cudaEvent_t>(created);
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    const Entry entry;
    event_destroy(event_of(event));
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event_handle, cudaStream_t handle)
{
    const Entry entry;
    Event *event = event_of(event_handle);
    Stream *stream = stream_of(handle);
    if (is_capturing(stream)) {
        graph_record(stream, event);
        return cudaSuccess;
    }
    event->capture = nullptr;
    event->last = std::make_shared<Mark>();
    if (stream != nullptr) {
        enqueue(stream, Work{nullptr, event->last, nullptr});
        return cudaSuccess;
    }
    drain_blocking_streams();
    event->last->is_done = true;
    event->last->time_ms = now_ms();
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle)
{
    const Entry entry;
    const Event *event = event_of(handle);
    if (event->capture != nullptr) return give(cudaErrorCapturedEvent);
    if (is_any_capturing()) return give(cudaErrorStreamCaptureUnsupported);
    if (event->last == nullptr) return cudaSuccess;
    note_wait("event");
    drain_until(event->last);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t handle)
{
    const Entry entry;
    const Event *event = event_of(handle);
    if (event->capture != nullptr) return give(cudaErrorCapturedEvent);
    if (is_any_capturing()) return give(cudaErrorStreamCaptureUnsupported);
    pass_time();
    return event->last == nullptr || event->last->is_done ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start_handle, cudaEvent_t end_handle)
{
    const Entry entry;
    const Event *start = event_of(start_handle), *end = event_of(end_handle);
    if (!start->has_time || !end->has_time || start->last == nullptr || end->last == nullptr)
        return give(cudaErrorInvalidResourceHandle);
    if (!start->last->is_done || !end->last->is_done) return cudaErrorNotReady;
    *ms = (float)(end->last->time_ms - start->last->time_ms);
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, enum cudaStreamCaptureMode)
{
    const Entry entry;
    Stream *stream = stream_of(handle);
    if (stream == nullptr || is_capturing(stream)) return give(cudaErrorStreamCaptureUnsupported);
    graph_begin(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    const Entry entry;
    *status = is_capturing(stream_of(stream)) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph)
{
    const Entry entry;
    Stream *stream = stream_of(handle);
    *graph = nullptr;
    if (!is_capturing(stream)) return give(cudaErrorIllegalState);
    if (stream->lane != 0) return give(cudaErrorStreamCaptureUnmatched);
    Graph *captured = stream->capture;
    const bool is_broken = captured->is_broken || settings().has_no_graphs,
               is_whole = graph_is_joined(captured);
    graph_end(captured);
    if (is_broken || !is_whole) {
        delete captured;
        return give(is_broken ? cudaErrorStreamCaptureInvalidated : cudaErrorStreamCaptureUnjoined);
    }
    *graph = reinterpret_cast<cudaGraph_t>(captured);
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long)
{
    const Entry entry;
    *executable = reinterpret_cast<cudaGraphExec_t>(new Graph(*graph_of(graph)));
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle)
{
    const Entry entry;
    Stream *stream = stream_of(handle);
    if (stream == nullptr || is_capturing(stream)) return give(cudaErrorStreamCaptureUnsupported);
    graph_run(graph_of(executable), stream);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable)
{
    const Entry entry;
    delete graph_of(executable);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    const Entry entry;
    delete graph_of(graph);
    return cudaSuccess;
}

void emulated_submit(cudaStream_t stream, void (*work)(void *), void *context, size_t context_bytes)
{
    const Entry entry;
    const auto copied = copy_of(context, context_bytes);
    check_device(stream, current_device());
    submit(stream, [=] {
        const DeviceAccess access;
        work(copied->data());
    });
}

void emulated_submit_when(cudaStream_t stream, bool (*is_ready)(const void *), void (*work)(void *),
                          void *context, size_t context_bytes)
{
    const Entry entry;
    const auto copied = copy_of(context, context_bytes);
    check_device(stream, current_device());
    submit(
        stream,
        [=] {
            const DeviceAccess access;
            work(copied->data());
        },
        [=] { return is_ready(copied->data()); });
}

} // extern "C"
