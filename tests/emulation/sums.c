/* SPDX-License-Identifier: Apache-2.0
 * Sums of gradients over ranks as a step makes them, on a device whose streams may be late: backward adds to
 * the gradients piece by piece, the optimizer reads them as soon as they are summed, and the next step zeroes
 * them. Fast sums are of small integers, exact in any order; exact ones have the bits of their tree, however
 * they travel. Run on 1, 2 and 4 ranks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/reduce.h"
#include "tests/support/check.h"
#include "tests/support/device_choice.h"
#include "tests/support/on_ranks.h"

/* Five buckets of the least size, the last one short; pieces of backward end in the middle of them. */
enum { COUNT = 4503, PIECE = 700, STEPS = 3, SLICES = 8 };

static fsfm_comm *comm;
static int rank, ranks;

typedef float (*part_fn)(int64_t slice, int step, int64_t i);

typedef struct {
    fsfm_device *dev;
    fsfm_error err;
    float *gradients, *given, *weights; /* the device's, (COUNT) */
    fsfm_reduce *reduce;
    part_fn part; /* what one slice (or, in fast, one rank) gives to a gradient */
} sums_case;

static float whole_part(int64_t slice, int step, int64_t i)
{
    return (float)(1 + slice * 3 + step + i % 61);
}

/* Of many sizes: the last bits of a sum tell the order of its additions. */
static float rough_part(int64_t slice, int step, int64_t i)
{
    const float value = (float)sin((double)(slice * 7919 + step * 104729 + i));
    return ldexpf(value, (int)((slice * 5 + i) % 11));
}

static float *allocate(sums_case *c)
{
    void *memory = NULL;
    assert_ok(c->dev->ops->alloc(c->dev, COUNT * sizeof(float), &memory, &c->err), &c->err);
    return memory;
}

static void begin(sums_case *c, fsfm_reduction kind, fsfm_carrier_kind carrier)
{
    const fsfm_device_options wanted = {
        .kind = device_choice(), .threads = 1, .index = fsfm_comm_local_rank(comm)};
    char note[160];
    memset(c, 0, sizeof *c);
    c->part = kind == FSFM_REDUCTION_EXACT ? rough_part : whole_part;
    assert_ok(fsfm_device_open(&wanted, &c->dev, note, &c->err), &c->err);
    c->gradients = allocate(c);
    c->given = allocate(c);
    c->weights = allocate(c);
    const fsfm_reduce_setup setup = {.comm = comm,
                                     .dev = c->dev,
                                     .gradients_dev = c->gradients,
                                     .count = COUNT,
                                     .kind = kind,
                                     .carrier = carrier,
                                     .slices = SLICES};
    assert_ok(fsfm_reduce_open(&setup, &c->reduce, &c->err), &c->err);
    assert_ok(c->dev->ops->zero(c->dev, c->weights, COUNT * sizeof(float), &c->err), &c->err);
}

static void end(sums_case *c)
{
    fsfm_reduce_close(&c->reduce);
    c->dev->ops->free(c->dev, c->weights);
    c->dev->ops->free(c->dev, c->given);
    c->dev->ops->free(c->dev, c->gradients);
    fsfm_device_close(&c->dev);
}

/* Two additions a piece, so that a sum that is begun too early misses one. tells: as a step's last
 * micro-batch.
 */
static void backward(sums_case *c, int64_t slice, int step, bool tells)
{
    fsfm_device *dev = c->dev;
    float values[COUNT];
    for (int64_t i = 0; i < COUNT; i++) values[i] = c->part(slice, step, i) / 2.0f;
    assert_ok(dev->ops->upload(dev, c->given, values, sizeof values, &c->err), &c->err);
    assert_ok(dev->ops->zero(dev, c->gradients, COUNT * sizeof(float), &c->err), &c->err);
    for (int64_t end = COUNT; end > 0;) {
        const int64_t first = end > PIECE ? end - PIECE : 0;
        for (int twice = 0; twice < 2; twice++)
            assert_ok(dev->ops->add(dev, end - first, c->given + first, c->gradients + first, &c->err),
                      &c->err);
        if (tells) fsfm_reduce_ready(c->reduce, first, end - first);
        end = first;
    }
}

/* Over parts [first, first + count), a power of two. */
static float sum_of_parts(const sums_case *c, int64_t first, int64_t count, int step, int64_t i)
{
    if (count == 1) return c->part(first, step, i);
    const float left = sum_of_parts(c, first, count / 2, step, i);
    return left + sum_of_parts(c, first + count / 2, count / 2, step, i);
}

static void check_weights(sums_case *c, int64_t parts)
{
    float got[COUNT];
    assert_ok(c->dev->ops->download(c->dev, got, c->weights, sizeof got, &c->err), &c->err);
    for (int64_t i = 0; i < COUNT; i++) {
        float want = 0;
        for (int step = 0; step < STEPS; step++) want += sum_of_parts(c, 0, parts, step, i);
        if (got[i] != want)
            fail_msg("rank %d: weight %d: got %a, want %a", rank, (int)i, (double)got[i], (double)want);
    }
}

static void optimizer(sums_case *c)
{
    assert_ok(c->dev->ops->add(c->dev, COUNT, c->gradients, c->weights, &c->err), &c->err);
}

static void check_fast(fsfm_carrier_kind carrier, const char *way)
{
    sums_case c;
    begin(&c, FSFM_REDUCTION_FAST, carrier);
    if (ranks > 1) assert_string_equal(fsfm_reduce_way(c.reduce), way);
    for (int step = 0; step < STEPS; step++) {
        fsfm_learner_sums sums = {rank, 1, step};
        fsfm_reduce_begin(c.reduce);
        backward(&c, rank, step, true);
        assert_ok(fsfm_reduce_gradients(c.reduce, &c.err), &c.err);
        optimizer(&c);
        fsfm_reduce_sums(c.reduce, NULL, &sums);
        assert_true(sums.rec_m == ranks * (ranks - 1) / 2 && sums.rec_fr == ranks &&
                    sums.sim == ranks * step);
    }
    check_weights(&c, ranks);
    end(&c);
}

static void by_nccl(void **state)
{
    (void)state;
    check_fast(FSFM_CARRIER_NCCL, "NCCL");
}

static void by_host(void **state)
{
    (void)state;
    check_fast(FSFM_CARRIER_HOST, "MPI by way of pinned host memory");
}

/* The emulated device's memory is the host's, unless it is protected. */
static bool is_protected(void)
{
    const char *protected = getenv("FSFM_EMULATION_PROTECT");
    return protected && strcmp(protected, "1") == 0;
}

static void by_mpi(void **state)
{
    (void)state;
    if (is_protected()) skip();
    setenv("FSFM_MPI_CUDA", "1", 1);
    check_fast(FSFM_CARRIER_MPI, "MPI on the GPU's memory");
    unsetenv("FSFM_MPI_CUDA");
}

static void check_tree(fsfm_carrier_kind carrier, const char *way)
{
    sums_case c;
    begin(&c, FSFM_REDUCTION_EXACT, carrier);
    if (ranks > 1) assert_string_equal(fsfm_reduce_way(c.reduce), way);
    for (int step = 0; step < STEPS; step++) {
        fsfm_learner_sums sums = {0}, slices[SLICES];
        int64_t taken = 0;
        fsfm_reduce_begin(c.reduce);
        for (int64_t slice = rank * SLICES / ranks; slice < (rank + 1) * SLICES / ranks; slice++) {
            slices[taken++] = (fsfm_learner_sums){(double)slice, 1, step};
            backward(&c, slice, step, false);
            assert_ok(fsfm_reduce_slice(c.reduce, &c.err), &c.err);
        }
        assert_ok(fsfm_reduce_gradients(c.reduce, &c.err), &c.err);
        fsfm_reduce_sums(c.reduce, slices, &sums);
        optimizer(&c);
        assert_true(sums.rec_m == SLICES * (SLICES - 1) / 2 && sums.rec_fr == SLICES &&
                    sums.sim == SLICES * step);
    }
    check_weights(&c, SLICES);
    end(&c);
}

static void tree_by_nccl(void **state)
{
    (void)state;
    check_tree(FSFM_CARRIER_NCCL, "NCCL, one tree over the slices");
}

static void tree_by_host(void **state)
{
    (void)state;
    check_tree(FSFM_CARRIER_HOST, "MPI by way of pinned host memory, one tree over the slices");
}

static void tree_by_mpi(void **state)
{
    (void)state;
    if (is_protected()) skip();
    setenv("FSFM_MPI_CUDA", "1", 1);
    check_tree(FSFM_CARRIER_MPI, "MPI on the GPU's memory, one tree over the slices");
    unsetenv("FSFM_MPI_CUDA");
}

/* Groups one after another on one device, as `bench allreduce` has them. */
static void groups_end(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        sums_case c;
        begin(&c, FSFM_REDUCTION_FAST, FSFM_CARRIER_NCCL);
        fsfm_reduce *second = NULL;
        fsfm_reduce_close(&c.reduce);
        const fsfm_reduce_setup setup = {.comm = comm,
                                         .dev = c.dev,
                                         .gradients_dev = c.gradients,
                                         .count = COUNT,
                                         .carrier = FSFM_CARRIER_NCCL};
        assert_ok(fsfm_reduce_open(&setup, &second, &c.err), &c.err);
        c.reduce = second;
        end(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_nccl),      cmocka_unit_test(by_host),      cmocka_unit_test(by_mpi),
        cmocka_unit_test(tree_by_nccl), cmocka_unit_test(tree_by_host), cmocka_unit_test(tree_by_mpi),
        cmocka_unit_test(groups_end),
    };
    const ranks_tests all = {tests, sizeof tests / sizeof *tests, NULL, NULL};
    return run_on_ranks(&all, &comm, &rank, &ranks);
}
