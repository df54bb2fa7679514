// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/order.cu - which of the threads that can go on has the next turn.
#include "order.h"

namespace emulated
{

// Chances of 1 in this many turns that a warp gets another priority.
static constexpr uint32_t turns_per_change = 512;

Ready ready;

static uint32_t ready_lanes[most_warps]; // for pct
static uint32_t priority[most_warps];

void ready_clear()
{
    ready.head = ready.tail = 0;
    ready.order = settings().order;
    if (ready.order != Order::pct) return;
    for (int w = 0; w < most_warps; w++) {
        ready_lanes[w] = 0;
        priority[w] = random_below(UINT32_MAX);
    }
}

void ready_note(int thread)
{
    ready_lanes[thread / warp_threads] |= 1u << thread % warp_threads;
}

// The lowest ready lane of the ready warp of highest priority.
static int pop_by_priority()
{
    int best = -1;
    for (int w = 0; w < most_warps; w++)
        if (ready_lanes[w] != 0 && (best < 0 || priority[w] > priority[best])) best = w;
    const int lane = __builtin_ctz(ready_lanes[best]);
    ready_lanes[best] &= ready_lanes[best] - 1;
    if (random_below(turns_per_change) == 0) priority[best] = random_below(UINT32_MAX);
    ready.head++; // the ring only counts here
    return best * warp_threads + lane;
}

int ready_choose()
{
    switch (ready.order) {
    case Order::fifo: break;
    case Order::lifo: return ready.at(--ready.tail);
    case Order::random:
        std::swap(ready.at(ready.head), ready.at(ready.head + random_below(ready.tail - ready.head)));
        break;
    case Order::pct: return pop_by_priority();
    }
    return ready.at(ready.head++);
}

} // namespace emulated
