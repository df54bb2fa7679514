/* SPDX-License-Identifier: Apache-2.0
 * When work is enqueued, recorded and replayed; and what is left of it where a part cannot be recorded. The
 * device keeps a log: a letter for each operation that runs, a digit for each cut that is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/model/recordings.h"
#include "tests/support/check.h"
#include "tests/support/plain_device.h"

struct fsfm_recording {
    char letters[16];
};

typedef struct {
    fsfm_recorder base;
    plain_device plain;
    char log[256];
    fsfm_recording *open;             /* being recorded */
    int begins, ends, recordings;     /* recordings: that are not freed */
    int fails_at_begin, fails_at_end; /* number of the call that fails, from 1; 0: none */
} logging;

static logging *device;

static void log_text(const char *text)
{
    strncat(device->log, text, sizeof device->log - strlen(device->log) - 1);
}

static fsfm_status begin(fsfm_recorder *recorder, fsfm_error *err)
{
    (void)recorder;
    assert_null(device->open);
    if (++device->begins == device->fails_at_begin)
        return fsfm_fail(err, FSFM_ERR_DEVICE, "told not to begin");
    device->open = calloc(1, sizeof *device->open);
    device->recordings++;
    return FSFM_OK;
}

static void release(fsfm_recorder *recorder, fsfm_recording *recording)
{
    (void)recorder;
    device->recordings -= recording != NULL;
    free(recording);
}

static fsfm_status end(fsfm_recorder *recorder, fsfm_recording **out, fsfm_error *err)
{
    *out = device->open;
    device->open = NULL;
    if (!*out) return fsfm_fail(err, FSFM_ERR_DEVICE, "nothing was begun");
    if (++device->ends != device->fails_at_end) return FSFM_OK;
    release(recorder, *out);
    *out = NULL;
    return fsfm_fail(err, FSFM_ERR_DEVICE, "told not to end");
}

static fsfm_status replay(fsfm_recorder *recorder, const fsfm_recording *recording, fsfm_error *err)
{
    (void)recorder, (void)err;
    log_text(recording->letters);
    return FSFM_OK;
}

static const fsfm_recorder_ops recorder_ops = {begin, end, replay, release};

static void enqueue_letter(const char *letter)
{
    if (device->open)
        strcat(device->open->letters, letter);
    else
        log_text(letter);
}

typedef struct {
    fsfm_recordings *recordings;
    int cuts;
    bool fails;
} work;

static fsfm_status enqueue(void *context, fsfm_error *err)
{
    const work *w = context;
    enqueue_letter("a");
    for (int i = 0; i < w->cuts; i++) {
        fsfm_recordings_cut(w->recordings);
        enqueue_letter(i == 0 ? "b" : "c");
    }
    return w->fails ? fsfm_fail(err, FSFM_ERR_DEVICE, "told to fail") : FSFM_OK;
}

static void reach_cut(void *context, int64_t index)
{
    char digit[8];
    (void)context;
    snprintf(digit, sizeof digit, "%d", (int)index);
    log_text(digit);
}

static fsfm_recordings *open_recordings(fsfm_records records)
{
    fsfm_error err;
    fsfm_recordings *recordings = NULL;
    device = calloc(1, sizeof *device);
    plain_device_init(&device->plain, false);
    device->base.ops = &recorder_ops;
    device->plain.device.recorder = &device->base;
    assert_ok(fsfm_recordings_open(&device->plain.device, records, 2, &recordings, &err), &err);
    return recordings;
}

static void close_recordings(fsfm_recordings *recordings)
{
    fsfm_recordings_close(&recordings);
    assert_int_equal(device->recordings, 0);
    assert_null(device->open);
    free(device);
}

/* Runs work of a key, and demands that this adds text to the log. */
static fsfm_status run(fsfm_recordings *recordings, int64_t key, work *w, const char *text, fsfm_error *err)
{
    const fsfm_recordable recordable = {enqueue, reach_cut, w};
    w->recordings = recordings;
    device->log[0] = '\0';
    const fsfm_status st = fsfm_recordings_run(recordings, &(fsfm_recording_key){{key}}, &recordable, err);
    assert_string_equal(device->log, text);
    return st;
}

static void the_second_time_is_recorded(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_recordings *recordings = open_recordings(FSFM_RECORDS_AUTO);
    work two = {.cuts = 2}, none = {.cuts = 0};
    for (int i = 0; i < 4; i++) assert_ok(run(recordings, 1, &two, "a0b1c", &err), &err);
    assert_int_equal(device->begins, 3);
    assert_int_equal(fsfm_recordings_replays(recordings), 3);
    for (int i = 0; i < 3; i++) assert_ok(run(recordings, 2, &none, "a", &err), &err);
    assert_int_equal(device->begins, 4);
    assert_int_equal(fsfm_recordings_replays(recordings), 5);
    assert_string_equal(fsfm_recordings_note(recordings), "");
    close_recordings(recordings);
}

static void more_keys_than_there_is_room_for_are_enqueued(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_recordings *recordings = open_recordings(FSFM_RECORDS_AUTO);
    work one = {.cuts = 1};
    for (int pass = 0; pass < 3; pass++)
        for (int key = 0; key < 40; key++) assert_ok(run(recordings, key, &one, "a0b", &err), &err);
    assert_true(fsfm_recordings_replays(recordings) > 0 && fsfm_recordings_replays(recordings) < 2 * 40);
    close_recordings(recordings);
}

/* Nothing runs twice, whichever part fails. */
static void what_cannot_be_recorded_is_enqueued(void **state)
{
    (void)state;
    for (int part = 1; part <= 3; part++) {
        fsfm_error err;
        fsfm_recordings *recordings = open_recordings(FSFM_RECORDS_AUTO);
        work two = {.cuts = 2};
        assert_ok(run(recordings, 1, &two, "a0b1c", &err), &err);
        device->fails_at_end = part;
        for (int i = 0; i < 3; i++) assert_ok(run(recordings, 1, &two, "a0b1c", &err), &err);
        assert_string_equal(fsfm_recordings_note(recordings), "told not to end");
        assert_int_equal(fsfm_recordings_replays(recordings), 0);
        assert_int_equal(device->recordings, 0);
        close_recordings(recordings);
    }
}

static void work_that_fails_while_it_is_recorded_is_enqueued(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_recordings *recordings = open_recordings(FSFM_RECORDS_AUTO);
    work one = {.cuts = 1}, failing = {.cuts = 1, .fails = true};
    assert_ok(run(recordings, 1, &one, "a0b", &err), &err);
    assert_fails(run(recordings, 1, &failing, "a0b", &err), FSFM_ERR_DEVICE, &err, "told to fail");
    assert_string_equal(fsfm_recordings_note(recordings), "told to fail");
    close_recordings(recordings);
}

/* Then a part has run, and all of it must not run again. */
static void a_recording_that_is_not_begun_is_a_failure(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_recordings *recordings = open_recordings(FSFM_RECORDS_AUTO);
    work one = {.cuts = 1};
    assert_ok(run(recordings, 1, &one, "a0b", &err), &err);
    device->fails_at_begin = 2;
    assert_fails(run(recordings, 1, &one, "b", &err), FSFM_ERR_DEVICE, &err, "told not to begin");
    close_recordings(recordings);
}

static void a_first_part_that_is_not_begun_is_none(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_recordings *recordings = open_recordings(FSFM_RECORDS_AUTO);
    work one = {.cuts = 1};
    assert_ok(run(recordings, 1, &one, "a0b", &err), &err);
    device->fails_at_begin = 1;
    assert_ok(run(recordings, 1, &one, "a0b", &err), &err);
    assert_string_equal(fsfm_recordings_note(recordings), "told not to begin");
    close_recordings(recordings);
}

static void on_demands_it(void **state)
{
    (void)state;
    fsfm_error err;
    work one = {.cuts = 1};
    fsfm_recordings *recordings = open_recordings(FSFM_RECORDS_ON);
    assert_ok(run(recordings, 1, &one, "a0b", &err), &err);
    device->fails_at_end = 2;
    assert_fails(run(recordings, 1, &one, "", &err), FSFM_ERR_DEVICE, &err, "told not to end");
    close_recordings(recordings);
    plain_device plain;
    plain_device_init(&plain, true);
    snprintf(plain.device.name, sizeof plain.device.name, "plain");
    assert_fails(fsfm_recordings_open(&plain.device, FSFM_RECORDS_ON, 1, &recordings, &err), FSFM_ERR_ARG,
                 &err, "plain records no graphs");
    assert_null(recordings);
}

static void off_forbids_it(void **state)
{
    (void)state;
    fsfm_error err;
    work one = {.cuts = 1};
    fsfm_recordings *recordings = open_recordings(FSFM_RECORDS_OFF);
    for (int i = 0; i < 3; i++) assert_ok(run(recordings, 1, &one, "a0b", &err), &err);
    assert_int_equal(device->begins, 0);
    close_recordings(recordings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_time_is_recorded),
        cmocka_unit_test(more_keys_than_there_is_room_for_are_enqueued),
        cmocka_unit_test(what_cannot_be_recorded_is_enqueued),
        cmocka_unit_test(work_that_fails_while_it_is_recorded_is_enqueued),
        cmocka_unit_test(a_recording_that_is_not_begun_is_a_failure),
        cmocka_unit_test(a_first_part_that_is_not_begun_is_none),
        cmocka_unit_test(on_demands_it),
        cmocka_unit_test(off_forbids_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
