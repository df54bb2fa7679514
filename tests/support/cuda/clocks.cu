// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/clocks.cu - vector clocks of the lanes of each warp; see clocks.h.
#include "clocks.h"

#include <string.h>

#include <algorithm>

#include "machine.h"

namespace emulated
{

// known[t][l]: the last clock of lane l of its warp that thread t knows of; its own counts on at each sync.
static uint16_t known[most_threads][warp_threads];
static uint16_t warp_syncs[most_warps]; // by all lanes together
static uint16_t barriers;

void clocks_new_block()
{
    memset(known, 0, sizeof known);
    for (int t = 0; t < most_threads; t++) known[t][t % warp_threads] = 1;
    memset(warp_syncs, 0, sizeof warp_syncs);
    barriers = 0;
}

static void tick(uint16_t *clock)
{
    if (++*clock == 0) fail("more than 65535 barriers in a block: too many for the checker");
}

void clocks_barrier()
{
    tick(&barriers);
}

void clocks_sync_warp(int warp, uint32_t mask)
{
    uint16_t all[warp_threads] = {};
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
        const uint16_t *lane = known[warp * warp_threads + __builtin_ctz(rest)];
        for (int l = 0; l < warp_threads; l++) all[l] = std::max(all[l], lane[l]);
    }
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
        uint16_t *lane = known[warp * warp_threads + __builtin_ctz(rest)];
        memcpy(lane, all, sizeof all);
        tick(&lane[__builtin_ctz(rest)]);
    }
    if (mask == lanes_of(warp)) tick(&warp_syncs[warp]);
}

static uint32_t block_number()
{
    return (view.block.z * view.grid_size.y + view.block.y) * view.grid_size.x + view.block.x;
}

static int warp_of(int thread)
{
    return thread / warp_threads;
}

void clocks_stamp(Access *access)
{
    const int t = block.thread->number;
    access->block = block_number();
    access->thread = (uint16_t)t & (most_threads - 1);
    access->barriers = barriers;
    access->own_clock = known[t][t % warp_threads];
    access->warp_syncs = warp_syncs[warp_of(t)];
}

bool comes_before(const Access &access)
{
    const int t = block.thread->number;
    if (access.block != block_number()) return false;
    if (access.thread == t || access.barriers < barriers) return true;
    return warp_of(access.thread) == warp_of(t) && access.own_clock <= known[t][access.thread % warp_threads];
}

bool all_come_before(const Access &access, Others others)
{
    if (others == Others::none) return comes_before(access);
    if (others == Others::other_blocks || access.block != block_number()) return false;
    if (access.barriers < barriers) return true;
    const int warp = warp_of(block.thread->number);
    return others == Others::same_warp && warp_of(access.thread) == warp &&
           access.warp_syncs < warp_syncs[warp];
}

Others others_with(const Access &access, Others others)
{
    Others now = Others::same_warp;
    if (access.block != block_number())
        now = Others::other_blocks;
    else if (warp_of(access.thread) != warp_of(block.thread->number))
        now = Others::same_block;
    return std::max(now, others);
}

} // namespace emulated
