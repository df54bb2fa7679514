/* SPDX-License-Identifier: Apache-2.0
 * The queue of operations: what a read finds in it, and parts of it that are recorded and replayed. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/device_case.h"

enum { COUNT = 1000 };

static float *ones_of(device_case *c, float value)
{
    float host[COUNT];
    for (int i = 0; i < COUNT; i++) host[i] = value;
    return case_bytes(c, host, sizeof host);
}

static void check_all(device_case *c, const float *dev, float want)
{
    float got[COUNT];
    assert_ok(c->dev->ops->download(c->dev, got, dev, sizeof got, &c->err), &c->err);
    for (int i = 0; i < COUNT; i++) assert_true(got[i] == want);
}

static void a_read_is_of_its_place_in_the_queue(void **state)
{
    (void)state;
    device_case c;
    float got[COUNT], others[COUNT] = {5.0f};
    case_begin(&c, 1, 0);
    const fsfm_device_ops *ops = c.dev->ops;
    float *a = ones_of(&c, 1.0f), *b = ones_of(&c, 5.0f);
    for (int time = 1; time <= 8; time++) {
        assert_ok(ops->add(c.dev, COUNT, b, a, &c.err), &c.err);
        assert_ok(ops->start_read(c.dev, a, sizeof got, &c.err), &c.err);
        assert_ok(ops->add(c.dev, COUNT, b, a, &c.err), &c.err);
        if (time > 4) /* which waits for the queue */
            assert_ok(ops->download(c.dev, others, b, sizeof others, &c.err), &c.err);
        assert_ok(ops->finish_read(c.dev, got, sizeof got, &c.err), &c.err);
        for (int i = 0; i < COUNT; i++) assert_true(got[i] == (float)(10 * time - 4));
        assert_true(others[0] == 5.0f);
    }
    case_end(&c);
}

/* y += x; z = y */
static void enqueue(device_case *c, const float *x, float *y, float *z)
{
    const fsfm_device_ops *ops = c->dev->ops;
    assert_ok(ops->add(c->dev, COUNT, x, y, &c->err), &c->err);
    assert_ok(ops->copy(c->dev, z, y, COUNT * sizeof *z, &c->err), &c->err);
}

static void recordings_find_what_is_in_memory_then(void **state)
{
    (void)state;
    device_case c;
    float host[COUNT] = {0};
    fsfm_recording *recording = NULL;
    case_begin(&c, 1, 0);
    fsfm_recorder *recorder = c.dev->recorder;
    const fsfm_device_ops *ops = c.dev->ops;
    float *x = ones_of(&c, 1.0f), *y = ones_of(&c, 0.0f), *z = ones_of(&c, -1.0f);
    if (c.dev->memory_is_host) assert_null(recorder);
    if (!recorder) {
        case_end(&c);
        skip();
    }
    enqueue(&c, x, y, z); /* as in a step: what is made at the first use is there */
    assert_ok(recorder->ops->begin(recorder, &c.err), &c.err);
    enqueue(&c, x, y, z);
    assert_ok(recorder->ops->end(recorder, &recording, &c.err), &c.err);
    check_all(&c, z, 1.0f);
    for (int time = 1; time <= 3; time++) {
        for (int i = 0; i < COUNT; i++) host[i] = (float)(10 * time);
        assert_ok(ops->upload(c.dev, x, host, sizeof host, &c.err), &c.err);
        assert_ok(recorder->ops->replay(recorder, recording, &c.err), &c.err);
    }
    check_all(&c, y, 61.0f);
    check_all(&c, z, 61.0f);
    recorder->ops->free(recorder, recording);
    recorder->ops->free(recorder, NULL);
    case_end(&c);
}

/* Memory that a product took at its first use stays, though one of a larger shape took more. */
static void recorded_products_keep_their_memory(void **state)
{
    (void)state;
    enum { N = 5, WIDTH = 13, MANY = 300 };
    device_case c;
    fsfm_recording *recording = NULL;
    case_begin(&c, 1, WIDTH);
    fsfm_recorder *recorder = c.dev->recorder;
    if (!recorder) {
        case_end(&c);
        skip();
    }
    const case_array *x = case_random(&c, CASE_ACTS, MANY * WIDTH, 1.0),
                     *weight = case_random(&c, CASE_WEIGHTS, WIDTH * WIDTH, 1.0);
    case_array *want = case_output(&c, CASE_ACTS, N * WIDTH), *got = case_output(&c, CASE_ACTS, N * WIDTH),
               *more = case_output(&c, CASE_ACTS, MANY * WIDTH);
    fsfm_linear_args args = {
        .N = N, .Cin = WIDTH, .Cout = WIDTH, .x = x->dev, .weight = weight->dev, .out = want->dev};
    assert_ok(c.dev->ops->linear(c.dev, &args, &c.err), &c.err);
    args.out = got->dev;
    assert_ok(recorder->ops->begin(recorder, &c.err), &c.err);
    assert_ok(c.dev->ops->linear(c.dev, &args, &c.err), &c.err);
    assert_ok(recorder->ops->end(recorder, &recording, &c.err), &c.err);
    args.N = MANY;
    args.out = more->dev;
    assert_ok(c.dev->ops->linear(c.dev, &args, &c.err), &c.err);
    assert_ok(recorder->ops->replay(recorder, recording, &c.err), &c.err);
    case_check_equal(&c, got, want, "a replayed product");
    recorder->ops->free(recorder, recording);
    case_end(&c);
}

static void what_cannot_be_recorded_leaves_nothing(void **state)
{
    (void)state;
    device_case c;
    float host[COUNT];
    fsfm_recording *recording = NULL;
    case_begin(&c, 1, 0);
    fsfm_recorder *recorder = c.dev->recorder;
    const fsfm_device_ops *ops = c.dev->ops;
    float *x = ones_of(&c, 1.0f), *y = ones_of(&c, 0.0f), *z = ones_of(&c, -1.0f);
    if (!recorder) {
        case_end(&c);
        skip();
    }
    assert_ok(recorder->ops->begin(recorder, &c.err), &c.err);
    enqueue(&c, x, y, z);
    assert_int_not_equal(ops->download(c.dev, host, y, sizeof host, &c.err), FSFM_OK);
    assert_int_not_equal(recorder->ops->end(recorder, &recording, &c.err), FSFM_OK);
    assert_null(recording);
    check_all(&c, y, 0.0f);
    enqueue(&c, x, y, z);
    check_all(&c, y, 1.0f);
    check_all(&c, z, 1.0f);
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_is_of_its_place_in_the_queue),
        cmocka_unit_test(recordings_find_what_is_in_memory_then),
        cmocka_unit_test(recorded_products_keep_their_memory),
        cmocka_unit_test(what_cannot_be_recorded_leaves_nothing),
    };
    return case_skips() ? 77 : cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
