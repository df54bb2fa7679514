/* SPDX-License-Identifier: Apache-2.0
 * As many samples as VGGFace2 has, in a thousand shards: what a start costs must not come from their number.
 * One shard of small images is written; the others are further names of the same file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io/reader.h"
#include "tests/support/check.h"
#include "tests/support/small_dataset.h"

enum {
    SHARDS = 1000,
    PER_SHARD = 3300,
    N = SHARDS * PER_SHARD,
    SIZE = 16,
    RANKS = 8,
    SHARE = 16,
    BATCHES = 3,
    LAST_EPOCH = 399,
    RESIDENT_MAX_MIB = 64
};

static const small_dataset shard = {
    .count = PER_SHARD, .per_shard = PER_SHARD, .size = SIZE, .has_regions = true};

typedef struct {
    char folder[256];
    fsfm_sampler *sampler;
} scale;

static void add_name(const char *folder, const char *of, char name[64], int64_t s)
{
    char old[512], path[512];
    snprintf(name, 64, "shard-%05" PRId64 ".h5", s);
    snprintf(old, sizeof old, "%s/%s", folder, of);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(link(old, path), 0);
}

static int setup(void **state)
{
    scale *self = calloc(1, sizeof *self);
    fsfm_dataset_card one;
    fsfm_error err;
    const fsfm_sampler_source source = {N, 1};
    assert_non_null(self);
    make_folder(self->folder);
    small_dataset_write(&shard, self->folder);
    assert_ok(fsfm_dataset_card_read(self->folder, &one, &err), &err);
    fsfm_dataset_card all = one;
    all.count = N;
    all.shard_count = SHARDS;
    all.shards = calloc(SHARDS, sizeof *all.shards);
    assert_non_null(all.shards);
    for (int64_t s = 0; s < SHARDS; s++) {
        all.shards[s] = one.shards[0];
        if (s > 0) add_name(self->folder, one.shards[0].file, all.shards[s].file, s);
    }
    assert_ok(fsfm_dataset_card_write(self->folder, &all, &err), &err);
    assert_ok(fsfm_sampler_create(&source, 1, 11, 0, &self->sampler, &err), &err);
    free(all.shards);
    fsfm_dataset_card_free(&one);
    *state = self;
    return 0;
}

static int teardown(void **state)
{
    scale *self = *state;
    fsfm_sampler_free(&self->sampler);
    remove_folder(self->folder);
    free(self);
    return 0;
}

static fsfm_dataset *open_dataset(const scale *self)
{
    fsfm_dataset *dataset = NULL;
    fsfm_error err;
    assert_ok(fsfm_dataset_open(self->folder, &dataset, &err), &err);
    assert_int_equal(fsfm_dataset_describe(dataset)->count, N);
    return dataset;
}

/* All shards can be open at a time. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < SHARDS + 64) skip();
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static double resident_mib(void)
{
    char line[256];
    double kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (kib < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, "VmRSS:", 6) == 0) kib = strtod(line + 6, NULL);
    fclose(file);
    assert_true(kib > 0);
    return kib / 1024;
}

static void assert_every_sample_once(const fsfm_sampler *sampler, uint32_t epoch, uint8_t *seen)
{
    memset(seen, 0, N);
    for (int64_t position = 0; position < N; position++) {
        const fsfm_place place = fsfm_sampler_place(sampler, epoch, position);
        if (place.source != 0 || place.pass != epoch || place.sample < 0 || place.sample >= N ||
            seen[place.sample]++)
            fail_msg("epoch %" PRIu32 ": position %" PRId64 " has sample %" PRId64 " of pass %" PRIu32, epoch,
                     position, place.sample, place.pass);
    }
}

static void first_and_last_epoch_have_every_sample_once(void **state)
{
    const scale *self = *state;
    uint8_t *seen = malloc(N);
    int64_t equal = 0;
    assert_non_null(seen);
    assert_int_equal(fsfm_sampler_epoch_samples(self->sampler), N);
    assert_every_sample_once(self->sampler, 0, seen);
    assert_every_sample_once(self->sampler, LAST_EPOCH, seen);
    for (int64_t position = 0; position < 10000; position++)
        equal += fsfm_sampler_place(self->sampler, 0, position).sample ==
                 fsfm_sampler_place(self->sampler, LAST_EPOCH, position).sample;
    assert_in_range(equal, 0, 3); /* of another order: by chance 10000 / N */
    free(seen);
}

/* The first batches of a rank; marks the shards that they are of. Returns how many that are. */
static int64_t read_first_batches(const scale *self, fsfm_dataset *dataset, int rank, uint8_t is_read[SHARDS])
{
    static uint8_t expected[SIZE * SIZE * 3];
    const fsfm_reader_plan plan = {
        .sources = &dataset,
        .source_count = 1,
        .sampler = self->sampler,
        .size = SIZE,
        .patch = SIZE,
        .global_batch = RANKS * SHARE,
        .steps_per_epoch = N / (RANKS * SHARE),
        .share_first = rank * SHARE,
        .share_count = SHARE,
        .batch_size = SHARE,
        .end_batch = BATCHES,
        .threads = 2,
        .prefetch_bytes = 1 << 20,
        .hold = 1,
    };
    fsfm_reader *reader = NULL;
    fsfm_batch batch;
    fsfm_error err;
    int64_t shards = 0;
    assert_ok(fsfm_reader_open(&plan, &reader, &err), &err);
    for (int64_t b = 0; b < BATCHES; b++) {
        assert_ok(fsfm_reader_next(reader, &batch, &err), &err);
        assert_int_equal(batch.B, SHARE);
        for (int64_t row = 0; row < SHARE; row++) {
            const int64_t sample = batch.refs[row].place.sample;
            small_dataset_image(&shard, sample % PER_SHARD, expected);
            assert_memory_equal(batch.images + row * (int64_t)sizeof expected, expected, sizeof expected);
            shards += !is_read[sample / PER_SHARD]++;
        }
        fsfm_reader_release(reader);
    }
    fsfm_reader_close(&reader);
    return shards;
}

static void a_rank_opens_the_shards_that_it_reads(void **state)
{
    const scale *self = *state;
    for (int rank = 0; rank < RANKS; rank++) {
        uint8_t is_read[SHARDS] = {0};
        fsfm_dataset *dataset = open_dataset(self);
        assert_int_equal(fsfm_dataset_opens(dataset), 0);
        const int64_t shards = read_first_batches(self, dataset, rank, is_read);
        assert_in_range(shards, SHARE, BATCHES * SHARE); /* in random order, most of another shard */
        assert_int_equal(fsfm_dataset_opens(dataset), shards);
        fsfm_dataset_close(&dataset);
    }
}

static void the_check_at_start_is_shared(void **state)
{
    const scale *self = *state;
    fsfm_error err;
    for (int rank = 0; rank < RANKS; rank++) {
        uint8_t is_open[SHARDS] = {0};
        int64_t more = 0;
        fsfm_dataset *dataset = open_dataset(self);
        assert_ok(fsfm_dataset_check_shards(dataset, rank, RANKS, &err), &err);
        assert_int_equal(fsfm_dataset_opens(dataset), SHARDS / RANKS);
        for (int64_t s = rank; s < SHARDS; s += RANKS) is_open[s] = 1;
        more = read_first_batches(self, dataset, rank, is_open);
        assert_int_equal(fsfm_dataset_opens(dataset), SHARDS / RANKS + more); /* no shard twice */
        fsfm_dataset_close(&dataset);
    }
}

/* From the card to the first batches, and then with every shard open and read from. */
static void memory_does_not_come_from_the_number_of_samples(void **state)
{
    const scale *self = *state;
    static uint8_t pixels[SIZE * SIZE * 3], expected[SIZE * SIZE * 3];
    uint8_t is_read[SHARDS] = {0};
    fsfm_stored_sample stored = {0};
    fsfm_error err;
    if (IS_SANITIZED) skip(); /* what is freed stays resident there */
    raise_file_limit();
    const double before = resident_mib();
    fsfm_dataset *dataset = open_dataset(self);
    (void)read_first_batches(self, dataset, 0, is_read);
    const double start = resident_mib() - before;
    for (int64_t s = 0; s < SHARDS; s++) {
        const int64_t in_shard = s * 7 % PER_SHARD;
        assert_ok(fsfm_dataset_read(dataset, s * PER_SHARD + in_shard, pixels, &stored, &err), &err);
        small_dataset_image(&shard, in_shard, expected);
        assert_memory_equal(pixels, expected, sizeof pixels);
    }
    const double all = resident_mib() - before;
    assert_int_equal(fsfm_dataset_opens(dataset), SHARDS);
    print_message("resident: %.1f MiB after the first batches, %.1f MiB with every shard in use\n", start,
                  all);
    assert_true(start < RESIDENT_MAX_MIB / 4);
    assert_true(all < RESIDENT_MAX_MIB);
    fsfm_stored_sample_free(&stored);
    fsfm_dataset_close(&dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_does_not_come_from_the_number_of_samples), /* first: the heap is small yet */
        cmocka_unit_test(a_rank_opens_the_shards_that_it_reads),
        cmocka_unit_test(the_check_at_start_is_shared),
        cmocka_unit_test(first_and_last_epoch_have_every_sample_once)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
