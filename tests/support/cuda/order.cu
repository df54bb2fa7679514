// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/order.cu - which of the threads that can go on has the next turn.
#include "machine.h"

namespace emulated
{

// Chances of 1 in this many turns that a warp gets another priority.
static constexpr uint32_t turns_per_change = 512;

static uint16_t queue[2 * most_threads]; // a ring
static uint32_t head, tail;

static uint32_t ready_lanes[most_warps]; // for pct
static uint32_t priority[most_warps];

static uint16_t &at(uint32_t place)
{
    return queue[place % (2 * most_threads)];
}

void ready_clear()
{
    head = tail = 0;
    if (settings().order != Order::pct) return;
    for (int w = 0; w < most_warps; w++) {
        ready_lanes[w] = 0;
        priority[w] = random_below(UINT32_MAX);
    }
}

bool ready_is_empty()
{
    return head == tail;
}

void ready_push(int thread)
{
    at(tail++) = (uint16_t)thread;
    if (settings().order == Order::pct) ready_lanes[thread / warp_threads] |= 1u << thread % warp_threads;
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
    head++; // the ring only counts here
    return best * warp_threads + lane;
}

int ready_pop()
{
    switch (settings().order) {
    case Order::fifo: break;
    case Order::lifo: return at(--tail);
    case Order::random: std::swap(at(head), at(head + random_below(tail - head))); break;
    case Order::pct: return pop_by_priority();
    }
    return at(head++);
}

} // namespace emulated
