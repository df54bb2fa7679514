// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/block.cu - the threads of a block take turns until all have returned.
#include <string.h>

#include "machine.h"
#include "observer.h"
#include "order.h"
#include "poison.h"

namespace emulated
{

Block block;
View view;
Observer observer;

// A thread that never waits needs no fiber of its own: the next one starts where it ended.
static Fiber host;

static void take_turn(Thread *thread)
{
    block.thread = thread;
    view.thread = thread->index;
}

static void check_barrier_of_returned()
{
    if (block.at_barrier == 0) return;
    for (int i = 0; i < block.count; i++) {
        const Thread &other = block.threads[i];
        if (other.state == State::at_barrier)
            fail("this thread has returned, but thread %d waits for it in __syncthreads at %s:%d", i,
                 other.site.file, other.site.line);
    }
}

static void end_thread(Thread *thread)
{
    finish_copies(thread, thread->copy_group + 1);
    thread->state = State::done;
    block.returned[thread->number / warp_threads] |= 1u << thread->lane();
    block.done++;
    check_barrier_of_returned();
    check_warp_of_returned(thread);
}

// Nobody can go on although not all have returned: each waits for one that waits elsewhere.
[[noreturn]] static void report_deadlock()
{
    const Thread *in_warp = block.threads, *other = block.threads;
    while (in_warp->state != State::in_warp) in_warp++;
    const Thread *lanes = in_warp - in_warp->lane();
    for (uint32_t rest = in_warp->call.mask; rest != 0; rest &= rest - 1) {
        other = &lanes[__builtin_ctz(rest)];
        if (other->state == State::at_barrier || other->call.mask != in_warp->call.mask) break;
    }
    fail("deadlock: thread %d waits in %s at %s:%d (mask %08x) for thread %d, which waits in %s at %s:%d",
         in_warp->number, in_warp->call.name, in_warp->site.file, in_warp->site.line, in_warp->call.mask,
         other->number, other->state == State::at_barrier ? "__syncthreads" : other->call.name,
         other->site.file, other->site.line);
}

// A fiber: threads that have not begun, one after another, until one that has begun is next.
NOT_SANITIZED static void run_threads()
{
    fiber_begin();
    for (;;) {
        Thread *thread = block.thread;
        thread->state = State::ready;
        block.call->run();
        end_thread(thread);
        if (block.done == block.count) fiber_leave(&thread->fiber, &host);
        if (ready_is_empty()) report_deadlock();
        Thread *next = &block.threads[ready_pop()];
        take_turn(next);
        if (next->state != State::fresh) fiber_leave(&thread->fiber, &next->fiber);
        next->fiber = thread->fiber;
    }
}

void wait_for_turn()
{
    Thread *thread = block.thread;
    block.has_waited = true;
    if (ready_is_empty()) report_deadlock();
    Thread *next = &block.threads[ready_pop()];
    if (next == thread) return;
    if (next->state == State::fresh) fiber_create(&next->fiber, run_threads);
    take_turn(next);
    fiber_switch(&thread->fiber, &next->fiber);
}

void make_ready(Thread *thread)
{
    thread->state = State::ready;
    ready_push(thread->number);
}

static void check_barrier(const Thread *thread)
{
    for (int i = 0; i < block.count; i++) {
        const Thread &other = block.threads[i];
        if (other.state == State::done)
            fail("__syncthreads at %s:%d, but thread %d has returned", thread->site.file, thread->site.line,
                 i);
        if (!is_same(other.site, thread->site))
            fail("divergent barrier: __syncthreads at %s:%d, but thread %d is in that at %s:%d",
                 thread->site.file, thread->site.line, i, other.site.file, other.site.line);
    }
}

void sync_block(Site site)
{
    Thread *thread = block.thread;
    thread->site = site;
    thread->state = State::at_barrier;
    block.at_barrier++;
    if (block.at_barrier + block.done == block.count) {
        check_barrier(thread);
        block.at_barrier = 0;
        if (observer.block_synced != nullptr) observer.block_synced();
        for (int i = 0; i < block.count; i++) make_ready(&block.threads[i]);
    }
    wait_for_turn();
}

void run_block(int count)
{
    block.count = count;
    block.done = block.at_barrier = 0;
    ready_clear();
    for (int i = 0; i < count; i++) {
        Thread &thread = block.threads[i];
        const dim3 size = view.block_size;
        thread.number = i;
        thread.index =
            uint3{(unsigned)i % size.x, (unsigned)i / size.x % size.y, (unsigned)i / size.x / size.y};
        thread.state = State::fresh;
        thread.copy_group = 0;
        ready_push(i);
    }
    for (Meetings &meetings : block.meetings) meetings.count = 0;
    memset(block.returned, 0, sizeof block.returned);
    Thread *first = &block.threads[ready_pop()];
    host = Fiber{};
    fiber_create(&first->fiber, run_threads);
    take_turn(first);
    fiber_switch(&host, &first->fiber);
    block.thread = nullptr;
}

} // namespace emulated
