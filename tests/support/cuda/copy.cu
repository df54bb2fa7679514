// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/copy.cu - cp.async: a copy is done at once or when it is waited for, by chance.
#include <stdint.h>
#include <string.h>

#include "machine.h"
#include "memory.h"
#include "observer.h"
#include "shared.h"

namespace emulated
{

static constexpr size_t copy_bytes = 16;

// The device may read and write at any time from the call to the wait: a checker is told at both.
static void tell(const PendingCopy &copy, bool is_again)
{
    if (observer.thread_accessed == nullptr) return;
    if (copy.global != nullptr) observer.thread_accessed(copy.global, copy_bytes, false, is_again, copy.site);
    observer.thread_accessed(copy.shared, copy_bytes, true, is_again, copy.site);
}

static void perform(const PendingCopy &copy)
{
    if (copy.global == nullptr)
        memset(copy.shared, 0, copy_bytes);
    else
        memcpy(copy.shared, copy.global, copy_bytes);
}

void copy_async(void *shared, const void *global, bool is_there, Site site)
{
    Thread *thread = block.thread;
    check_shared(shared, copy_bytes, "cp.async", site);
    if (((uintptr_t)global & (copy_bytes - 1)) != 0)
        fail("cp.async at %s:%d from %p, which is not aligned to 16 bytes", site.file, site.line, global);
    if (is_there && !is_on_device(global, copy_bytes))
        fail("cp.async at %s:%d from %p, which is not device memory", site.file, site.line, global);
    const PendingCopy copy = {shared, is_there ? global : nullptr, thread->copy_group, site};
    tell(copy, false);
    if (random_below(2) == 0) {
        perform(copy);
        return;
    }
    memset(shared, 0xff, copy_bytes);
    thread->copies.push_back(copy);
}

void copy_commit()
{
    block.thread->copy_group++;
}

void finish_copies(Thread *thread, int end)
{
    size_t kept = 0;
    for (const PendingCopy &copy : thread->copies) {
        if (copy.group >= end) {
            thread->copies[kept++] = copy;
            continue;
        }
        tell(copy, true);
        perform(copy);
    }
    thread->copies.resize(kept);
}

void copy_wait(int under_way)
{
    finish_copies(block.thread, block.thread->copy_group - under_way);
}

} // namespace emulated
