// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/event.cu - the events that exist.
#include <algorithm>

#include "settings.h"
#include "stream.h"

namespace emulated
{

static std::vector<std::unique_ptr<Event>> events;

Event *event_create()
{
    events.push_back(std::make_unique<Event>());
    return events.back().get();
}

void event_destroy(Event *event)
{
    events.erase(std::find_if(events.begin(), events.end(), [=](const auto &e) { return e.get() == event; }));
}

Event *event_of(cudaEvent_t handle)
{
    for (const auto &event : events)
        if (reinterpret_cast<cudaEvent_t>(event.get()) == handle) return event.get();
    fail("%p is not an event", (void *)handle);
}

void events_forget(const Graph *graph)
{
    for (const auto &event : events)
        if (event->capture == graph) *event = Event{nullptr, event->has_time, nullptr, 0};
}

} // namespace emulated
