/* SPDX-License-Identifier: Apache-2.0
 * A device's memory: arenas, copies, uploads. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/device_case.h"

static void arena_is_measured_then_allocated(void **state)
{
    (void)state;
    device_case c;
    case_begin(&c, 1, 0);
    fsfm_arena arena = {0};
    assert_null(fsfm_arena_acts(&arena, c.dev, 3));
    assert_null(fsfm_arena_floats(&arena, 65));
    const size_t size_bytes = arena.used_bytes;
    assert_int_equal(size_bytes, 256 + 512);
    assert_ok(fsfm_arena_allocate(&arena, c.dev, &c.err), &c.err);
    assert_int_equal(arena.used_bytes, 0);
    assert_int_equal(arena.limit_bytes, size_bytes);
    char *first = fsfm_arena_acts(&arena, c.dev, 3), *second = (char *)fsfm_arena_floats(&arena, 65);
    assert_int_equal((uintptr_t)first % FSFM_ARENA_ALIGN, 0);
    assert_int_equal(second - first, 256);
    assert_ok(c.dev->ops->zero(c.dev, first, size_bytes, &c.err), &c.err);
    fsfm_arena_release(&arena, c.dev);
    assert_null(arena.base);
    fsfm_arena_release(&arena, c.dev);
    assert_ok(fsfm_arena_allocate(&arena, c.dev, &c.err), &c.err); /* of nothing */
    fsfm_arena_release(&arena, c.dev);
    case_end(&c);
}

/* Blocks of whole pages begin at different places of a page. */
static void blocks_are_staggered(void **state)
{
    (void)state;
    enum { BLOCKS = 4 };
    device_case c;
    case_begin(&c, 1, 0);
    fsfm_arena arena = {0};
    for (int i = 0; i < BLOCKS; i++) fsfm_arena_bytes(&arena, 8192);
    const size_t size_bytes = arena.used_bytes;
    assert_ok(fsfm_arena_allocate(&arena, c.dev, &c.err), &c.err);
    uintptr_t place[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        place[i] = (uintptr_t)fsfm_arena_bytes(&arena, 8192) % 4096;
        assert_int_equal(place[i] % FSFM_ARENA_ALIGN, 0);
        for (int k = 0; k < i; k++) assert_int_not_equal(place[i], place[k]);
    }
    assert_int_equal(arena.used_bytes, size_bytes);
    fsfm_arena_release(&arena, c.dev);
    case_end(&c);
}

static void memory_is_copied(void **state)
{
    (void)state;
    device_case c;
    case_begin(&c, 1, 0);
    const fsfm_device_ops *ops = c.dev->ops;
    const size_t size_bytes = (size_t)9 << 20; /* large enough for huge pages */
    float *host = malloc(size_bytes), *back = malloc(size_bytes);
    void *a = NULL, *b = NULL;
    assert_true(host && back);
    for (size_t i = 0; i < size_bytes / sizeof *host; i++) host[i] = (float)i;
    assert_ok(ops->alloc(c.dev, size_bytes, &a, &c.err), &c.err);
    assert_ok(ops->alloc(c.dev, size_bytes, &b, &c.err), &c.err);
    assert_ok(ops->upload(c.dev, a, host, size_bytes, &c.err), &c.err);
    assert_ok(ops->copy(c.dev, b, a, size_bytes, &c.err), &c.err);
    assert_ok(ops->zero(c.dev, a, size_bytes, &c.err), &c.err);
    assert_ok(ops->download(c.dev, back, b, size_bytes, &c.err), &c.err);
    assert_memory_equal(back, host, size_bytes);
    assert_ok(ops->download(c.dev, back, a, size_bytes, &c.err), &c.err);
    memset(host, 0, size_bytes);
    assert_memory_equal(back, host, size_bytes);
    assert_ok(ops->synchronize(c.dev, &c.err), &c.err);
    ops->free(c.dev, a);
    ops->free(c.dev, b);
    ops->free(c.dev, NULL);
    assert_fails(ops->alloc(c.dev, SIZE_MAX / 2, &a, &c.err), FSFM_ERR_MEMORY, &c.err, "no memory for");
    assert_null(a);
    assert_ok(ops->alloc(c.dev, sizeof *host, &a, &c.err), &c.err); /* later work is not blamed for it */
    assert_ok(ops->zero(c.dev, a, sizeof *host, &c.err), &c.err);
    assert_ok(ops->add(c.dev, 1, a, a, &c.err), &c.err);
    assert_ok(ops->synchronize(c.dev, &c.err), &c.err);
    ops->free(c.dev, a);
    free(host);
    free(back);
    case_end(&c);
}

/* More than a backend keeps under way, each from memory that is written again at once; of each, a part of its
 * own is looked at. */
static void uploads_may_be_many(void **state)
{
    (void)state;
    enum { TIMES = 48, PARTS = 16, PART = 9 << 14, COUNT = PARTS * PART };
    device_case c;
    case_begin(&c, 1, 0);
    const fsfm_device_ops *ops = c.dev->ops;
    float *host = malloc(COUNT * sizeof *host), *all = NULL, *sum = NULL;
    assert_non_null(host);
    assert_ok(ops->alloc(c.dev, COUNT * sizeof *all, (void **)&all, &c.err), &c.err);
    assert_ok(ops->alloc(c.dev, PART * sizeof *sum, (void **)&sum, &c.err), &c.err);
    assert_ok(ops->zero(c.dev, sum, PART * sizeof *sum, &c.err), &c.err);
    for (int time = 0; time < TIMES; time++) {
        for (int i = 0; i < COUNT; i++) host[i] = (float)time;
        assert_ok(ops->upload(c.dev, all, host, COUNT * sizeof *host, &c.err), &c.err);
        assert_ok(ops->add(c.dev, PART, all + time % PARTS * PART, sum, &c.err), &c.err);
    }
    assert_ok(ops->download(c.dev, host, sum, PART * sizeof *sum, &c.err), &c.err);
    for (int i = 0; i < PART; i++)
        if (host[i] != (float)(TIMES * (TIMES - 1) / 2)) fail_msg("element %d is %g", i, (double)host[i]);
    ops->free(c.dev, all);
    ops->free(c.dev, sum);
    free(host);
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_is_measured_then_allocated),
        cmocka_unit_test(blocks_are_staggered),
        cmocka_unit_test(memory_is_copied),
        cmocka_unit_test(uploads_may_be_many),
    };
    return case_skips() ? 77 : cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
