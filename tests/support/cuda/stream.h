/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/stream.h - streams and events. Work runs when it is submitted (or, where other processes
 * have a part in it, as soon as they have done that), or, with FSFM_EMULATION_LAZY, some time before somebody
 * waits for it, in any order that streams and events allow. */
#ifndef FSFM_TESTS_EMULATED_STREAM_H
#define FSFM_TESTS_EMULATED_STREAM_H

#include <stdint.h>

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include <cuda_runtime_api.h>

namespace emulated
{

/* One record of an event: what waits for it keeps it. */
struct Mark {
    bool is_done = false;
    double time_ms = 0.0;
};

struct Work {
    std::function<void()> run;           /* or */
    std::shared_ptr<Mark> marks;         /* done when the stream comes here, or */
    std::shared_ptr<Mark> awaits;        /* the stream waits for it */
    std::function<bool()> is_ready = {}; /* run waits for it: for what other processes do */
};

struct Graph;

struct Stream {
    std::deque<Work> queue;
    int device;                /* of the thread that made it */
    bool is_blocking;          /* ordered with the default stream */
    bool is_destroyed = false; /* by its owner; ends when its work is done */
    Graph *capture = nullptr;  /* records what is submitted */
    int lane = 0;              /* in the capture */
};

struct Event {
    std::shared_ptr<Mark> last; /* NULL: never recorded */
    bool has_time = true;
    Graph *capture = nullptr; /* it was recorded in */
    int captured_mark = 0;
};

Stream *stream_create(int device, bool is_blocking);
/* The stream ends when its work is done. */
void stream_destroy(Stream *stream);
/* What a handle means; NULL for the default stream. Fails for one that is not a stream. */
Stream *stream_of(cudaStream_t handle);
Event *event_create();
void event_destroy(Event *event);
Event *event_of(cudaEvent_t handle);
/* Events that this capture recorded are as if never recorded. */
void events_forget(const Graph *graph);

/* Fails where the stream is another device's: kernels and libraries run on streams of the thread's own. */
void check_device(cudaStream_t handle, int device);
/* Appends to the stream, or to its capture. The default stream's work runs at once, after all blocking
 * streams'. */
void submit(cudaStream_t handle, std::function<void()> run, std::function<bool()> is_ready = {});
void enqueue(Stream *stream, Work work);

/* Runs work, of any stream, until what is named is done. */
void drain_stream(Stream *stream);
void drain_blocking_streams();
void drain_all();
void drain_until(const std::shared_ptr<Mark> &mark);
/* Lets some time pass: a little work may be done. */
void pass_time();
bool is_any_capturing();
/* Of all streams. */
void break_captures();

double now_ms();

} // namespace emulated
#endif
