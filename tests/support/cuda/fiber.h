/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/fiber.h - stacks that take turns on one CPU. */
#ifndef FSFM_TESTS_EMULATED_FIBER_H
#define FSFM_TESTS_EMULATED_FIBER_H

#include <stddef.h>

namespace emulated
{

struct Fiber {
    void *stack_pointer;
    char *stack; /* its lowest address; NULL: the host thread's own stack, or none */
    size_t stack_bytes;
    void *fake_stack; /* AddressSanitizer's */
};

/* Gives fiber a stack on which body runs at the first switch; body never returns. */
void fiber_create(Fiber *fiber, void (*body)());

/* Saves the running fiber in *from and goes on with *to. Returns when somebody switches back to *from. */
void fiber_switch(Fiber *from, Fiber *to);

/* Ends the running fiber: its stack is free for others, and *to goes on. */
[[noreturn]] void fiber_leave(Fiber *from, Fiber *to);

/* To be called first by a fiber's body. */
void fiber_begin();

/* Whether address is in the stack of a fiber, or below it. */
bool fiber_owns(const void *address);

} // namespace emulated
#endif
