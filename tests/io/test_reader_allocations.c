/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>

#include "io/reader.h"
#include "mpi/mask_feed.h"
#include "tests/support/check.h"
#include "tests/support/small_dataset.h"

static atomic_long allocations;

#if !IS_SANITIZED
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);

void *malloc(size_t bytes)
{
    allocations++;
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    allocations++;
    return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    allocations++;
    return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t align, size_t bytes)
{
    allocations++;
    return __libc_memalign(align, bytes);
}
#endif

enum { N = 60, B = 6, EPOCHS = 4 };

/* After an epoch has met every sample, nothing is allocated any more. */
static void nothing_is_allocated_per_sample(void **state)
{
    (void)state;
    if (IS_SANITIZED) skip();
    const small_dataset small = {.count = N, .per_shard = 25, .size = 112, .has_regions = true};
    const fsfm_sampler_source source = {N, 1};
    const fsfm_mask_options options = {.strategy = FSFM_MASK_CRFR_P, .ratio = 0.75, .region_group = 64};
    char folder[256];
    fsfm_dataset *dataset = NULL;
    fsfm_sampler *sampler = NULL;
    fsfm_reader *reader = NULL;
    fsfm_mask_feed feed;
    fsfm_batch batch;
    fsfm_error err;
    make_folder(folder);
    small_dataset_write(&small, folder);
    assert_ok(fsfm_dataset_open(folder, &dataset, &err), &err);
    assert_ok(fsfm_sampler_create(&source, 1, 5, 0, &sampler, &err), &err);
    assert_ok(fsfm_mask_feed_make(&options, 5, 112, 16, false, &dataset, 1, &feed, &err), &err);
    const fsfm_reader_plan plan = {.sources = &dataset,
                                   .source_count = 1,
                                   .sampler = sampler,
                                   .seed = 5,
                                   .size = 112,
                                   .patch = 16,
                                   .view = FSFM_VIEW_CROP,
                                   .draw_masks = fsfm_mask_feed_draw,
                                   .draw_context = &feed,
                                   .global_batch = B,
                                   .steps_per_epoch = N / B,
                                   .share_count = B,
                                   .batch_size = B,
                                   .end_batch = EPOCHS * N / B,
                                   .threads = 1,
                                   .hold = 1};
    assert_ok(fsfm_reader_open(&plan, &reader, &err), &err);
    long before = 0;
    for (int64_t b = 0; b < plan.end_batch; b++) {
        if (b == N / B + 1) before = allocations;
        assert_ok(fsfm_reader_next(reader, &batch, &err), &err);
        fsfm_reader_release(reader);
    }
    assert_true(before > 0);
    assert_int_equal(allocations - before, 0);
    fsfm_reader_close(&reader);
    fsfm_sampler_free(&sampler);
    fsfm_dataset_close(&dataset);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_allocated_per_sample)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
