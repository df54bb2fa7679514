/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/settings.h - what the environment asks of the emulated device, its random numbers, and
 * its end when it finds an error. */
#ifndef FSFM_TESTS_EMULATED_SETTINGS_H
#define FSFM_TESTS_EMULATED_SETTINGS_H

#include <stdint.h>

#include <mutex>

namespace emulated
{

/* fifo, lifo, random: of threads that can go on. pct: of warps, by random priorities that change now and
 * then, which finds races that need one warp to run far ahead. */
enum class Order { fifo, lifo, random, pct };

/* And FSFM_EMULATION_DEVICES: how many GPUs the machine has (1 without). api_device.cu reads it at each use.
 */
struct Settings {
    Order order;         /* FSFM_EMULATION_ORDER */
    uint64_t seed;       /* FSFM_EMULATION_SEED */
    bool is_lazy;        /* FSFM_EMULATION_LAZY: streams queue their work and run it late, interleaved */
    bool is_protected;   /* FSFM_EMULATION_PROTECT: the host cannot touch device memory */
    bool has_no_graphs;  /* FSFM_EMULATION_NO_GRAPHS: every capture fails at its end */
    int shared_bytes;    /* FSFM_EMULATION_SHARED: of a block's memory, which is said to be no more */
    const char *waits;   /* FSFM_EMULATION_WAITS: the file that gets a line for each time the host waits, NULL
                            without */
    const char *counts;  /* FSFM_EMULATION_COUNT: the file for counted bytes, NULL without */
    const char *used;    /* FSFM_EMULATION_USED: the file that gets a line for each stream that is made,
                            with the number of its GPU; NULL without */
    uint64_t said_bytes; /* FSFM_EMULATION_MIB: the memory that a device is said to have, where more may be
                            allocated; 0: what it has */
};
const Settings &settings();

/* A number in [0, limit). Reproducible: one sequence a process. */
uint32_t random_below(uint32_t limit);

/* Everything of the emulated device is used by one host thread at a time: each entry holds this lock. */
extern std::recursive_mutex device_lock;

/* Prints "emulated device: ..." with the kernel, block and thread under way, and ends the process. */
constexpr int failure_exit_code = 86;
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

} // namespace emulated
#endif
