// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/warp.cu - operations that the lanes of a warp do together.
#include "machine.h"
#include "observer.h"
#include "warp.h"

namespace emulated
{

static Thread *warp_of(const Thread *thread)
{
    return &block.threads[thread->number / warp_threads * warp_threads];
}

void check_warp_of_returned(const Thread *thread)
{
    const Meetings &meetings = block.meetings[thread->number / warp_threads];
    for (int i = 0; i < meetings.count; i++) {
        const Meeting &meeting = meetings.under_way[i];
        if (!(meeting.mask >> thread->lane() & 1)) continue;
        const Thread &other = warp_of(thread)[__builtin_ctz(meeting.arrived)];
        fail("this thread has returned, but thread %d waits for it in %s at %s:%d (mask %08x)", other.number,
             other.call.name, other.site.file, other.site.line, other.call.mask);
    }
}

static void check_mask(const Thread *thread)
{
    const WarpCall &call = thread->call;
    if (!(call.mask >> thread->lane() & 1))
        fail("%s at %s:%d: mask %08x does not name the calling lane %d", call.name, thread->site.file,
             thread->site.line, call.mask, thread->lane());
    const uint32_t returned = block.returned[thread->number / warp_threads];
    if ((returned & call.mask) != 0)
        fail("%s at %s:%d: mask %08x names lane %d, which has returned", call.name, thread->site.file,
             thread->site.line, call.mask, __builtin_ctz(returned & call.mask));
}

// All lanes of a mask must be in the same call. Lanes of other masks may be elsewhere, but not wait for each
// other.
static void check_meeting(const Thread *thread, const Thread *lanes, const Meeting &meeting)
{
    const WarpCall &call = thread->call;
    if (!(meeting.mask >> thread->lane() & 1) || (meeting.arrived & call.mask) == 0) return;
    const Thread &other = lanes[__builtin_ctz(meeting.arrived & call.mask)];
    if (other.call.name != call.name || !is_same(other.site, thread->site))
        fail("divergent warp: %s at %s:%d, but lane %d is in %s at %s:%d", call.name, thread->site.file,
             thread->site.line, other.lane(), other.call.name, other.site.file, other.site.line);
    if (other.call.mask != call.mask)
        fail("%s at %s:%d: lane %d gives mask %08x, lane %d gives mask %08x", call.name, thread->site.file,
             thread->site.line, thread->lane(), call.mask, other.lane(), other.call.mask);
}

// Whether the warp's only meeting is of the thread's call, as nearly always. Then nothing is to be checked:
// whoever came first has looked at the mask, and a lane that returns looks who waits for it.
static bool is_usual(const Thread *thread, const Meetings &meetings)
{
    const Meeting &meeting = meetings.under_way[0];
    return meetings.count == 1 && meeting.mask == thread->call.mask &&
           (meeting.mask >> thread->lane() & 1) != 0 && meeting.name == thread->call.name &&
           meeting.site.file == thread->site.file && meeting.site.line == thread->site.line;
}

// The meeting of the thread's mask, with others or a new one.
static int find_meeting(const Thread *thread, Meetings &meetings)
{
    check_mask(thread);
    int mine = meetings.count;
    for (int i = 0; i < meetings.count; i++) {
        check_meeting(thread, warp_of(thread), meetings.under_way[i]);
        if (meetings.under_way[i].mask == thread->call.mask) mine = i;
    }
    if (mine == meetings.count)
        meetings.under_way[meetings.count++] = Meeting{thread->call.mask, 0, thread->call.name, thread->site};
    return mine;
}

// Adds the thread to the meeting of its mask; true where all have come, and then there is no such meeting.
static bool join(const Thread *thread)
{
    Meetings &meetings = block.meetings[thread->number / warp_threads];
    Meeting &meeting = meetings.under_way[is_usual(thread, meetings) ? 0 : find_meeting(thread, meetings)];
    meeting.arrived |= 1u << thread->lane();
    if (meeting.arrived != meeting.mask) return false;
    meeting = meetings.under_way[--meetings.count];
    return true;
}

WarpCall &begin_call(const char *name, uint32_t mask, Site site)
{
    Thread *thread = block.thread;
    thread->site = site;
    thread->call.name = name;
    thread->call.mask = mask & lanes_of(thread->number / warp_threads);
    return thread->call;
}

uint64_t meet(void (*work)(Thread *lanes, uint32_t mask))
{
    Thread *thread = block.thread, *lanes = warp_of(thread);
    thread->state = State::in_warp;
    if (!join(thread)) {
        wait_for_turn();
        return thread->call.value;
    }
    const uint32_t mask = thread->call.mask;
    work(lanes, mask);
    const bool goes_on = settings().order != Order::random;
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
        Thread *lane = &lanes[__builtin_ctz(rest)];
        if (lane != thread || !goes_on) make_ready(lane);
    }
    if (goes_on)
        thread->state = State::ready;
    else
        wait_for_turn();
    return thread->call.value;
}

// The lane that lane reads in a shuffle; itself where that lies outside its part of the warp.
static int source_of(int lane, Shuffle kind, int argument, int width)
{
    const int first = lane & ~(width - 1), end = first + width;
    int source = lane;
    switch (kind) {
    case Shuffle::index: return first + (argument & (width - 1));
    case Shuffle::up: source = lane - argument; return source < first ? lane : source;
    case Shuffle::down: source = lane + argument; return source >= end ? lane : source;
    case Shuffle::exclusive_or: source = lane ^ argument; return source >= end ? lane : source;
    }
    return source;
}

template <Shuffle kind> static void exchange(Thread *lanes, uint32_t mask)
{
    uint64_t values[warp_threads];
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
        const int lane = __builtin_ctz(rest);
        values[lane] = lanes[lane].call.value;
    }
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
        const int lane = __builtin_ctz(rest);
        WarpCall &call = lanes[lane].call;
        const int source = source_of(lane, kind, call.argument, call.width);
        if (source < 0 || source >= warp_threads || !(mask >> source & 1))
            fail("%s at %s:%d: lane %d reads lane %d, which is not in mask %08x", call.name,
                 lanes[lane].site.file, lanes[lane].site.line, lane, source, mask);
        call.value = values[source];
    }
}

template <Shuffle kind>
static uint64_t shuffle_as(const char *name, uint32_t mask, uint64_t value, int argument, int width,
                           Site site)
{
    WarpCall &call = begin_call(name, mask, site);
    call.value = value;
    call.argument = argument;
    call.width = width;
    return meet(exchange<kind>);
}

uint64_t shuffle(Shuffle kind, uint32_t mask, uint64_t value, int argument, int width, Site site)
{
    if (width <= 0 || width > warp_threads || (width & (width - 1)) != 0)
        fail("a shuffle of width %d at %s:%d", width, site.file, site.line);
    switch (kind) {
    case Shuffle::index: return shuffle_as<Shuffle::index>("__shfl_sync", mask, value, argument, width, site);
    case Shuffle::up: return shuffle_as<Shuffle::up>("__shfl_up_sync", mask, value, argument, width, site);
    case Shuffle::down:
        return shuffle_as<Shuffle::down>("__shfl_down_sync", mask, value, argument, width, site);
    case Shuffle::exclusive_or: break;
    }
    return shuffle_as<Shuffle::exclusive_or>("__shfl_xor_sync", mask, value, argument, width, site);
}

static void count_votes(Thread *lanes, uint32_t mask)
{
    uint32_t votes = 0;
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
        const int lane = __builtin_ctz(rest);
        votes |= (uint32_t)lanes[lane].call.value << lane;
    }
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) lanes[__builtin_ctz(rest)].call.value = votes;
}

uint32_t ballot(uint32_t mask, bool vote, Site site)
{
    begin_call("__ballot_sync", mask, site).value = vote;
    return (uint32_t)meet(count_votes);
}

static void order_memory(Thread *lanes, uint32_t mask)
{
    if (observer.warp_synced != nullptr) observer.warp_synced(lanes->number / warp_threads, mask);
}

void sync_warp(uint32_t mask, Site site)
{
    begin_call("__syncwarp", mask, site);
    meet(order_memory);
}

} // namespace emulated
