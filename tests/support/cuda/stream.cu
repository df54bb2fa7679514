// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/stream.cu - queues of work; see stream.h.
#include "stream.h"

#include <time.h>

#include <algorithm>

#include "graph.h"
#include "memory.h"
#include "settings.h"

namespace emulated
{

static std::vector<std::unique_ptr<Stream>> streams;

double now_ms()
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

Stream *stream_create(int device, bool is_blocking)
{
    streams.push_back(std::make_unique<Stream>());
    streams.back()->device = device;
    streams.back()->is_blocking = is_blocking;
    return streams.back().get();
}

Stream *stream_of(cudaStream_t handle)
{
    if (handle == nullptr || handle == cudaStreamLegacy) return nullptr;
    for (const auto &stream : streams)
        if (reinterpret_cast<cudaStream_t>(stream.get()) == handle && !stream->is_destroyed)
            return stream.get();
    fail("%p is not a stream", (void *)handle);
}

void check_device(cudaStream_t handle, int device)
{
    const Stream *stream = stream_of(handle);
    if (stream != nullptr && stream->device != device)
        fail("a stream of device %d, while device %d is the thread's", stream->device, device);
}

static bool can_go_on(const Stream &stream)
{
    if (stream.queue.empty()) return false;
    const Work &first = stream.queue.front();
    return (first.awaits == nullptr || first.awaits->is_done) && (!first.is_ready || first.is_ready());
}

// Whether another process may end the wait.
static bool is_waiting_for_others()
{
    return std::any_of(streams.begin(), streams.end(),
                       [](const auto &s) { return !s->queue.empty() && s->queue.front().is_ready; });
}

static void perform(const Work &work)
{
    if (work.run) work.run();
    if (work.marks != nullptr) {
        work.marks->is_done = true;
        work.marks->time_ms = now_ms();
    }
}

static void perform_first(Stream *stream)
{
    const Work work = std::move(stream->queue.front());
    stream->queue.pop_front();
    perform(work);
}

static void forget_destroyed()
{
    const auto is_over = [](const std::unique_ptr<Stream> &s) { return s->is_destroyed && s->queue.empty(); };
    streams.erase(std::remove_if(streams.begin(), streams.end(), is_over), streams.end());
}

void stream_destroy(Stream *stream)
{
    stream->is_destroyed = true;
    forget_destroyed();
}

bool is_any_capturing()
{
    return std::any_of(streams.begin(), streams.end(), [](const auto &s) { return s->capture != nullptr; });
}

void break_captures()
{
    for (const auto &stream : streams)
        if (stream->capture != nullptr) stream->capture->is_broken = true;
}

// One piece of work of a stream chosen at random. False where no stream can go on.
static bool advance()
{
    std::vector<Stream *> ready;
    for (const auto &stream : streams)
        if (can_go_on(*stream)) ready.push_back(stream.get());
    if (ready.empty()) return false;
    perform_first(ready[random_below((uint32_t)ready.size())]);
    forget_destroyed();
    return true;
}

// All that can be done.
static void advance_all()
{
    for (bool has_moved = true; has_moved;) {
        has_moved = false;
        for (size_t i = 0; i < streams.size(); i++)
            for (; can_go_on(*streams[i]); has_moved = true) perform_first(streams[i].get());
    }
    forget_destroyed();
}

void pass_time()
{
    if (!settings().is_lazy)
        advance_all();
    else if (random_below(2) == 0)
        for (uint32_t left = random_below(4); left > 0 && advance(); left--) continue;
}

// Two kernels of one drain are not worth protecting the memory between them.
template <class IsDone> static void drain(IsDone is_done)
{
    if (is_done()) return;
    const DeviceAccess access;
    while (!is_done()) {
        if (advance()) continue;
        if (!is_waiting_for_others()) fail("streams wait for each other");
        const struct timespec a_moment = {0, 50000};
        nanosleep(&a_moment, nullptr);
    }
}

void drain_stream(Stream *stream)
{
    drain([=] { return stream->queue.empty(); });
}

void drain_blocking_streams()
{
    drain([] {
        return std::all_of(streams.begin(), streams.end(),
                           [](const auto &stream) { return !stream->is_blocking || stream->queue.empty(); });
    });
}

void drain_all()
{
    drain([] {
        return std::all_of(streams.begin(), streams.end(), [](const auto &s) { return s->queue.empty(); });
    });
}

void drain_until(const std::shared_ptr<Mark> &mark)
{
    drain([&] { return mark->is_done; });
}

void enqueue(Stream *stream, Work work)
{
    stream->queue.push_back(std::move(work));
    pass_time();
}

void submit(cudaStream_t handle, std::function<void()> run, std::function<bool()> is_ready)
{
    Stream *stream = stream_of(handle);
    if (stream == nullptr) {
        if (is_ready) fail("the default stream waits for other processes");
        drain_blocking_streams();
        run();
        return;
    }
    Work work = {std::move(run), nullptr, nullptr, std::move(is_ready)};
    if (stream->capture != nullptr)
        graph_append(stream, std::move(work));
    else
        enqueue(stream, std::move(work));
}

} // namespace emulated
