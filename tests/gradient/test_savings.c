/* SPDX-License-Identifier: Apache-2.0
 * What a step leaves out, cuts up or does again must not show: savings and groups of images change nothing
 * but rounding, train.recompute in bf16 no more, else, like threads, not a bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/model/learner.h"
#include "tests/support/check.h"
#include "tests/support/device_choice.h"

/* 65 tokens an image: the pixel decoder takes 9 images at a time, then the other 2. */
enum { B = 11, SIZE = 32, PATCH = 4, L = 64, K = 17, P = PATCH * PATCH * 3, C = 24, SEED = 5 };

typedef struct {
    uint8_t mask[B * L], region[B * L];
    float images[B * SIZE * SIZE * 3];
    fsfm_learner_totals totals;
} batch;

typedef struct {
    float *gradient; /* owned */
    int64_t count;
    fsfm_learner_sums sums;
    float latent[B * (1 + K) * C];
    float pred[B * L * P];
} result;

static batch images;
static fsfm_model_options options;

static void make_batch(void)
{
    fsfm_random random = fsfm_random_stream(SEED, FSFM_RANDOM_TEST, 0, 1);
    for (size_t i = 0; i < sizeof images.images / sizeof *images.images; i++)
        images.images[i] = (float)fsfm_random_normal(&random);
    memset(images.mask, 1, sizeof images.mask);
    images.totals.samples = B;
    for (int b = 0; b < B; b++) {
        uint8_t *mask = images.mask + b * L, *region = images.region + b * L;
        for (int seen = 0; seen < K;) {
            const uint32_t l = fsfm_random_below(&random, L);
            seen += mask[l];
            mask[l] = 0;
        }
        for (int l = 0; l < L; l++)
            region[l] = b % 4 != 1 && l % 5 == b % 5; /* also where nothing is masked */
        for (int l = 0; l < L; l++) {
            images.totals.masked_patches += mask[l];
            images.totals.region_patches += region[l];
        }
    }
}

static void make_options(int64_t decoder_depth)
{
    const char *key;
    fsfm_error err;
    fsfm_options_defaults(fsfm_model_options_table, fsfm_model_options_count, &options);
    options.img_size = SIZE;
    options.patch_size = PATCH;
    options.embed_dim = options.rep_decoder_embed_dim = C;
    options.num_heads = 3;
    options.depth = 3;
    options.decoder_embed_dim = 32;
    options.decoder_num_heads = 4;
    options.decoder_depth = decoder_depth;
    options.rep_decoder_num_heads = 3;
    options.rep_decoder_depth = 2;
    options.projection_size = 8;
    options.projection_hidden_size = 20;
    options.weight_fr = 0.7;
    options.weight_sim = 0.9;
    assert_ok(fsfm_model_options_resolve(&options, &key, &err), &err);
}

static fsfm_device *open_device(fsfm_precision precision, int threads)
{
    fsfm_device *dev = NULL;
    fsfm_error err;
    char note[160];
    const fsfm_device_options wanted = {.kind = device_choice(), .precision = precision, .threads = threads};
    assert_ok(fsfm_device_open(&wanted, &dev, note, &err), &err);
    return dev;
}

typedef struct {
    int64_t micro_batch;
    bool plain;
    fsfm_recompute recompute;
} way;

static fsfm_learner *open_learner(fsfm_device *dev, const way *how)
{
    fsfm_error err;
    fsfm_learner *learner = NULL;
    const fsfm_learner_setup setup = {
        .options = &options,
        .micro_batch = how->micro_batch,
        .kept = K,
        .global_batch = B,
        .local_batch = B,
        .plain = how->plain,
        .recompute = how->recompute,
    };
    assert_ok(fsfm_learner_open(dev, &setup, &learner, &err), &err);
    const fsfm_parameters *list = fsfm_learner_parameters(learner);
    float *weights = calloc((size_t)list->total_floats, sizeof *weights);
    fsfm_random random = fsfm_random_stream(SEED, FSFM_RANDOM_TEST, 0, 2);
    for (int i = 0; i < list->count; i++)
        for (int64_t j = 0; j < list->items[i].count; j++)
            weights[list->items[i].offset + j] =
                (float)(0.2 * fsfm_random_normal(&random) + (list->items[i].init == FSFM_INIT_ONE));
    assert_ok(fsfm_learner_set_state(learner, FSFM_STATE_ONLINE, weights, &err), &err);
    assert_ok(fsfm_learner_copy_target(learner, &err), &err);
    free(weights);
    return learner;
}

static fsfm_learner_input part_of(int64_t first, int64_t count)
{
    return (fsfm_learner_input){.B = count,
                                .images_f32 = images.images + first * SIZE * SIZE * 3,
                                .mask = images.mask + first * L,
                                .region = images.region + first * L};
}

/* One step on the whole batch. */
static result *run(fsfm_device *dev, const way *how)
{
    fsfm_error err;
    result *out = calloc(1, sizeof *out);
    fsfm_learner_results results;
    fsfm_learner *learner = open_learner(dev, how);
    assert_ok(fsfm_learner_begin_step(learner, &err), &err);
    for (int64_t first = 0; first < B; first += how->micro_batch) {
        const fsfm_learner_input input = part_of(first, how->micro_batch);
        assert_ok(fsfm_learner_bring(learner, &input, &err), &err);
        assert_ok(fsfm_learner_target(learner, first, &err), &err);
        assert_ok(fsfm_learner_online(learner, first, &images.totals, NULL, NULL, &err), &err);
    }
    assert_ok(fsfm_learner_start_read(learner, &err), &err);
    assert_ok(fsfm_learner_finish_read(learner, &results, NULL, &err), &err);
    out->sums = results.sums;
    const fsfm_learner_outputs outputs = {.latent = out->latent, .pred = out->pred};
    if (how->micro_batch == B) assert_ok(fsfm_learner_get_outputs(learner, &outputs, &err), &err);
    out->count = fsfm_learner_parameters(learner)->total_floats;
    out->gradient = calloc((size_t)out->count, sizeof *out->gradient);
    assert_ok(dev->ops->download(dev, out->gradient, fsfm_learner_gradients_dev(learner),
                                 (size_t)out->count * sizeof(float), &err),
              &err);
    fsfm_learner_close(&learner);
    return out;
}

static void release(result *gone)
{
    free(gone->gradient);
    free(gone);
}

static void assert_same_outputs(const result *got, const result *want)
{
    assert_memory_equal(&got->sums, &want->sums, sizeof got->sums);
    assert_memory_equal(got->latent, want->latent, sizeof got->latent);
    assert_memory_equal(got->pred, want->pred, sizeof got->pred);
}

static void assert_same_bits(const result *got, const result *want)
{
    assert_same_outputs(got, want);
    assert_memory_equal(got->gradient, want->gradient, (size_t)got->count * sizeof(float));
}

/* To rtol of each, or atol of the largest. */
static void assert_close_gradients(const result *got, const result *want, double rtol, double atol)
{
    double largest = 0.0;
    for (int64_t i = 0; i < want->count; i++) largest = fmax(largest, fabs((double)want->gradient[i]));
    assert_true(largest > 0.01);
    assert_true(all_close(got->gradient, want->gradient, want->count, rtol, atol * largest));
}

/* Differences are those of rounding, 1e-6 of a value of order 1 in every product. */
static void assert_close(const result *got, const result *want)
{
    const double got_sums[3] = {got->sums.rec_m, got->sums.rec_fr, got->sums.sim};
    const double want_sums[3] = {want->sums.rec_m, want->sums.rec_fr, want->sums.sim};
    for (int i = 0; i < 3; i++)
        assert_true(fabs(got_sums[i] - want_sums[i]) <= 1e-5 * fmax(1.0, fabs(want_sums[i])));
    assert_close_gradients(got, want, 1e-3, 1e-5);
}

static void check_recompute(fsfm_precision precision)
{
    fsfm_device *dev = open_device(precision, 2);
    if (dev->precision != precision) {
        print_message("no bf16 on this processor\n");
        fsfm_device_close(&dev);
        skip();
    }
    for (int64_t depth = 1; depth <= 3; depth++) {
        make_options(depth);
        result *all = run(dev, &(way){B, false, FSFM_RECOMPUTE_NONE});
        result *most = run(dev, &(way){B, false, FSFM_RECOMPUTE_GELU});
        result *inputs = run(dev, &(way){B, false, FSFM_RECOMPUTE_BLOCK});
        assert_same_bits(inputs, all);
        assert_same_outputs(most, all);
        if (precision == FSFM_PRECISION_FP32)
            assert_same_bits(most, all);
        else /* GELU again is of what was rounded: by 2^-9 in a factor of some gradients */
            assert_close_gradients(most, all, 0x1p-8, 0x1p-9);
        release(all);
        release(most);
        release(inputs);
    }
    fsfm_device_close(&dev);
}

static void test_recompute_fp32(void **state)
{
    (void)state;
    check_recompute(FSFM_PRECISION_FP32);
}

static void test_recompute_bf16(void **state)
{
    (void)state;
    check_recompute(FSFM_PRECISION_BF16);
}

static void test_threads(void **state)
{
    (void)state;
    for (int precision = FSFM_PRECISION_FP32; precision <= FSFM_PRECISION_BF16; precision++) {
        make_options(3);
        fsfm_device *one = open_device((fsfm_precision)precision, 1);
        fsfm_device *three = open_device((fsfm_precision)precision, 3);
        result *want = run(one, &(way){B, false, FSFM_RECOMPUTE_GELU});
        result *got = run(three, &(way){B, false, FSFM_RECOMPUTE_GELU});
        assert_same_bits(got, want);
        release(want);
        release(got);
        fsfm_device_close(&one);
        fsfm_device_close(&three);
    }
}

/* Image by image there is one group a micro-batch. */
static void test_groups(void **state)
{
    (void)state;
    fsfm_device *dev = open_device(FSFM_PRECISION_FP32, 2);
    for (int64_t depth = 1; depth <= 2; depth++) {
        make_options(depth);
        result *whole = run(dev, &(way){B, false, FSFM_RECOMPUTE_GELU});
        result *single = run(dev, &(way){1, false, FSFM_RECOMPUTE_GELU});
        assert_close(single, whole);
        release(whole);
        release(single);
    }
    fsfm_device_close(&dev);
}

/* Where a loss looks, predictions agree; elsewhere there are none, or what makes up the number. */
static void check_predictions(const result *got, const result *want)
{
    int64_t absent = 0;
    for (int64_t row = 0; row < B * L; row++) {
        const float *pred = got->pred + row * P;
        assert_true(isfinite(want->pred[row * P]));
        if (isnan(pred[0])) {
            assert_false(images.mask[row] || images.region[row]);
            absent++;
        } else {
            assert_true(all_close(pred, want->pred + row * P, P, 1e-4, 1e-5));
        }
    }
    assert_true(absent > 0);
}

static void test_savings(void **state)
{
    (void)state;
    fsfm_device *dev = open_device(FSFM_PRECISION_FP32, 2);
    for (int64_t depth = 1; depth <= 3; depth++) {
        make_options(depth);
        result *plain = run(dev, &(way){B, true, FSFM_RECOMPUTE_NONE});
        result *got = run(dev, &(way){B, false, FSFM_RECOMPUTE_NONE});
        assert_close(got, plain);
        check_predictions(got, plain);
        release(plain);
        release(got);
    }
    fsfm_device_close(&dev);
}

/* Pictures show every patch; evaluation gives the sums of the step; both without gradients. */
static void test_reconstruct_and_evaluate(void **state)
{
    (void)state;
    static float got[B * L * P];
    fsfm_error err;
    fsfm_device *dev = open_device(FSFM_PRECISION_FP32, 2);
    make_options(3);
    result *plain = run(dev, &(way){B, true, FSFM_RECOMPUTE_NONE});
    fsfm_learner *training = open_learner(dev, &(way){B, false, FSFM_RECOMPUTE_BLOCK}), *learner = NULL;
    const fsfm_learner_setup setup = {.options = &options, .micro_batch = B, .kept = K};
    assert_ok(fsfm_learner_open(dev, &setup, &learner, &err), &err);
    const size_t bytes = (size_t)plain->count * sizeof(float);
    float *weights = malloc(bytes);
    assert_ok(fsfm_learner_get_state(training, FSFM_STATE_ONLINE, weights, &err), &err);
    assert_ok(fsfm_learner_set_state(learner, FSFM_STATE_ONLINE, weights, &err), &err);
    fsfm_learner *both[2] = {training, learner};
    for (int i = 0; i < 2; i++) {
        const fsfm_learner_input input = part_of(0, B);
        fsfm_learner_sums sums = {0};
        assert_ok(fsfm_learner_reconstruct(both[i], &input, got, &err), &err);
        assert_true(all_close(got, plain->pred, B * L * P, 1e-4, 1e-5));
        assert_ok(fsfm_learner_evaluate(both[i], &input, &sums, &err), &err);
        assert_true(fabs(sums.rec_m - plain->sums.rec_m) <= 1e-5 * plain->sums.rec_m);
        assert_true(fabs(sums.rec_fr - plain->sums.rec_fr) <= 1e-5 * plain->sums.rec_fr);
        fsfm_learner_close(&both[i]);
    }
    free(weights);
    release(plain);
    fsfm_device_close(&dev);
}

/* The more is computed again, the less is kept. */
static void test_memory(void **state)
{
    (void)state;
    fsfm_device *dev = open_device(FSFM_PRECISION_FP32, 1);
    size_t used[3];
    make_options(8);
    for (int recompute = FSFM_RECOMPUTE_NONE; recompute <= FSFM_RECOMPUTE_BLOCK; recompute++) {
        fsfm_error err;
        fsfm_learner_memory memory;
        const fsfm_learner_setup setup = {.options = &options,
                                          .micro_batch = 64,
                                          .kept = K,
                                          .global_batch = 64,
                                          .local_batch = 64,
                                          .recompute = (fsfm_recompute)recompute};
        assert_ok(fsfm_learner_measure(dev, &setup, &memory, &err), &err);
        used[recompute] = memory.activations;
    }
    print_message("activations of 64 images: %zu, %zu, %zu bytes\n", used[0], used[1], used[2]);
    assert_true(used[FSFM_RECOMPUTE_GELU] < used[FSFM_RECOMPUTE_NONE]);
    assert_true(used[FSFM_RECOMPUTE_BLOCK] < used[FSFM_RECOMPUTE_GELU]);
    fsfm_device_close(&dev);
}

int main(void)
{
    make_batch();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recompute_fp32), cmocka_unit_test(test_recompute_bf16),
        cmocka_unit_test(test_threads),        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_savings),        cmocka_unit_test(test_reconstruct_and_evaluate),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
