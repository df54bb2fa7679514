/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/order.h - the threads that can go on, and which of them has the next turn, by the order
 * of the settings. */
#ifndef FSFM_TESTS_EMULATED_ORDER_H
#define FSFM_TESTS_EMULATED_ORDER_H

#include "machine.h"

namespace emulated
{

struct Ready {
    static constexpr uint32_t size = 2 * most_threads;
    Order order;
    uint32_t head, tail;
    uint16_t ring[size];

    uint16_t &at(uint32_t place)
    {
        return ring[place % size];
    }
};
extern Ready ready;

/* For a new block. */
void ready_clear();

/* The next one where it is not the first; and what it is chosen by. */
int ready_choose();
void ready_note(int thread);

inline bool ready_is_empty()
{
    return ready.head == ready.tail;
}

inline void ready_push(int thread)
{
    ready.at(ready.tail++) = (uint16_t)thread;
    if (ready.order == Order::pct) ready_note(thread);
}

inline int ready_pop()
{
    return ready.order == Order::fifo ? ready.at(ready.head++) : ready_choose();
}

} // namespace emulated
#endif
