/* SPDX-License-Identifier: Apache-2.0
 * Steps whose micro-batches are replayed as a whole give the bits of steps that are enqueued piece by piece,
 * though everything changes from step to step: images, masks, denominators, learning rate, keys of others. So
 * do steps whose first micro-batch is brought while the step before computes. */
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "core/model/learner.h"
#include "tests/support/check.h"
#include "tests/support/device_choice.h"

enum { MICRO = 2, PARTS = 2, B = MICRO * PARTS, SIZE = 16, L = 16, K = 5, STEPS = 5, FEATURES = 8 };
enum { PIXELS = SIZE * SIZE * 3, UNLIKE = 3 };

typedef struct {
    uint8_t images[B * PIXELS], mask[B * L], region[B * L], target_mask[B * L];
    float keys[2 * B * FEATURES]; /* InfoNCE: the first half is another rank's */
    fsfm_learner_totals totals;
} batch;

typedef struct {
    fsfm_records records;
    bool looks_ahead;
} way;

typedef struct {
    fsfm_device *dev;
    fsfm_learner *learner;
    const fsfm_model_options *options;
    batch batches[STEPS];
    float *told_dev; /* gradients as they were when they were told of */
    int64_t told_count, told_from;
    fsfm_learner_results results[STEPS];
    fsfm_learner_sums slices[STEPS][PARTS];
} run;

static fsfm_model_options small_options(fsfm_id_loss loss, fsfm_target_view view)
{
    const char *key;
    fsfm_error err;
    fsfm_model_options options;
    fsfm_options_defaults(fsfm_model_options_table, fsfm_model_options_count, &options);
    options.img_size = SIZE;
    options.patch_size = 4;
    options.embed_dim = options.rep_decoder_embed_dim = 24;
    options.depth = 2;
    options.decoder_depth = options.rep_decoder_depth = 1;
    options.num_heads = options.rep_decoder_num_heads = options.decoder_num_heads = 2;
    options.decoder_embed_dim = 16;
    options.projection_size = FEATURES;
    options.projection_hidden_size = 20;
    options.id_loss = loss;
    options.target_view = view;
    assert_ok(fsfm_model_options_resolve(&options, &key, &err), &err);
    return options;
}

/* L - K of L, the same number in every image. */
static void draw_mask(fsfm_random *random, uint8_t *mask)
{
    memset(mask, 1, L);
    for (int seen = 0; seen < K;) {
        const uint32_t l = fsfm_random_below(random, L);
        seen += mask[l];
        mask[l] = 0;
    }
}

/* Region patches are masked ones, of a number of their own in every step; but in step UNLIKE one more, which
 * is seen, is to be predicted of each image. */
static void draw_batch(int64_t step, batch *out)
{
    fsfm_random random = fsfm_random_stream(3, FSFM_RANDOM_TEST, 0, (uint64_t)step);
    out->totals = (fsfm_learner_totals){2 * B, 0, 0};
    for (int i = 0; i < B * PIXELS; i++) out->images[i] = (uint8_t)fsfm_random_below(&random, 256);
    for (int i = 0; i < B * FEATURES; i++) out->keys[i] = 0.3f * (float)fsfm_random_normal(&random);
    for (int b = 0; b < B; b++) {
        draw_mask(&random, out->mask + b * L);
        draw_mask(&random, out->target_mask + b * L);
        for (int l = 0; l < L; l++)
            out->region[b * L + l] =
                out->mask[b * L + l] && fsfm_random_below(&random, 2 + (uint32_t)step) == 0;
        for (int l = b * L; step == UNLIKE && l < (b + 1) * L; l++) {
            if (out->mask[l]) continue;
            out->region[l] = 1;
            break;
        }
    }
    for (int i = 0; i < B * L; i++) {
        out->totals.masked_patches += out->mask[i];
        out->totals.region_patches += out->region[i];
    }
}

static void open_run(run *r, const way *how, const fsfm_model_options *options, fsfm_precision precision)
{
    fsfm_error err;
    char note[160];
    memset(r, 0, sizeof *r);
    r->options = options;
    const fsfm_device_options wanted = {.kind = device_choice(), .precision = precision, .threads = 2};
    assert_ok(fsfm_device_open(&wanted, &r->dev, note, &err), &err);
    const fsfm_learner_setup setup = {.options = options,
                                      .micro_batch = MICRO,
                                      .kept = K,
                                      .global_batch = 2 * B,
                                      .local_batch = B,
                                      .records = how->records,
                                      .slices = PARTS,
                                      .mean = {0.5f, 0.4f, 0.3f},
                                      .std = {0.25f, 0.2f, 0.3f}};
    assert_ok(fsfm_learner_open(r->dev, &setup, &r->learner, &err), &err);
    const int64_t total = fsfm_learner_parameters(r->learner)->total_floats;
    float *values = calloc((size_t)total, sizeof *values);
    fsfm_parameters_init(fsfm_learner_parameters(r->learner), 7, values);
    assert_ok(fsfm_learner_set_state(r->learner, FSFM_STATE_ONLINE, values, &err), &err);
    assert_ok(fsfm_learner_copy_target(r->learner, &err), &err);
    assert_ok(r->dev->ops->alloc(r->dev, (size_t)total * sizeof(float), (void **)&r->told_dev, &err), &err);
    free(values);
    for (int64_t step = 0; step < STEPS; step++) draw_batch(step, &r->batches[step]);
}

static void close_run(run *r)
{
    r->dev->ops->free(r->dev, r->told_dev);
    fsfm_learner_close(&r->learner);
    fsfm_device_close(&r->dev);
}

static void bring(run *r, int64_t step, int part)
{
    fsfm_error err;
    const batch *from = &r->batches[step];
    const int first = part * MICRO;
    const bool is_masked = r->options->target_view == FSFM_TARGET_MASKED;
    const fsfm_learner_input input = {.B = MICRO,
                                      .images_u8 = from->images + first * PIXELS,
                                      .mask = from->mask + first * L,
                                      .region = from->region + first * L,
                                      .target_mask = is_masked ? from->target_mask + first * L : NULL};
    assert_ok(fsfm_learner_bring(r->learner, &input, &err), &err);
}

/* Others take gradients as soon as they are told: here, a copy of them. */
static void take_told(void *context, int64_t first, int64_t count)
{
    run *r = context;
    fsfm_error err;
    assert_int_equal(first + count, r->told_from);
    assert_ok(r->dev->ops->copy(r->dev, r->told_dev + first, fsfm_learner_gradients_dev(r->learner) + first,
                                (size_t)count * sizeof(float), &err),
              &err);
    r->told_from = first;
    r->told_count++;
}

static void gather_keys(run *r, int64_t step)
{
    fsfm_error err;
    batch *from = &r->batches[step];
    for (int part = 0; part < PARTS; part++) {
        bring(r, step, part);
        assert_ok(fsfm_learner_target(r->learner, part * MICRO, &err), &err);
    }
    assert_ok(fsfm_learner_get_keys(r->learner, from->keys + B * FEATURES, &err), &err);
    assert_ok(fsfm_learner_set_keys(r->learner, from->keys, B, &err), &err);
}

/* In every second step those of the first micro-batch are known. */
static void find_features(run *r, int64_t step, int part)
{
    fsfm_error err;
    if (part == 0 && step % 2 == 1)
        assert_ok(fsfm_learner_set_features(r->learner, 0, MICRO, r->batches[step].keys, &err), &err);
    else
        assert_ok(fsfm_learner_target(r->learner, part * MICRO, &err), &err);
}

/* What was told must be what the gradients are in the end, and all of it told. */
static void check_told(run *r)
{
    fsfm_error err;
    const int64_t total = fsfm_learner_parameters(r->learner)->total_floats;
    const size_t bytes = (size_t)total * sizeof(float);
    float *told = malloc(bytes), *gradients = malloc(bytes);
    assert_int_equal(r->told_from, 0);
    assert_int_equal(r->told_count, 2 + r->options->depth);
    assert_ok(r->dev->ops->download(r->dev, told, r->told_dev, bytes, &err), &err);
    assert_ok(r->dev->ops->download(r->dev, gradients, fsfm_learner_gradients_dev(r->learner), bytes, &err),
              &err);
    assert_memory_equal(told, gradients, bytes);
    free(told);
    free(gradients);
}

static void run_step(run *r, int64_t step, const way *how)
{
    fsfm_error err;
    fsfm_learner *learner = r->learner;
    const bool is_infonce = r->options->id_loss == FSFM_ID_INFONCE;
    r->told_from = fsfm_learner_parameters(learner)->total_floats;
    r->told_count = 0;
    assert_ok(fsfm_learner_begin_step(learner, &err), &err);
    if (is_infonce) gather_keys(r, step);
    for (int part = 0; part < PARTS; part++) {
        const bool is_there = part == 0 && step > 0 && how->looks_ahead && !is_infonce;
        if (!is_there) bring(r, step, part);
        if (!is_infonce) find_features(r, step, part);
        assert_ok(fsfm_learner_online(learner, part * MICRO, &r->batches[step].totals,
                                      part + 1 == PARTS ? take_told : NULL, r, &err),
                  &err);
        assert_ok(fsfm_learner_keep_sums(learner, part, &err), &err);
    }
    assert_ok(fsfm_learner_start_read(learner, &err), &err);
    if (how->looks_ahead && step + 1 < STEPS) bring(r, step + 1, 0);
    assert_ok(fsfm_learner_finish_read(learner, &r->results[step], r->slices[step], &err), &err);
    check_told(r);
    const fsfm_learner_update update = {.lr = 1e-3 * (double)(1 + step),
                                        .ema_momentum = 0.9 + 0.01 * (double)step,
                                        .norm_squared = r->results[step].norm_squared,
                                        .adam_t = step + 1};
    assert_ok(fsfm_learner_finish_step(learner, &update, &err), &err);
}

static void check_states(const run *got, const run *want)
{
    fsfm_error err;
    for (int state = 0; state < FSFM_STATES; state++) {
        const size_t bytes =
            (size_t)fsfm_learner_state_floats(want->learner, (fsfm_state)state) * sizeof(float);
        float *g = malloc(bytes), *w = malloc(bytes);
        assert_true(bytes > 0);
        assert_ok(fsfm_learner_get_state(got->learner, (fsfm_state)state, g, &err), &err);
        assert_ok(fsfm_learner_get_state(want->learner, (fsfm_state)state, w, &err), &err);
        assert_memory_equal(g, w, bytes);
        free(g);
        free(w);
    }
}

static void check(fsfm_id_loss loss, fsfm_target_view view, fsfm_precision precision)
{
    const fsfm_model_options options = small_options(loss, view);
    const way plain = {FSFM_RECORDS_OFF, false}, replayed = {FSFM_RECORDS_AUTO, true};
    run *want = malloc(sizeof *want), *got = malloc(sizeof *got);
    assert_true(want && got);
    open_run(want, &plain, &options, precision);
    open_run(got, &replayed, &options, precision);
    for (int64_t step = 0; step < STEPS; step++) {
        run_step(want, step, &plain);
        run_step(got, step, &replayed);
        assert_memory_equal(&got->results[step], &want->results[step], sizeof *got->results);
        assert_memory_equal(got->slices[step], want->slices[step], sizeof *got->slices);
    }
    check_states(got, want);
    assert_string_equal(fsfm_learner_replay_note(got->learner), "");
    assert_int_equal(fsfm_learner_replays(want->learner), 0);
    /* Each first time is enqueued, and step UNLIKE of the online network, which tells or does not. */
    const int64_t targets = PARTS * STEPS - (loss == FSFM_ID_INFONCE ? 0 : STEPS / 2);
    assert_int_equal(fsfm_learner_replays(got->learner),
                     got->dev->recorder ? targets - 1 + PARTS * (STEPS - 2) : 0);
    close_run(want);
    close_run(got);
    free(want);
    free(got);
}

static void replayed_steps_have_the_same_bits(void **state)
{
    (void)state;
    check(FSFM_ID_COSINE, FSFM_TARGET_FULL, FSFM_PRECISION_FP32);
}

static void so_have_those_of_infonce(void **state)
{
    (void)state;
    check(FSFM_ID_INFONCE, FSFM_TARGET_MASKED, FSFM_PRECISION_FP32);
}

static void and_those_in_bf16(void **state)
{
    (void)state;
    check(FSFM_ID_BYOL, FSFM_TARGET_FULL, FSFM_PRECISION_BF16);
}

static void what_evaluation_brings_is_no_step_s(void **state)
{
    (void)state;
    const fsfm_model_options options = small_options(FSFM_ID_COSINE, FSFM_TARGET_FULL);
    const way plain = {FSFM_RECORDS_OFF, false};
    run *r = malloc(sizeof *r);
    fsfm_error err;
    fsfm_learner_sums sums = {0};
    assert_non_null(r);
    open_run(r, &plain, &options, FSFM_PRECISION_FP32);
    assert_false(fsfm_learner_has_batch(r->learner));
    bring(r, 0, 0);
    assert_true(fsfm_learner_has_batch(r->learner));
    const fsfm_learner_input input = {.B = 1,
                                      .images_u8 = r->batches[1].images,
                                      .mask = r->batches[1].mask,
                                      .region = r->batches[1].region};
    assert_ok(fsfm_learner_evaluate(r->learner, &input, &sums, &err), &err);
    assert_false(fsfm_learner_has_batch(r->learner));
    close_run(r);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replayed_steps_have_the_same_bits),
        cmocka_unit_test(so_have_those_of_infonce),
        cmocka_unit_test(and_those_in_bf16),
        cmocka_unit_test(what_evaluation_brings_is_no_step_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
