/* SPDX-License-Identifier: Apache-2.0
 * Weights and moments come out of a learner as they went in, and as a checkpoint takes them: bit for bit, in
 * either precision. */
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/model/learner.h"
#include "tests/support/check.h"
#include "tests/support/device_choice.h"

enum { B = 2, SIZE = 16, K = 4, L = 16 };

static fsfm_model_options options;
static float images[B * SIZE * SIZE * 3];
static uint8_t mask[B * L], region[B * L];

static void make_case(void)
{
    const char *key;
    fsfm_error err;
    fsfm_random random = fsfm_random_stream(1, FSFM_RANDOM_TEST, 0, 1);
    fsfm_options_defaults(fsfm_model_options_table, fsfm_model_options_count, &options);
    options.img_size = SIZE;
    options.patch_size = 4;
    options.embed_dim = options.rep_decoder_embed_dim = 24;
    options.depth = options.decoder_depth = options.rep_decoder_depth = 1;
    options.num_heads = options.rep_decoder_num_heads = options.decoder_num_heads = 2;
    options.decoder_embed_dim = 16;
    options.projection_size = 8;
    options.projection_hidden_size = 20;
    assert_ok(fsfm_model_options_resolve(&options, &key, &err), &err);
    for (size_t i = 0; i < sizeof images / sizeof *images; i++)
        images[i] = (float)fsfm_random_normal(&random);
    for (int i = 0; i < B * L; i++) mask[i] = i % L >= K;
}

static fsfm_learner *open_learner(fsfm_device *dev)
{
    fsfm_error err;
    fsfm_learner *learner = NULL;
    const fsfm_learner_setup setup = {
        .options = &options, .micro_batch = B, .kept = K, .global_batch = B, .local_batch = B};
    assert_ok(fsfm_learner_open(dev, &setup, &learner, &err), &err);
    return learner;
}

static float *get(fsfm_learner *learner, fsfm_state state, size_t *bytes)
{
    fsfm_error err;
    *bytes = (size_t)fsfm_learner_state_floats(learner, state) * sizeof(float);
    float *values = malloc(*bytes);
    assert_ok(fsfm_learner_get_state(learner, state, values, &err), &err);
    return values;
}

static void train_one_step(fsfm_learner *learner, int64_t t)
{
    fsfm_error err;
    const fsfm_learner_input input = {.B = B, .images_f32 = images, .mask = mask, .region = region};
    const fsfm_learner_totals totals = {B, B * (L - K), 0};
    fsfm_learner_results results;
    fsfm_learner_update update = {.lr = 1e-3, .ema_momentum = 0.9, .adam_t = t};
    assert_ok(fsfm_learner_begin_step(learner, &err), &err);
    assert_ok(fsfm_learner_bring(learner, &input, &err), &err);
    assert_ok(fsfm_learner_target(learner, 0, &err), &err);
    assert_ok(fsfm_learner_online(learner, 0, &totals, NULL, NULL, &err), &err);
    assert_ok(fsfm_learner_start_read(learner, &err), &err);
    assert_ok(fsfm_learner_finish_read(learner, &results, NULL, &err), &err);
    update.norm_squared = results.norm_squared;
    assert_ok(fsfm_learner_finish_step(learner, &update, &err), &err);
}

/* Any weights; they are more than a bfloat16 holds. */
static void start(fsfm_learner *learner)
{
    fsfm_error err;
    const fsfm_parameters *list = fsfm_learner_parameters(learner);
    float *values = calloc((size_t)list->total_floats, sizeof *values);
    size_t bytes, target_bytes;
    fsfm_parameters_init(list, 7, values);
    assert_ok(fsfm_learner_set_state(learner, FSFM_STATE_ONLINE, values, &err), &err);
    assert_ok(fsfm_learner_copy_target(learner, &err), &err);
    float *got = get(learner, FSFM_STATE_ONLINE, &bytes),
          *target = get(learner, FSFM_STATE_TARGET, &target_bytes);
    assert_memory_equal(got, values, bytes);
    assert_memory_equal(target, values, target_bytes);
    free(values);
    free(got);
    free(target);
}

/* A learner that goes on from what another one gave stays equal to it. */
static void check_precision(fsfm_precision precision)
{
    fsfm_device *dev = NULL;
    fsfm_error err;
    char note[160];
    const fsfm_device_options wanted = {.kind = device_choice(), .precision = precision, .threads = 2};
    assert_ok(fsfm_device_open(&wanted, &dev, note, &err), &err);
    fsfm_learner *learner = open_learner(dev), *resumed = open_learner(dev);
    start(learner);
    for (int64_t t = 1; t <= 3; t++) train_one_step(learner, t);
    for (int state = 0; state < FSFM_STATES; state++) {
        size_t bytes;
        float *values = get(learner, (fsfm_state)state, &bytes);
        assert_ok(fsfm_learner_set_state(resumed, (fsfm_state)state, values, &err), &err);
        free(values);
    }
    train_one_step(learner, 4);
    train_one_step(resumed, 4);
    for (int state = 0; state < FSFM_STATES; state++) {
        size_t bytes;
        float *want = get(learner, (fsfm_state)state, &bytes), *got = get(resumed, (fsfm_state)state, &bytes);
        assert_true(bytes > 0);
        assert_memory_equal(got, want, bytes);
        free(want);
        free(got);
    }
    fsfm_learner_close(&learner);
    fsfm_learner_close(&resumed);
    fsfm_device_close(&dev);
}

static void test_fp32(void **state)
{
    (void)state;
    check_precision(FSFM_PRECISION_FP32);
}

static void test_bf16(void **state)
{
    (void)state;
    check_precision(FSFM_PRECISION_BF16);
}

int main(void)
{
    make_case();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fp32),
        cmocka_unit_test(test_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
