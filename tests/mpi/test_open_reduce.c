/* SPDX-License-Identifier: Apache-2.0
 * An allocation that fails on one rank alone, each one of opening a reduction in turn: all ranks are told the
 * same, and nobody waits. */
#include <stdlib.h>
#include <string.h>

#include "mpi/reduce.h"
#include "tests/support/check.h"
#include "tests/support/on_ranks.h"
#include "tests/support/plain_device.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define CAN_FAIL 0 /* the sanitizers have a malloc of their own */
#else
#define CAN_FAIL 1
#endif

static fsfm_comm *comm;
static int rank, ranks;
static int64_t allocations_left = -1; /* until one fails; -1: none does */

#if CAN_FAIL
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
extern const char __executable_start[], etext[];

/* Counted are this program's calls, not those of the MPI library. */
static bool fails(const void *caller)
{
    const bool is_ours = (const char *)caller >= __executable_start && (const char *)caller < etext;
    return is_ours && allocations_left >= 0 && allocations_left-- == 0;
}

void *malloc(size_t bytes)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, bytes);
}
#endif

/* Opens with the allocation of a number failing on one rank. Whether there was one of that number. */
static bool open_with_failure(const fsfm_reduce_setup *setup, int failing, int64_t number)
{
    fsfm_reduce *reduce = NULL;
    fsfm_error err = {FSFM_OK, ""};
    allocations_left = rank == failing ? number : -1;
    const fsfm_status st = fsfm_reduce_open(setup, &reduce, &err);
    int64_t has_failed = rank == failing && allocations_left < 0;
    allocations_left = -1;
    fsfm_comm_max_i64(comm, &has_failed, 1);
    if (has_failed && st != FSFM_OK) {
        char told[512];
        assert_int_equal(st, FSFM_ERR_MEMORY);
        assert_null(reduce);
        memcpy(told, err.message, sizeof told);
        fsfm_comm_broadcast(comm, told, sizeof told, failing);
        assert_string_equal(err.message, told);
        assert_non_null(strstr(told, "no memory"));
    } else {
        assert_ok(st, &err); /* AUTO may have taken another way */
    }
    int64_t statuses[2] = {st, -(int64_t)st};
    fsfm_comm_max_i64(comm, statuses, 2);
    assert_true(statuses[0] == -statuses[1]);
    fsfm_reduce_close(&reduce);
    return has_failed;
}

static void check(bool memory_is_host, fsfm_reduction kind, fsfm_carrier_kind carrier, int64_t least)
{
    enum { COUNT = 4096 };
    plain_device plain;
    float gradients[COUNT] = {0};
    if (!CAN_FAIL) skip();
    plain_device_init(&plain, memory_is_host);
    const fsfm_reduce_setup setup = {.comm = comm,
                                     .dev = &plain.device,
                                     .gradients_dev = gradients,
                                     .count = COUNT,
                                     .kind = kind,
                                     .bucket_mib = 1,
                                     .carrier = carrier,
                                     .slices = 2 * ranks};
    for (int failing = 0; failing < ranks; failing++) {
        int64_t number = 0;
        while (open_with_failure(&setup, failing, number)) number++;
        assert_true(number >= least);
    }
}

static void host_memory(void **state)
{
    (void)state;
    check(true, FSFM_REDUCTION_FAST, FSFM_CARRIER_AUTO, ranks > 1 ? 5 : 2);
    check(true, FSFM_REDUCTION_FAST, FSFM_CARRIER_HOST, ranks > 1 ? 6 : 2);
}

static void pinned_memory(void **state)
{
    (void)state;
    check(false, FSFM_REDUCTION_FAST, FSFM_CARRIER_HOST, ranks > 1 ? 7 : 2);
}

static void device_memory(void **state)
{
    (void)state;
    setenv("FSFM_MPI_CUDA", "1", 1);
    check(false, FSFM_REDUCTION_FAST, FSFM_CARRIER_MPI, ranks > 1 ? 5 : 2);
    check(false, FSFM_REDUCTION_FAST, FSFM_CARRIER_AUTO, ranks > 1 ? 5 : 2);
    unsetenv("FSFM_MPI_CUDA");
}

static void exact_tree(void **state)
{
    (void)state;
    if (ranks & (ranks - 1)) skip();
    check(true, FSFM_REDUCTION_EXACT, FSFM_CARRIER_AUTO, ranks > 1 ? 6 : 3);
    check(false, FSFM_REDUCTION_EXACT, FSFM_CARRIER_HOST, ranks > 1 ? 7 : 3);
    setenv("FSFM_MPI_CUDA", "1", 1);
    check(false, FSFM_REDUCTION_EXACT, FSFM_CARRIER_MPI, ranks > 1 ? 7 : 3);
    unsetenv("FSFM_MPI_CUDA");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_memory),
        cmocka_unit_test(pinned_memory),
        cmocka_unit_test(device_memory),
        cmocka_unit_test(exact_tree),
    };
    const ranks_tests all = {tests, sizeof tests / sizeof *tests, NULL, NULL};
    return run_on_ranks(&all, &comm, &rank, &ranks);
}
