/* SPDX-License-Identifier: Apache-2.0
 * A step allocates nothing: a run of 14 steps makes as many allocations as one of 8 steps. Counted over the
 * whole process, reader, log and metrics included. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/command.h"
#include "tests/support/check.h"

static atomic_llong allocations;

#if !IS_SANITIZED
void *__libc_malloc(size_t size_bytes);
void *__libc_calloc(size_t count, size_t size_bytes);
void *__libc_realloc(void *old, size_t size_bytes);
void *__libc_memalign(size_t alignment, size_t size_bytes);

static void count_one(void)
{
    atomic_fetch_add(&allocations, 1);
}

void *malloc(size_t size_bytes)
{
    count_one();
    return __libc_malloc(size_bytes);
}

void *calloc(size_t count, size_t size_bytes)
{
    count_one();
    return __libc_calloc(count, size_bytes);
}

void *realloc(void *old, size_t size_bytes)
{
    count_one();
    return __libc_realloc(old, size_bytes);
}

void *aligned_alloc(size_t alignment, size_t size_bytes)
{
    count_one();
    return __libc_memalign(alignment, size_bytes);
}

int posix_memalign(void **out, size_t alignment, size_t size_bytes)
{
    count_one();
    *out = __libc_memalign(alignment, size_bytes);
    return *out ? 0 : 12; /* ENOMEM */
}
#endif

static char folder[256];

static void run_command(const fsfm_command *command, int argc, char **argv)
{
    fsfm_error err = {0};
    const int code = command->run(argc, argv, &err);
    if (code != FSFM_EXIT_DONE) fail_msg("%s: exit code %d: %s", command->name, code, err.message);
}

static long long count_run(const char *steps)
{
    char config[512], data[512], dir[512], max_steps[64];
    const char *source = getenv("SOURCE");
    snprintf(config, sizeof config, "%s/configs/quickstart.yaml", source ? source : ".");
    snprintf(data, sizeof data, "data.path=%s/data", folder);
    snprintf(dir, sizeof dir, "run.dir=%s/run-%s", folder, steps);
    snprintf(max_steps, sizeof max_steps, "train.max_steps=%s", steps);
    char *arguments[] = {config,
                         data,
                         dir,
                         max_steps,
                         "train.global_batch=4",
                         "train.epochs=20",
                         "model.depth=2",
                         "model.decoder_depth=1",
                         "run.threads=2",
                         "log.every_steps=1",
                         "log.pictures=0",
                         "checkpoint.every_steps=0"};
    const long long before = atomic_load(&allocations);
    run_command(&fsfm_command_pretrain, (int)(sizeof arguments / sizeof arguments[0]), arguments);
    return atomic_load(&allocations) - before;
}

static void test_steps_allocate_nothing(void **state)
{
    (void)state;
    if (IS_SANITIZED) skip();
    char faces[300], data[300];
    make_folder(folder);
    snprintf(faces, sizeof faces, "%s/faces", folder);
    snprintf(data, sizeof data, "%s/data", folder);
    run_command(&fsfm_command_synth, 3, (char *[]){faces, "--count", "8"});
    run_command(&fsfm_command_pack, 2, (char *[]){faces, data});
    count_run("2"); /* what a library keeps from its first use is there now */
    const long long few = count_run("8"), many = count_run("14");
    remove_folder(folder);
    print_message("%lld allocations in 8 steps, %lld in 14\n", few, many);
    assert_true(few > 100); /* the counter counts */
    assert_int_equal(many, few);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps_allocate_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
