/* SPDX-License-Identifier: Apache-2.0
 * Sums of gradients over ranks: fast ones on small integers, which are exact in any order, exact ones bit for
 * bit against the same tree computed here by one process. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <mpi.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/random.h"
#include "mpi/node_sum.h"
#include "mpi/reduce.h"
#include "tests/support/check.h"
#include "tests/support/on_ranks.h"
#include "tests/support/plain_device.h"

static fsfm_comm *comm;
static int rank, ranks;
static int64_t refused_floats = -1; /* sums of that many or more are refused by MPI; -1: none */
static int64_t refused_bytes = -1;  /* the same of exchanges as a trial */

/* The linker takes these before MPI's. */
int MPI_Sendrecv(const void *from, int count, MPI_Datatype type, int to_rank, int tag, void *to, int to_count,
                 MPI_Datatype to_type, int from_rank, int from_tag, MPI_Comm handle, MPI_Status *status)
{
    if (handle != MPI_COMM_WORLD && refused_bytes >= 0 && count >= refused_bytes) return MPI_ERR_OTHER;
    return PMPI_Sendrecv(from, count, type, to_rank, tag, to, to_count, to_type, from_rank, from_tag, handle,
                         status);
}

int MPI_Allreduce(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op, MPI_Comm handle)
{
    if (type == MPI_FLOAT && refused_floats >= 0 && count >= refused_floats) return MPI_ERR_OTHER;
    return PMPI_Allreduce(from, to, count, type, op, handle);
}

enum { FAST_COUNT = 700001 }; /* three buckets of 1 MiB, the last one short */

static void check_fast_on(plain_device *plain, bool tells, fsfm_carrier_kind kind, const char *way)
{
    float *gradients = malloc(FAST_COUNT * sizeof *gradients);
    fsfm_reduce *reduce = NULL;
    fsfm_error err;
    const fsfm_reduce_setup setup = {.comm = comm,
                                     .dev = &plain->device,
                                     .gradients_dev = gradients,
                                     .count = FAST_COUNT,
                                     .kind = FSFM_REDUCTION_FAST,
                                     .bucket_mib = 1,
                                     .carrier = kind};
    assert_ok(fsfm_reduce_open(&setup, &reduce, &err), &err);
    if (ranks > 1)
        assert_memory_equal(fsfm_reduce_way(reduce), way, strlen(way));
    else
        assert_string_equal(fsfm_reduce_way(reduce), "");
    for (int step = 0; step < 2; step++) {
        fsfm_learner_sums sums = {rank, 2, step};
        for (int64_t i = 0; i < FAST_COUNT; i++) gradients[i] = (float)(rank + step + i % 97);
        fsfm_reduce_begin(reduce);
        for (int64_t end = FAST_COUNT; tells && end > 0;) { /* ranges of odd lengths, from the back */
            const int64_t first = end > 54321 ? end - 54321 : 0;
            fsfm_reduce_ready(reduce, first, end - first);
            end = first;
        }
        assert_ok(fsfm_reduce_gradients(reduce, &err), &err);
        fsfm_reduce_sums(reduce, NULL, &sums);
        for (int64_t i = 0; i < FAST_COUNT; i++)
            assert_true(gradients[i] == (float)(ranks * (ranks - 1) / 2 + ranks * (step + i % 97)));
        assert_true(sums.rec_m == ranks * (ranks - 1) / 2 && sums.rec_fr == 2 * ranks &&
                    sums.sim == ranks * step);
    }
    fsfm_reduce_close(&reduce);
    free(gradients);
}

static void check_fast(bool memory_is_host, bool tells, fsfm_carrier_kind kind, const char *way)
{
    plain_device plain;
    plain_device_init(&plain, memory_is_host);
    check_fast_on(&plain, tells, kind, way);
}

static void fast_sums_over_ranks(void **state)
{
    (void)state;
    for (int tells = 0; tells < 2;
         tells++) { /* a rank that failed early tells nothing; nobody waits for it */
        check_fast(true, tells, FSFM_CARRIER_AUTO, "memory that the ranks share");
        check_fast(true, tells, FSFM_CARRIER_HOST, "MPI");
    }
}

/* Shorter than a line of a cache a rank, pieces that are full and not, and often enough for every place to be
 * used again; the bits are those of sums in the order of ranks. */
static void sums_within_a_host_are_in_order(void **state)
{
    static const int64_t counts[] = {1, 3, 17, 4096, 65536, 65537, 200001};
    fsfm_node_sum *sum = NULL;
    fsfm_error err;
    (void)state;
    assert_ok(fsfm_node_sum_open(comm, &sum, &err), &err);
    for (int turn = 0; turn < 60; turn++) {
        const int64_t count = counts[turn % (int)(sizeof counts / sizeof *counts)];
        float *values = malloc((size_t)count * sizeof *values), *want = calloc((size_t)count, sizeof *want);
        for (int r = 0; r < ranks; r++) {
            fsfm_random random = fsfm_random_stream(9, FSFM_RANDOM_TEST, (uint32_t)turn, (uint64_t)r);
            for (int64_t i = 0; i < count; i++) {
                const float value = (float)(fsfm_random_double(&random) - 0.5);
                if (r == rank) values[i] = value;
                want[i] = r == 0 ? value : want[i] + value;
            }
        }
        if (rank == turn % ranks) sched_yield();
        fsfm_node_sum_float(sum, values, count);
        assert_memory_equal(values, want, (size_t)count * sizeof *values);
        free(values);
        free(want);
    }
    fsfm_node_sum_close(&sum);
    assert_null(sum);
}

/* The lowest number for a file that is not open. */
static int next_file(void)
{
    const int fd = open("/dev/null", O_RDONLY);
    assert_true(fd >= 0);
    close(fd);
    return fd;
}

/* Lowers a limit of this process, and returns what it was. */
static struct rlimit limit(unsigned what, rlim_t most)
{
    struct rlimit old;
    assert_int_equal(getrlimit(what, &old), 0);
    const struct rlimit less = {most < old.rlim_cur ? most : old.rlim_cur, old.rlim_max};
    assert_int_equal(setrlimit(what, &less), 0);
    return old;
}

/* A limit on the size of files stands for a full /dev/shm, one on their number for memory that a rank does
 * not find. */
static void sums_within_a_host_tell_what_they_lack(void **state)
{
    (void)state;
    const int lowest = ranks > 2 ? ranks - 2 : 1; /* of those that fail to open what rank 0 has made */
    fsfm_node_sum *sum = NULL;
    fsfm_error err;
    char text[64];
    if (ranks == 1) skip();
    signal(SIGXFSZ, SIG_IGN);

    struct rlimit old = limit(RLIMIT_NOFILE, rank >= lowest ? (rlim_t)next_file() : RLIM_INFINITY);
    fsfm_status st = fsfm_node_sum_open(comm, &sum, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    snprintf(text, sizeof text, "rank %d: no memory to share: shm_open of /fsfm-", lowest);
    assert_fails(st, FSFM_ERR_MEMORY, &err, text);
    assert_fails(st, FSFM_ERR_MEMORY, &err, strerror(EMFILE));
    assert_null(sum);

    const uint64_t needed = fsfm_node_sum_bytes(ranks);
    old = limit(RLIMIT_FSIZE, rank == 0 ? needed - 1 : RLIM_INFINITY);
    st = fsfm_node_sum_open(comm, &sum, &err);
    check_fast(true, true, FSFM_CARRIER_AUTO, "MPI; rank 0: no memory to share: posix_fallocate of /fsfm-");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    snprintf(text, sizeof text, ", %" PRIu64 " bytes: %s", needed, strerror(EFBIG));
    assert_fails(st, FSFM_ERR_MEMORY, &err, text);
    assert_null(sum);
    check_fast(true, true, FSFM_CARRIER_AUTO, "memory that the ranks share");
}

static void fast_stages_device_memory(void **state)
{
    (void)state;
    check_fast(false, true, FSFM_CARRIER_AUTO, "MPI by way of pinned host memory");
    check_fast(false, false, FSFM_CARRIER_HOST, "MPI by way of pinned host memory");
}

/* A piece is summed and comes back though the device has yet to send the next one. */
static void fast_sums_while_the_device_sends(void **state)
{
    (void)state;
    for (int tells = 0; tells < 2; tells++) {
        plain_device plain;
        plain_device_init(&plain, false);
        plain.sends_follow_receives = true;
        check_fast_on(&plain, tells, FSFM_CARRIER_HOST, "MPI by way of pinned host memory");
    }
}

/* The plain device's memory is ordinary, so MPI does take it. */
static void fast_sums_in_device_memory(void **state)
{
    (void)state;
    setenv("FSFM_MPI_CUDA", "1", 1);
    check_fast(false, true, FSFM_CARRIER_AUTO, "MPI on the GPU's memory");
    check_fast(false, false, FSFM_CARRIER_MPI, "MPI on the GPU's memory");
    unsetenv("FSFM_MPI_CUDA");
}

/* MPI that takes little of a device's memory, but not a bucket. */
static void fast_does_without_mpi_that_fails(void **state)
{
    (void)state;
    plain_device plain;
    float *gradients = malloc(FAST_COUNT * sizeof *gradients);
    fsfm_reduce *reduce = NULL;
    fsfm_error err;
    plain_device_init(&plain, false);
    const fsfm_reduce_setup setup = {.comm = comm,
                                     .dev = &plain.device,
                                     .gradients_dev = gradients,
                                     .count = FAST_COUNT,
                                     .kind = FSFM_REDUCTION_FAST,
                                     .bucket_mib = 1,
                                     .carrier = FSFM_CARRIER_MPI};
    setenv("FSFM_MPI_CUDA", "1", 1);
    refused_floats = 1024 * 1024 / (int64_t)sizeof(float);
    check_fast(false, true, FSFM_CARRIER_AUTO,
               "MPI by way of pinned host memory; rank 0: plain device: no NCCL; rank 0: MPI: ");
    if (ranks > 1)
        assert_fails(fsfm_reduce_open(&setup, &reduce, &err), FSFM_ERR_COMM, &err,
                     "comm.backend=mpi: rank 0: MPI: ");
    refused_floats = -1;
    unsetenv("FSFM_MPI_CUDA");
    free(gradients);
}

static void fast_tells_what_it_cannot_do(void **state)
{
    (void)state;
    plain_device plain;
    float gradients[64] = {0};
    fsfm_reduce *reduce = NULL;
    fsfm_error err;
    plain_device_init(&plain, false);
    fsfm_reduce_setup setup = {.comm = comm,
                               .dev = &plain.device,
                               .gradients_dev = gradients,
                               .count = 64,
                               .kind = FSFM_REDUCTION_FAST,
                               .bucket_mib = 1,
                               .carrier = FSFM_CARRIER_NCCL};
    if (ranks == 1) skip();
    assert_fails(fsfm_reduce_open(&setup, &reduce, &err), FSFM_ERR_DEVICE, &err,
                 "comm.backend=nccl: rank 0: plain device: no NCCL");
    setup.carrier = FSFM_CARRIER_MPI;
    if (!fsfm_comm_takes_device_memory())
        assert_fails(fsfm_reduce_open(&setup, &reduce, &err), FSFM_ERR_DEVICE, &err, "FSFM_MPI_CUDA=1");
}

static void fast_tells_a_failed_copy(void **state)
{
    (void)state;
    plain_device plain;
    float gradients[64] = {0};
    fsfm_reduce *reduce = NULL;
    fsfm_error err;
    plain_device_init(&plain, false);
    const fsfm_reduce_setup setup = {.comm = comm,
                                     .dev = &plain.device,
                                     .gradients_dev = gradients,
                                     .count = 64,
                                     .kind = FSFM_REDUCTION_FAST,
                                     .bucket_mib = 1};
    assert_ok(fsfm_reduce_open(&setup, &reduce, &err), &err);
    plain.fails_after = 1;
    const fsfm_status st = fsfm_reduce_gradients(reduce, &err);
    if (ranks > 1)
        assert_fails(st, FSFM_ERR_DEVICE, &err, "told to fail");
    else
        assert_ok(st, &err);
    fsfm_reduce_close(&reduce);
}

/* Slice s of the global batch: values whose sum depends on the order of its additions. */
static void make_slice(int64_t slice, float *values, int64_t count, fsfm_learner_sums *sums)
{
    fsfm_random random = fsfm_random_stream(5, FSFM_RANDOM_TEST, 0, (uint64_t)slice);
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)((fsfm_random_double(&random) - 0.5) * exp(8 * fsfm_random_double(&random)));
    sums->rec_m = fsfm_random_double(&random);
    sums->rec_fr = fsfm_random_double(&random);
    sums->sim = fsfm_random_double(&random) - 0.5;
}

/* The tree by its definition: the sum of slices [first, first + n) is that of its halves. */
static void tree(int64_t first, int64_t n, float *out, int64_t count, fsfm_learner_sums *sums)
{
    float *right = NULL;
    fsfm_learner_sums more;
    if (n == 1) {
        make_slice(first, out, count, sums);
        return;
    }
    right = malloc((size_t)count * sizeof *right);
    tree(first, n / 2, out, count, sums);
    tree(first + n / 2, n / 2, right, count, &more);
    for (int64_t i = 0; i < count; i++) out[i] += right[i];
    sums->rec_m += more.rec_m;
    sums->rec_fr += more.rec_fr;
    sums->sim += more.sim;
    free(right);
}

static void check_exact_on(plain_device *plain, int64_t slices, int64_t count, fsfm_carrier_kind kind,
                           const char *way)
{
    float *gradients = malloc((size_t)count * sizeof *gradients),
          *want = malloc((size_t)count * sizeof *want);
    fsfm_reduce *reduce = NULL;
    fsfm_learner_sums want_sums, got;
    fsfm_error err;
    const fsfm_reduce_setup setup = {.comm = comm,
                                     .dev = &plain->device,
                                     .gradients_dev = gradients,
                                     .count = count,
                                     .kind = FSFM_REDUCTION_EXACT,
                                     .carrier = kind,
                                     .slices = slices};
    tree(0, slices, want, count, &want_sums);
    assert_ok(fsfm_reduce_open(&setup, &reduce, &err), &err);
    if (ranks == 1) way = "";
    assert_memory_equal(fsfm_reduce_way(reduce), way, strlen(way) + (ranks == 1));
    for (int step = 0; step < 2; step++) {
        fsfm_learner_sums sums[16];
        fsfm_reduce_begin(reduce);
        for (int64_t s = 0; s < slices / ranks; s++) {
            make_slice(rank * (slices / ranks) + s, gradients, count, &sums[s]);
            assert_ok(fsfm_reduce_slice(reduce, &err), &err);
        }
        assert_ok(fsfm_reduce_gradients(reduce, &err), &err);
        fsfm_reduce_sums(reduce, sums, &got);
        assert_memory_equal(gradients, want, (size_t)count * sizeof *want);
        assert_memory_equal(&got, &want_sums, sizeof got);
    }
    fsfm_reduce_close(&reduce);
    free(gradients);
    free(want);
}

/* Pieces are of 1024 floats. */
static void check_exact(int64_t slices, int64_t count, bool memory_is_host, fsfm_carrier_kind kind,
                        const char *way)
{
    plain_device plain;
    plain_device_init(&plain, memory_is_host);
    check_exact_on(&plain, slices, count, kind, way);
}

static void exact_is_one_tree(void **state)
{
    static const char *const way = "MPI, one tree over the slices";
    (void)state;
    if (ranks & (ranks - 1)) skip();
    check_exact(8, 4096, true, FSFM_CARRIER_AUTO, way);
    check_exact(8, 1003, true, FSFM_CARRIER_HOST, way); /* halves overlap by one */
    check_exact(ranks, 64, true, FSFM_CARRIER_AUTO, way);
}

static void exact_stages_device_memory(void **state)
{
    static const char *const way = "MPI by way of pinned host memory, one tree over the slices";
    (void)state;
    if (ranks & (ranks - 1)) skip();
    check_exact(16, 77, false, FSFM_CARRIER_HOST, way);
    check_exact(ranks, 1, false, FSFM_CARRIER_HOST, way);
    check_exact(8, 9001, false, FSFM_CARRIER_HOST, way);
}

static void exact_sums_in_device_memory(void **state)
{
    static const char *const way = "MPI on the GPU's memory, one tree over the slices";
    (void)state;
    if (ranks & (ranks - 1)) skip();
    setenv("FSFM_MPI_CUDA", "1", 1);
    check_exact(8, 9001, false, FSFM_CARRIER_MPI, way);
    check_exact(ranks, 1, false, FSFM_CARRIER_MPI, way);
    unsetenv("FSFM_MPI_CUDA");
}

/* MPI that takes little of a device's memory, but not a piece. */
static void exact_does_without_mpi_that_fails(void **state)
{
    (void)state;
    if (ranks & (ranks - 1)) skip();
    setenv("FSFM_MPI_CUDA", "1", 1);
    refused_bytes = 4096;
    check_exact(8, 9001, false, FSFM_CARRIER_AUTO,
                "MPI by way of pinned host memory, one tree over the slices; rank 0: plain device: no NCCL; "
                "rank 0: MPI: ");
    refused_bytes = -1;
    unsetenv("FSFM_MPI_CUDA");
}

static void exact_tells_a_failed_device(void **state)
{
    plain_device plain;
    float gradients[64] = {0};
    fsfm_reduce *reduce = NULL;
    fsfm_error err;
    (void)state;
    if (ranks & (ranks - 1)) skip();
    plain_device_init(&plain, false);
    const fsfm_reduce_setup setup = {.comm = comm,
                                     .dev = &plain.device,
                                     .gradients_dev = gradients,
                                     .count = 64,
                                     .kind = FSFM_REDUCTION_EXACT,
                                     .carrier = FSFM_CARRIER_HOST,
                                     .slices = ranks};
    assert_ok(fsfm_reduce_open(&setup, &reduce, &err), &err);
    for (int call = 1; ranks > 1 && call <= 5; call++) { /* send, receive, add; send, receive: on one rank */
        plain.fails_after = rank == 1 ? call : -1;
        const fsfm_status st = fsfm_reduce_gradients(reduce, &err);
        if (rank == 1)
            assert_fails(st, FSFM_ERR_DEVICE, &err, "told to fail");
        else
            assert_ok(st, &err);
    }
    fsfm_reduce_close(&reduce);
}

static void exact_refuses_what_it_cannot_do(void **state)
{
    (void)state;
    plain_device plain;
    float gradients[4] = {0};
    fsfm_reduce *reduce = NULL;
    fsfm_error err;
    plain_device_init(&plain, true);
    fsfm_reduce_setup setup = {.comm = comm,
                               .dev = &plain.device,
                               .gradients_dev = gradients,
                               .count = 4,
                               .kind = FSFM_REDUCTION_EXACT,
                               .slices = 6};
    assert_fails(fsfm_reduce_open(&setup, &reduce, &err), FSFM_ERR_ARG, &err, "train.slices");
    assert_null(reduce);
    if ((ranks & (ranks - 1)) == 0) return;
    setup.slices = 8;
    assert_fails(fsfm_reduce_open(&setup, &reduce, &err), FSFM_ERR_ARG, &err, "found 5 ranks");
    assert_null(reduce);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_sums_over_ranks),
        cmocka_unit_test(sums_within_a_host_are_in_order),
        cmocka_unit_test(sums_within_a_host_tell_what_they_lack),
        cmocka_unit_test(fast_stages_device_memory),
        cmocka_unit_test(fast_sums_while_the_device_sends),
        cmocka_unit_test(fast_sums_in_device_memory),
        cmocka_unit_test(fast_does_without_mpi_that_fails),
        cmocka_unit_test(fast_tells_what_it_cannot_do),
        cmocka_unit_test(fast_tells_a_failed_copy),
        cmocka_unit_test(exact_is_one_tree),
        cmocka_unit_test(exact_stages_device_memory),
        cmocka_unit_test(exact_sums_in_device_memory),
        cmocka_unit_test(exact_does_without_mpi_that_fails),
        cmocka_unit_test(exact_tells_a_failed_device),
        cmocka_unit_test(exact_refuses_what_it_cannot_do),
    };
    const ranks_tests all = {tests, sizeof tests / sizeof *tests, NULL, NULL};
    return run_on_ranks(&all, &comm, &rank, &ranks);
}
