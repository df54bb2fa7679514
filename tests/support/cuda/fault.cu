// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/fault.cu - what a fault in the device's memory, or below a stack, means.
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>

#include "fiber.h"
#include "machine.h"
#include "memory.h"
#include "shared.h"
#include "source.h"

namespace emulated
{

static struct sigaction other_action;
static char handler_stack[256 << 10];

static void report_device_fault(const void *address, const char *where)
{
    const Allocation *allocation = allocation_before(address);
    const char *who = block.thread == nullptr ? "the host" : "a kernel";
    if (allocation == nullptr) fail("%s touches %p, before all device memory, at %s", who, address, where);
    const size_t offset = (uintptr_t)address - (uintptr_t)allocation->base;
    if (offset >= allocation->bytes)
        fail("%s touches %p, %zu bytes after the end of an allocation of %zu bytes, at %s", who, address,
             offset - allocation->bytes, allocation->bytes, where);
    if (allocation->is_freed)
        fail("%s touches %p, byte %zu of a freed allocation of %zu bytes, at %s", who, address, offset,
             allocation->bytes, where);
    fail("%s touches device memory: %p, byte %zu of an allocation of %zu bytes, at %s", who, address, offset,
         allocation->bytes, where);
}

static void on_fault(int, siginfo_t *info, void *context)
{
    const void *code =
        reinterpret_cast<const void *>(static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP]);
    char where[256];
    describe_source(code, where, sizeof where);
    if (is_device_address(info->si_addr)) report_device_fault(info->si_addr, where);
    if (is_beside_shared(info->si_addr))
        fail("a kernel touches %p, outside its dynamic shared memory, at %s", info->si_addr, where);
    if (fiber_owns(info->si_addr)) fail("a thread's stack overflows at %s", where);
    if (block.thread != nullptr) fail("a kernel touches %p, not the device's, at %s", info->si_addr, where);
    sigaction(SIGSEGV, &other_action, nullptr); // not ours: the fault comes again
}

void catch_faults()
{
    stack_t stack = {};
    stack.ss_sp = handler_stack;
    stack.ss_size = sizeof handler_stack;
    sigaltstack(&stack, nullptr);
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &other_action);
}

} // namespace emulated
