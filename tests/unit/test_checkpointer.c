/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "io/file.h"
#include "mpi/checkpointer.h"
#include "tests/support/check.h"

/* A model of two tensors, the first of them the trunk. */
static fsfm_parameter items[2] = {
    {.name = "blocks.0.weight", .axes = 2, .shape = {3, 5}, .offset = 0, .count = 15, .is_trunk = true},
    {.name = "decoder.bias", .axes = 1, .shape = {7}, .offset = 64, .count = 7},
};
static const fsfm_parameters parameters = {items, 2, 1, 64, 128, 15, 22};

typedef struct {
    char folder[256];
    fsfm_checkpointer *checkpointer;
    fsfm_log log;
    char *said;
    size_t said_bytes;
    FILE *stream;
} fixture;

static fsfm_status open_one(fixture *f, fsfm_error *err)
{
    const fsfm_checkpointer_setup setup = {.run_dir = f->folder,
                                           .parameters = &parameters,
                                           .floats = {128, 64, 128, 128},
                                           .config = "mask:\n  ratio: 0.75\n",
                                           .keep_last = 2,
                                           .keep_every = 10};
    return fsfm_checkpointer_open(&setup, &f->checkpointer, err);
}

static int setup_one(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    fsfm_error err;
    make_folder(f->folder);
    f->stream = open_memstream(&f->said, &f->said_bytes);
    fsfm_log_open(&f->log, f->stream);
    *state = f;
    return open_one(f, &err) != FSFM_OK;
}

static int teardown(void **state)
{
    fixture *f = *state;
    fsfm_checkpointer_close(&f->checkpointer);
    fsfm_log_close(&f->log);
    fclose(f->stream);
    free(f->said);
    remove_folder(f->folder);
    free(f);
    return 0;
}

static void path_of(const fixture *f, int64_t step, char path[512])
{
    char name[32];
    snprintf(name, sizeof name, "step-%08lld.h5", (long long)step);
    snprintf(path, 512, "%s/checkpoints/%s", f->folder, name);
}

static bool exists(const fixture *f, int64_t step)
{
    char path[512];
    path_of(f, step, path);
    return access(path, F_OK) == 0;
}

static fsfm_status save(fixture *f, int64_t step, bool is_best)
{
    fsfm_checkpoint *snapshot = fsfm_checkpointer_snapshot(f->checkpointer);
    const int64_t best_before = snapshot->counters.step > 0 ? snapshot->counters.best_step : -1;
    fsfm_checkpoint_result result;
    for (int s = 0; s < FSFM_STATES; s++)
        for (int64_t i = 0; i < snapshot->floats[s]; i++)
            snapshot->values[s][i] = (float)(step * 1000 + s * 100 + i);
    memset(&snapshot->counters, 0, sizeof snapshot->counters);
    snapshot->counters.step = step;
    snapshot->counters.samples = 8 * step;
    snapshot->counters.best_step = is_best ? step : best_before;
    snapshot->counters.best_loss = 0.1;
    snapshot->counters.mean[1] = 0.4375;
    snapshot->counters.seed = UINT64_MAX - 5;
    snprintf(snapshot->counters.dataset, sizeof snapshot->counters.dataset, "0123456789abcdef");
    free(snapshot->bad_samples);
    snapshot->bad_samples = strdup("0:17 0:4");
    fsfm_checkpointer_start(f->checkpointer, is_best);
    fsfm_checkpointer_wait(f->checkpointer);
    assert_true(fsfm_checkpointer_take_result(f->checkpointer, &result));
    assert_false(fsfm_checkpointer_take_result(f->checkpointer, &result));
    assert_int_equal(result.step, step);
    return result.status;
}

static fsfm_status load(fixture *f, bool *found, fsfm_error *err)
{
    return fsfm_checkpointer_load(f->checkpointer, NULL, NULL, &f->log, found, err);
}

/* A new process: nothing is left of the old one's memory. */
static void reopen(fixture *f)
{
    fsfm_error err;
    fsfm_checkpointer_close(&f->checkpointer);
    assert_ok(open_one(f, &err), &err);
}

static void damage(const fixture *f, int64_t step)
{
    char path[512];
    path_of(f, step, path);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    const long size = ftell(file);
    fclose(file);
    assert_int_equal(truncate(path, size / 2), 0);
}

static void empty_folder_is_a_new_run(void **state)
{
    bool found = true;
    fsfm_error err;
    assert_ok(load(*state, &found, &err), &err);
    assert_false(found);
}

static void comes_back_whole(void **state)
{
    fixture *f = *state;
    bool found = false;
    fsfm_error err;
    assert_int_equal(save(f, 5, false), FSFM_OK);
    reopen(f);
    assert_ok(load(f, &found, &err), &err);
    assert_true(found);
    const fsfm_checkpoint *got = fsfm_checkpointer_snapshot(f->checkpointer);
    assert_int_equal(got->counters.step, 5);
    assert_int_equal(got->counters.samples, 40);
    assert_int_equal(got->counters.best_step, -1);
    assert_true(got->counters.best_loss == 0.1 && got->counters.mean[1] == 0.4375);
    assert_true(got->counters.seed == UINT64_MAX - 5);
    assert_string_equal(got->counters.dataset, "0123456789abcdef");
    assert_string_equal(got->bad_samples, "0:17 0:4");
    for (int s = 0; s < FSFM_STATES; s++) {
        for (int i = 0; i < 15; i++) assert_true(got->values[s][i] == (float)(5000 + s * 100 + i));
        for (int i = 15; i < 64; i++) assert_true(got->values[s][i] == 0); /* between tensors */
        for (int i = 64; i < 71 && s != FSFM_STATE_TARGET; i++)
            assert_true(got->values[s][i] == (float)(5000 + s * 100 + i));
    }
}

static void equal_states_give_equal_files(void **state)
{
    fixture *f = *state;
    char path[512];
    uint8_t *one = NULL, *two = NULL;
    size_t one_bytes = 0, two_bytes = 0;
    fsfm_error err;
    path_of(f, 3, path);
    assert_int_equal(save(f, 3, false), FSFM_OK);
    assert_ok(fsfm_file_read(path, &one, &one_bytes, &err), &err);
    sleep(1);
    assert_int_equal(save(f, 3, false), FSFM_OK);
    assert_ok(fsfm_file_read(path, &two, &two_bytes, &err), &err);
    assert_int_equal(one_bytes, two_bytes);
    assert_memory_equal(one, two, one_bytes);
    free(one);
    free(two);
}

static void keeps_what_it_should(void **state)
{
    fixture *f = *state;
    char path[300];
    uint8_t *text = NULL;
    size_t length = 0;
    fsfm_error err;
    for (int64_t step = 2; step <= 16; step += 2) assert_int_equal(save(f, step, step == 6), FSFM_OK);
    assert_true(exists(f, 16) && exists(f, 14)); /* the last two */
    assert_true(exists(f, 10));                  /* every ten */
    assert_true(exists(f, 6));                   /* the best */
    assert_false(exists(f, 12) || exists(f, 8) || exists(f, 4) || exists(f, 2));
    snprintf(path, sizeof path, "%s/checkpoints/best", f->folder);
    assert_ok(fsfm_file_read(path, &text, &length, &err), &err);
    assert_string_equal((char *)text, "step-00000006.h5\n");
    free(text);
}

static void damaged_newest_is_named_and_the_next_used(void **state)
{
    fixture *f = *state;
    bool found = false;
    fsfm_error err;
    assert_int_equal(save(f, 5, false), FSFM_OK);
    assert_int_equal(save(f, 6, false), FSFM_OK);
    damage(f, 6);
    reopen(f);
    assert_ok(load(f, &found, &err), &err);
    assert_true(found);
    assert_int_equal(fsfm_checkpointer_snapshot(f->checkpointer)->counters.step, 5);
    fflush(f->stream);
    assert_non_null(strstr(f->said, "step-00000006.h5"));
    /* going on from 5, the damaged file of the future goes when a good one was written */
    assert_int_equal(save(f, 5, false), FSFM_OK);
    assert_false(exists(f, 6));
}

static void none_good_is_an_error(void **state)
{
    fixture *f = *state;
    bool found = true;
    fsfm_error err;
    assert_int_equal(save(f, 5, false), FSFM_OK);
    damage(f, 5);
    reopen(f);
    assert_fails(load(f, &found, &err), FSFM_ERR_FORMAT, &err, "none of the 1 checkpoints");
    assert_false(found);
}

static fsfm_status refuse(void *context, const char *config, const fsfm_checkpoint_counters *counters,
                          fsfm_error *err)
{
    ++*(int *)context;
    assert_string_equal(config, "mask:\n  ratio: 0.75\n");
    assert_int_equal(counters->step, 6);
    return fsfm_fail(err, FSFM_ERR_ARG, "mask.ratio: was 0.75, now 0.5");
}

static void refused_configuration_is_no_damage(void **state)
{
    fixture *f = *state;
    bool found = true;
    int asked = 0;
    fsfm_error err;
    assert_int_equal(save(f, 5, false), FSFM_OK);
    assert_int_equal(save(f, 6, false), FSFM_OK);
    assert_fails(fsfm_checkpointer_load(f->checkpointer, refuse, &asked, &f->log, &found, &err), FSFM_ERR_ARG,
                 &err, "mask.ratio: was 0.75");
    assert_int_equal(asked, 1); /* an older one is not tried */
}

static void latest_goes_before_the_newest(void **state)
{
    fixture *f = *state;
    char path[300];
    bool found = false;
    fsfm_error err;
    assert_int_equal(save(f, 5, false), FSFM_OK);
    assert_int_equal(save(f, 6, false), FSFM_OK);
    snprintf(path, sizeof path, "%s/checkpoints/latest", f->folder);
    assert_ok(fsfm_file_write(path, "step-00000005.h5\n", 17, &err), &err);
    reopen(f);
    assert_ok(load(f, &found, &err), &err);
    assert_int_equal(fsfm_checkpointer_snapshot(f->checkpointer)->counters.step, 5);
}

static void failed_write_harms_nothing(void **state)
{
    fixture *f = *state;
    char path[512], moved[600];
    bool found = false;
    fsfm_error err;
    assert_int_equal(save(f, 5, false), FSFM_OK);
    snprintf(path, sizeof path, "%s/checkpoints", f->folder);
    snprintf(moved, sizeof moved, "%s.away", path);
    assert_int_equal(rename(path, moved), 0); /* no folder to write to */
    assert_int_not_equal(save(f, 6, false), FSFM_OK);
    assert_int_equal(rename(moved, path), 0);
    assert_int_equal(save(f, 7, false), FSFM_OK); /* the next one may do better */
    reopen(f);
    assert_ok(load(f, &found, &err), &err);
    assert_int_equal(fsfm_checkpointer_snapshot(f->checkpointer)->counters.step, 7);
    assert_true(exists(f, 5));
    assert_false(exists(f, 6));
}

/* A save waits for the write that is under way: what it takes counts. */
static void seconds_with_a_write_under_way(void **state)
{
    fixture *f = *state;
    bool is_seen = false;
    for (int64_t step = 1; step <= 50 && !is_seen; step++) { /* the write may have ended before we look */
        const double alone_s = fsfm_checkpointer_seconds(f->checkpointer, 1);
        assert_true(alone_s > 0 && fsfm_checkpointer_seconds(f->checkpointer, 2) == 2 * alone_s);
        fsfm_checkpointer_snapshot(f->checkpointer)->counters.step = step;
        fsfm_checkpointer_start(f->checkpointer, false);
        is_seen = fsfm_checkpointer_seconds(f->checkpointer, 1) >= 2 * alone_s;
        fsfm_checkpointer_wait(f->checkpointer);
    }
    assert_true(is_seen);
    assert_true(fsfm_checkpointer_seconds(f->checkpointer, 0) == 0);
}

static void half_files_of_a_killed_run_go(void **state)
{
    fixture *f = *state;
    char path[300], kept[300];
    fsfm_error err;
    snprintf(path, sizeof path, "%s/checkpoints/step-00000009.h5.1-2-3.tmp", f->folder);
    snprintf(kept, sizeof kept, "%s/checkpoints/notes.txt", f->folder);
    assert_ok(fsfm_file_write(path, "half", 4, &err), &err);
    assert_ok(fsfm_file_write(kept, "mine", 4, &err), &err);
    reopen(f);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(kept, F_OK), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup_one, teardown)
    const struct CMUnitTest tests[] = {
        CASE(empty_folder_is_a_new_run),
        CASE(comes_back_whole),
        CASE(equal_states_give_equal_files),
        CASE(keeps_what_it_should),
        CASE(damaged_newest_is_named_and_the_next_used),
        CASE(none_good_is_an_error),
        CASE(refused_configuration_is_no_damage),
        CASE(latest_goes_before_the_newest),
        CASE(failed_write_harms_nothing),
        CASE(seconds_with_a_write_under_way),
        CASE(half_files_of_a_killed_run_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
