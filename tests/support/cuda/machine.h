/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/machine.h - the block that runs: its threads, whose turn it is, and who waits for whom.
 */
#ifndef FSFM_TESTS_EMULATED_MACHINE_H
#define FSFM_TESTS_EMULATED_MACHINE_H

#include <string.h>

#include <vector>

#include "emulated.h"
#include "fiber.h"
#include "settings.h"

namespace emulated
{

constexpr int warp_threads = 32, most_threads = 1024, most_warps = most_threads / warp_threads;

enum class State { fresh, ready, at_barrier, in_warp, done };

/* An operation of a warp as one lane calls it. */
struct WarpCall {
    const char *name;
    uint32_t mask;
    uint64_t value; /* in; then the lane's result */
    int argument, width;
    const void *pointers[4];
};

/* Copies from global to shared memory that a thread has asked for and that are not done. */
struct PendingCopy {
    void *shared;
    const void *global; /* NULL: zeros */
    int group;
    Site site;
};

/* What a change of threads looks at stands first and shares lines of the caches. */
struct alignas(64) Thread {
    int number; /* in the block */
    State state;
    Fiber fiber;
    Site site; /* where it waits */
    WarpCall call;
    uint3 index;
    std::vector<PendingCopy> copies;
    int copy_group;

    int lane() const
    {
        return number % warp_threads;
    }
};

/* Lanes of a warp that wait in an operation for others of their mask; and what the first one calls. */
struct Meeting {
    uint32_t mask, arrived;
    const char *name;
    Site site;
};
struct Meetings {
    Meeting under_way[warp_threads];
    int count;
};

struct Block {
    const char *kernel;
    const void *function; /* the kernel's */
    const Call *call;     /* what each thread does */
    Thread *thread;       /* whose turn it is; NULL: the host's */
    int count, done, at_barrier;
    bool has_waited; /* some thread has, since this was last cleared */
    Thread threads[most_threads];
    Meetings meetings[most_warps];
    uint32_t returned[most_warps]; /* lanes that have returned */
};
extern Block block;

/* Runs count threads of view.block, which is set up but for them, as block.call says. */
void run_block(int count);

/* Gives the turn away; the thread's state says what it waits for. Returns when it is ready and chosen. */
void wait_for_turn();
void make_ready(Thread *thread);

inline bool is_same(Site a, Site b)
{
    return a.line == b.line && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

/* The lanes of warp that exist. */
inline uint32_t lanes_of(int warp)
{
    const int lanes = block.count - warp * warp_threads;
    return lanes >= warp_threads ? 0xffffffffu : (1u << lanes) - 1;
}

/* Fails where thread, which returns, is one that others of its warp wait for. */
void check_warp_of_returned(const Thread *thread);

/* Performs the thread's copies of groups before end. */
void finish_copies(Thread *thread, int end);

} // namespace emulated
#endif
