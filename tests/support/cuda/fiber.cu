// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/fiber.cu - fibers for x86-64; see fiber.h.
#include "fiber.h"

#include <stdint.h>
#include <sys/mman.h>

#include <vector>

#include "settings.h"

#if defined __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined __x86_64__
#error "the emulated device switches fibers on x86-64 only"
#endif

// Saves the registers that a function must keep, changes stacks, and returns into the other fiber.
extern "C" void emulated_switch(void **save_stack_pointer, void *stack_pointer);
asm(R"(
    .text
    .globl emulated_switch
    .hidden emulated_switch
    .type emulated_switch, @function
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulated_switch, . - emulated_switch
)");

namespace emulated
{

static constexpr size_t stack_bytes = 256 << 10, guard_bytes = 4096;
static constexpr size_t slot_bytes = stack_bytes + guard_bytes, slots = 1024 + 1;

// All stacks lie in one mapping, each above a page that cannot be touched.
struct Stacks {
    char *base = nullptr;
    std::vector<char *> free;
    size_t used = 0;

    char *take()
    {
        if (!free.empty()) {
            char *stack = free.back();
            free.pop_back();
            return stack;
        }
        if (base == nullptr) {
            void *mapped = mmap(nullptr, slots * slot_bytes, PROT_NONE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (mapped == MAP_FAILED) fail("no address space for stacks");
            base = static_cast<char *>(mapped);
        }
        char *stack = base + used++ * slot_bytes + guard_bytes;
        if (mprotect(stack, stack_bytes, PROT_READ | PROT_WRITE) != 0) fail("no memory for a stack");
        return stack;
    }

    bool holds(const void *address) const
    {
        const char *a = static_cast<const char *>(address);
        return base != nullptr && a >= base && a < base + slots * slot_bytes;
    }

    ~Stacks()
    {
        if (base != nullptr) munmap(base, slots * slot_bytes);
    }
};
static Stacks stacks;

// The fiber that ran before the switch: its stack's bounds are learnt where it is the host's.
static Fiber *left;

bool fiber_owns(const void *address)
{
    return stacks.holds(address);
}

void fiber_create(Fiber *fiber, void (*body)())
{
    fiber->stack = stacks.take();
    fiber->stack_bytes = stack_bytes;
    fiber->fake_stack = nullptr;
#if defined __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(fiber->stack, stack_bytes);
#endif
    // Tops differ between stacks, or they would share a few sets of the caches.
    const size_t stagger = (size_t)(fiber->stack - stacks.base) / slot_bytes % 61 * 64;
    void **top = reinterpret_cast<void **>(fiber->stack + stack_bytes - stagger);
    *--top = nullptr; // a return address for body, which aligns its frame
    *--top = reinterpret_cast<void *>(body);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    fiber->stack_pointer = top;
}

static void arrive(Fiber *fiber)
{
#if defined __SANITIZE_ADDRESS__
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(fiber == nullptr ? nullptr : fiber->fake_stack, &bottom, &bytes);
    if (left != nullptr && left->stack_bytes == 0) {
        left->stack = static_cast<char *>(const_cast<void *>(bottom));
        left->stack_bytes = bytes;
    }
#else
    (void)fiber;
#endif
    left = nullptr;
}

void fiber_begin()
{
    arrive(nullptr);
}

void fiber_switch(Fiber *from, Fiber *to)
{
    left = from;
#if defined __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_bytes);
#endif
    emulated_switch(&from->stack_pointer, to->stack_pointer);
    arrive(from);
}

void fiber_leave(Fiber *from, Fiber *to)
{
    left = nullptr;
    stacks.free.push_back(from->stack);
    from->stack = nullptr;
#if defined __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(nullptr, to->stack, to->stack_bytes);
#endif
    void *unused;
    emulated_switch(&unused, to->stack_pointer);
    __builtin_unreachable();
}

} // namespace emulated
