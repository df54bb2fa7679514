/* SPDX-License-Identifier: Apache-2.0
 * Steps whose loss is not finite: skipped on all ranks alike, recorded with null, and the end of the run when
 * there are too many in a row. The weights to start from hold a NaN. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "io/file.h"
#include "io/tensor_file.h"
#include "mpi/checkpoint.h"
#include "tests/support/check.h"

static char folder[256];

static int shell(const char *command)
{
    const int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

enum { TEXT_SIZE = 1 << 16 };

static void read_text(const char *name, char out[TEXT_SIZE])
{
    char path[512];
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    fsfm_error err;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(fsfm_file_read(path, &bytes, &size_bytes, &err), &err);
    snprintf(out, TEXT_SIZE, "%s", (char *)bytes);
    free(bytes);
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++) n++;
    return n;
}

/* The whole number that follows word; -1 if there is none. */
static long number_behind(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    return at ? strtol(at + strlen(word), NULL, 10) : -1;
}

static int make_inputs(void **state)
{
    (void)state;
    char path[512], command[1024];
    float values[192];
    const int64_t shape[3] = {1, 1, 192};
    fsfm_tensor_writer *writer = NULL;
    fsfm_error err;
    if (!getenv("FSFM") || !getenv("SOURCE")) return 0;
    make_folder(folder);
    for (int i = 0; i < 192; i++) values[i] = 0;
    values[77] = NAN;
    snprintf(path, sizeof path, "%s/nan.h5", folder);
    assert_ok(fsfm_tensor_writer_open(path, FSFM_CHECKPOINT_FORMAT, &writer, &err), &err);
    assert_ok(fsfm_tensor_writer_add(writer, "online/cls_token", 3, shape, values, &err), &err);
    assert_ok(fsfm_tensor_writer_finish(&writer, &err), &err);
    snprintf(command, sizeof command,
             "$FSFM synth %s/faces --count 8 >/dev/null && $FSFM pack %s/faces %s/data >/dev/null", folder,
             folder, folder);
    return shell(command);
}

static int remove_inputs(void **state)
{
    (void)state;
    if (folder[0]) remove_folder(folder);
    return 0;
}

static void bad_steps_end_a_run(void **state)
{
    (void)state;
    static char command[2048], log[TEXT_SIZE], records[TEXT_SIZE], end[TEXT_SIZE], said[TEXT_SIZE];
    if (!folder[0]) skip();
    snprintf(command, sizeof command,
             "cd %s && $RANKS 2 $FSFM pretrain $SOURCE/configs/quickstart.yaml data.path=data run.dir=run "
             "model.init=nan.h5 model.depth=1 model.decoder_depth=1 train.global_batch=2 train.epochs=4 "
             "train.max_bad_steps=3 log.every_steps=1 log.pictures=0 checkpoint.every_steps=1 run.threads=1 "
             ">log 2>&1",
             folder);
    assert_int_equal(shell(command), 1);
    read_text("log", log);
    read_text("run/metrics.jsonl", records);
    read_text("run/state.json", end);
    assert_int_equal(count(log, "train.max_bad_steps"), 1); /* rank 0 alone says it */
    assert_int_equal(count(records, "\"bad_step\""), 3);
    assert_int_equal(count(records, "\"loss\": null"), 3);
    assert_int_equal(count(records, "\"bad_steps\": 3"), 1);
    assert_non_null(strstr(end, "failed"));
    snprintf(command, sizeof command, "$FSFM inspect %s/run/checkpoints/step-00000002.h5 >%s/said", folder,
             folder);
    assert_int_equal(shell(command), 0);
    read_text("said", said);
    assert_int_equal(number_behind(said, "adam_t"), 0); /* skipped steps update nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bad_steps_end_a_run)};
    return cmocka_run_group_tests(tests, make_inputs, remove_inputs);
}
