// SPDX-License-Identifier: Apache-2.0
// tests/support/cuda/settings.cu - settings of the emulated device; see settings.h.
#include "settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"
#include "shared.h"

namespace emulated
{

std::recursive_mutex device_lock;

static Order read_order()
{
    const char *name = getenv("FSFM_EMULATION_ORDER");
    if (name == nullptr || strcmp(name, "fifo") == 0) return Order::fifo;
    if (strcmp(name, "lifo") == 0) return Order::lifo;
    if (strcmp(name, "random") == 0) return Order::random;
    if (strcmp(name, "pct") == 0) return Order::pct;
    fail("FSFM_EMULATION_ORDER is '%s', expected fifo, lifo, random or pct", name);
}

static bool read_flag(const char *variable)
{
    const char *value = getenv(variable);
    return value != nullptr && strcmp(value, "") != 0 && strcmp(value, "0") != 0;
}

static Settings read_settings()
{
    const char *seed = getenv("FSFM_EMULATION_SEED"), *shared = getenv("FSFM_EMULATION_SHARED"),
               *mib = getenv("FSFM_EMULATION_MIB");
    Settings read = {};
    read.order = read_order();
    read.seed = seed == nullptr ? 0 : strtoull(seed, nullptr, 0);
    read.is_lazy = read_flag("FSFM_EMULATION_LAZY");
    read.is_protected = read_flag("FSFM_EMULATION_PROTECT");
    read.has_no_graphs = read_flag("FSFM_EMULATION_NO_GRAPHS");
    read.shared_bytes = shared == nullptr ? (int)most_shared_bytes : atoi(shared);
    read.waits = getenv("FSFM_EMULATION_WAITS");
    read.counts = getenv("FSFM_EMULATION_COUNT");
    read.used = getenv("FSFM_EMULATION_USED");
    read.said_bytes = mib == nullptr ? 0 : strtoull(mib, nullptr, 10) << 20;
    return read;
}

const Settings &settings()
{
    static const Settings read = read_settings();
    return read;
}

uint32_t random_below(uint32_t limit)
{
    static uint64_t state = settings().seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 32) * limit >> 32);
}

void fail(const char *format, ...)
{
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    fflush(nullptr);
    if (block.thread != nullptr)
        fprintf(stderr, "emulated device: %s (kernel %s, block %u %u %u, thread %d)\n", message, block.kernel,
                view.block.x, view.block.y, view.block.z, block.thread->number);
    else
        fprintf(stderr, "emulated device: %s\n", message);
    _exit(failure_exit_code);
}

} // namespace emulated
