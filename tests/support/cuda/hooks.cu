// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/hooks.cu - what gcc's -fsanitize=thread calls before each access: here, the checker, not
// libtsan, which knows nothing of blocks and warps.
#include "checker.h"
#include "code.h"

using emulated::check_access;
using emulated::code_of;

// A hook's caller is the kernel, at the access.
#define HOOK(name, bytes, is_write)                                                          \
    void name(const void *address)                                                           \
    {                                                                                        \
        check_access(address, bytes, is_write, false, code_of(__builtin_return_address(0))); \
    }
#define HOOKS(bytes)                                          \
    HOOK(__tsan_read##bytes, bytes, false)                    \
    HOOK(__tsan_write##bytes, bytes, true)                    \
    HOOK(__tsan_volatile_read##bytes, bytes, false)           \
    HOOK(__tsan_volatile_write##bytes, bytes, true)           \
    HOOK(__tsan_unaligned_read##bytes, bytes, false)          \
    HOOK(__tsan_unaligned_write##bytes, bytes, true)          \
    HOOK(__tsan_unaligned_volatile_read##bytes, bytes, false) \
    HOOK(__tsan_unaligned_volatile_write##bytes, bytes, true)

extern "C" {

HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

void __tsan_read_range(const void *address, size_t bytes)
{
    check_access(address, bytes, false, false, code_of(__builtin_return_address(0)));
}

void __tsan_write_range(const void *address, size_t bytes)
{
    check_access(address, bytes, true, false, code_of(__builtin_return_address(0)));
}

void __tsan_init(void)
{
}

void __tsan_func_entry(const void *)
{
}

void __tsan_func_exit(void)
{
}

void __tsan_vptr_read(const void *)
{
}

void __tsan_vptr_update(const void *, const void *)
{
}

} // extern "C"
