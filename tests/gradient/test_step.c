/* SPDX-License-Identifier: Apache-2.0
 * The whole step against a reference in double: losses, target features, and the slope of the loss along a
 * random direction of every tensor, for every value of the decision table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/random.h"
#include "tests/support/check.h"
#include "tests/support/device_choice.h"
#include "tests/support/reference_step.h"

enum { B = 3, SIZE = 16, PATCH = 4, L = 16, K = 5, SEED = 20 };

typedef struct {
    const char *name;
    fsfm_id_loss id_loss;
    bool no_rep_decoder, sincos, plain_pixels, empty_region, loose_region;
    int64_t decoder_depth; /* 0: 2 */
    fsfm_target_update update;
    fsfm_target_view view;
} variant;

static const variant variants[] = {
    {.name = "defaults"},
    {.name = "byol", .id_loss = FSFM_ID_BYOL},
    {.name = "infonce", .id_loss = FSFM_ID_INFONCE},
    {.name = "none", .id_loss = FSFM_ID_NONE},
    {.name = "no rep decoder", .no_rep_decoder = true},
    {.name = "rep_pos sincos", .sincos = true},
    {.name = "plain pixels", .plain_pixels = true},
    {.name = "no region anywhere", .empty_region = true},
    {.name = "region outside the mask", .loose_region = true},
    {.name = "one pixel decoder block", .decoder_depth = 1},
    {.name = "one block, region outside the mask", .decoder_depth = 1, .loose_region = true},
    {.name = "four pixel decoder blocks", .decoder_depth = 4},
    {.name = "shared target", .update = FSFM_TARGET_SHARED},
    {.name = "frozen target", .update = FSFM_TARGET_FROZEN},
    {.name = "masked target", .view = FSFM_TARGET_MASKED},
    {.name = "masked target, sincos", .view = FSFM_TARGET_MASKED, .sincos = true},
    {.name = "masked shared target, infonce",
     .view = FSFM_TARGET_MASKED,
     .update = FSFM_TARGET_SHARED,
     .id_loss = FSFM_ID_INFONCE},
};

typedef struct {
    fsfm_model_options options;
    fsfm_learner *learner;
    const fsfm_parameters *list;
    float images[B * SIZE * SIZE * 3];
    uint8_t mask[B * L], region[B * L], target_mask[B * L];
    reference_batch batch;
    float *online32, *target32, *gradient;
    double *online, *target, *features;
} fixture;

static void draw_mask(fsfm_random *random, uint8_t *mask)
{
    memset(mask, 1, L);
    for (int seen = 0; seen < K;) {
        const uint32_t l = fsfm_random_below(random, L);
        seen += mask[l];
        mask[l] = 0;
    }
}

static void make_options(const variant *v, fsfm_model_options *o)
{
    const char *key;
    fsfm_error err;
    fsfm_options_defaults(fsfm_model_options_table, fsfm_model_options_count, o);
    o->img_size = SIZE;
    o->patch_size = PATCH;
    o->embed_dim = o->rep_decoder_embed_dim = 24;
    o->num_heads = 4;
    o->depth = 2;
    o->decoder_embed_dim = 16;
    o->decoder_num_heads = 2;
    o->decoder_depth = v->decoder_depth ? v->decoder_depth : 2;
    o->rep_decoder_num_heads = 3;
    o->rep_decoder_depth = 2;
    o->projection_size = 8;
    o->projection_hidden_size = 20;
    o->weight_fr = 0.7; /* large enough to be seen */
    o->weight_sim = 0.9;
    o->id_loss = v->id_loss;
    o->id_rep_decoder = !v->no_rep_decoder;
    o->rep_pos = v->sincos ? FSFM_REP_POS_SINCOS : FSFM_REP_POS_ZEROS;
    o->norm_pix = !v->plain_pixels;
    o->target_update = v->update;
    o->target_view = v->view;
    assert_ok(fsfm_model_options_resolve(o, &key, &err), &err);
}

static void fill(fsfm_random *random, float *values, const fsfm_parameters *list)
{
    for (int i = 0; i < list->count; i++)
        for (int64_t j = 0; j < list->items[i].count; j++)
            values[list->items[i].offset + j] =
                (float)(0.25 * fsfm_random_normal(random) + (list->items[i].init == FSFM_INIT_ONE));
}

static void make_batch(fixture *f, const variant *v, fsfm_random *random)
{
    f->batch =
        (reference_batch){&f->options, f->list, B, f->images, f->mask, f->region, f->target_mask, {B, 0, 0}};
    for (size_t i = 0; i < sizeof f->images / sizeof f->images[0]; i++)
        f->images[i] = (float)fsfm_random_normal(random);
    for (int b = 0; b < B; b++) {
        draw_mask(random, f->mask + b * L);
        draw_mask(random, f->target_mask + b * L);
        for (int l = 0; l < L; l++) {
            f->region[b * L + l] =
                !v->empty_region && b != 1 && (f->mask[b * L + l] || v->loose_region) && l % 3 == 0;
            f->batch.totals.masked_patches += f->mask[b * L + l];
            f->batch.totals.region_patches += f->region[b * L + l];
        }
    }
}

static void fixture_open(fixture *f, const variant *v, fsfm_device *dev, bool plain)
{
    fsfm_error err;
    fsfm_random random = fsfm_random_stream(SEED, FSFM_RANDOM_TEST, 0, 1);
    memset(f, 0, sizeof *f);
    make_options(v, &f->options);
    const fsfm_learner_setup setup = {.options = &f->options,
                                      .micro_batch = B,
                                      .kept = K,
                                      .global_batch = B,
                                      .local_batch = B,
                                      .plain = plain};
    assert_ok(fsfm_learner_open(dev, &setup, &f->learner, &err), &err);
    f->list = fsfm_learner_parameters(f->learner);
    const size_t total = (size_t)f->list->total_floats;
    f->online32 = calloc(total, sizeof(float));
    f->target32 = calloc(total, sizeof(float));
    f->gradient = calloc(total, sizeof(float));
    f->online = calloc(total, sizeof(double));
    f->target = calloc(total, sizeof(double));
    f->features = calloc(B * 8, sizeof(double));
    fill(&random, f->online32, f->list);
    fill(&random, f->target32, f->list);
    make_batch(f, v, &random);
    const bool own = fsfm_learner_state_floats(f->learner, FSFM_STATE_TARGET) > 0;
    for (size_t i = 0; i < total; i++) {
        f->online[i] = (double)f->online32[i];
        f->target[i] = own ? (double)f->target32[i] : f->online[i];
    }
    assert_ok(fsfm_learner_set_state(f->learner, FSFM_STATE_ONLINE, f->online32, &err), &err);
    if (own) assert_ok(fsfm_learner_set_state(f->learner, FSFM_STATE_TARGET, f->target32, &err), &err);
}

static void fixture_close(fixture *f)
{
    fsfm_learner_close(&f->learner);
    free(f->online32);
    free(f->target32);
    free(f->gradient);
    free(f->online);
    free(f->target);
    free(f->features);
}

static fsfm_losses run_step(fixture *f, fsfm_device *dev)
{
    fsfm_error err;
    fsfm_learner_results results;
    float keys[B * 8];
    const fsfm_learner_input input = {
        .B = B, .images_f32 = f->images, .mask = f->mask, .region = f->region, .target_mask = f->target_mask};
    assert_ok(fsfm_learner_begin_step(f->learner, &err), &err);
    assert_ok(fsfm_learner_bring(f->learner, &input, &err), &err);
    if (fsfm_learner_has_target(f->learner)) {
        assert_ok(fsfm_learner_target(f->learner, 0, &err), &err);
        assert_ok(fsfm_learner_get_keys(f->learner, keys, &err), &err);
    }
    if (f->options.id_loss == FSFM_ID_INFONCE)
        assert_ok(fsfm_learner_set_keys(f->learner, keys, 0, &err), &err);
    assert_ok(fsfm_learner_online(f->learner, 0, &f->batch.totals, NULL, NULL, &err), &err);
    assert_ok(fsfm_learner_start_read(f->learner, &err), &err);
    assert_ok(fsfm_learner_finish_read(f->learner, &results, NULL, &err), &err);
    const size_t bytes = (size_t)f->list->total_floats * sizeof(float);
    assert_ok(dev->ops->download(dev, f->gradient, fsfm_learner_gradients_dev(f->learner), bytes, &err),
              &err);
    return fsfm_losses_from_sums(&f->options, &results.sums, &f->batch.totals);
}

static double loss_along(fixture *f, const fsfm_parameter *item, const double *direction, double h)
{
    double *at = f->online + item->offset;
    for (int64_t i = 0; i < item->count; i++) at[i] += h * direction[i];
    const double loss = reference_losses(&f->batch, f->online, f->features).loss;
    for (int64_t i = 0; i < item->count; i++) at[i] = (double)f->online32[item->offset + i];
    return loss;
}

/* float32 rounding of a gradient is about 1e-6 of its norm; the slope along a direction of length 1 is
 * compared with 2e-5 of it. */
static void check_tensor(fixture *f, const fsfm_parameter *item, const char *name)
{
    const double h = 1e-5;
    fsfm_random random = fsfm_random_stream(SEED, FSFM_RANDOM_TEST, 1, (uint64_t)item->offset);
    double *direction = calloc((size_t)item->count, sizeof *direction), length = 0.0, slope = 0.0, norm = 0.0;
    for (int64_t i = 0; i < item->count; i++) {
        direction[i] = fsfm_random_normal(&random);
        length += direction[i] * direction[i];
    }
    for (int64_t i = 0; i < item->count; i++) {
        const double g = (double)f->gradient[item->offset + i];
        direction[i] /= sqrt(length);
        slope += g * direction[i];
        norm += g * g;
    }
    const double want = (loss_along(f, item, direction, h) - loss_along(f, item, direction, -h)) / (2.0 * h);
    if (!(fabs(slope - want) <= 2e-5 * sqrt(norm) + 1e-8))
        fail_msg("%s: %s: slope %.9g, by differences %.9g, gradient %.3g", name, item->name, slope, want,
                 sqrt(norm));
    free(direction);
}

static void close_to(double got, double want, const char *name, const char *what)
{
    if (!(fabs(got - want) <= 2e-6 * fmax(fabs(want), 0.2)))
        fail_msg("%s: %s %.9g, want %.9g", name, what, got, want);
}

static void check_losses(const fsfm_losses *got, const fsfm_losses *want, const char *name)
{
    close_to(got->loss, want->loss, name, "loss");
    close_to(got->rec_m, want->rec_m, name, "loss_rec_m");
    close_to(got->rec_fr, want->rec_fr, name, "loss_rec_fr");
    close_to(got->sim, want->sim, name, "loss_sim");
}

static void check_variant(const variant *v, fsfm_device *dev, bool plain)
{
    fixture f;
    fixture_open(&f, v, dev, plain);
    const fsfm_losses got = run_step(&f, dev);
    if (v->id_loss != FSFM_ID_NONE) reference_features(&f.batch, f.target, f.features);
    const fsfm_losses want = reference_losses(&f.batch, f.online, f.features);
    check_losses(&got, &want, v->name);
    for (int i = 0; i < f.list->count; i++) check_tensor(&f, &f.list->items[i], v->name);
    fixture_close(&f);
}

static fsfm_device *open_device(void)
{
    fsfm_device *dev = NULL;
    fsfm_error err;
    char note[160];
    const fsfm_device_options options = {.kind = device_choice(), .threads = 2};
    assert_ok(fsfm_device_open(&options, &dev, note, &err), &err);
    return dev;
}

static void test_every_variant(void **state)
{
    (void)state;
    fsfm_device *dev = open_device();
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) check_variant(&variants[i], dev, false);
    fsfm_device_close(&dev);
}

static void test_without_savings(void **state)
{
    (void)state;
    fsfm_device *dev = open_device();
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) check_variant(&variants[i], dev, true);
    fsfm_device_close(&dev);
}

/* Two halves of a batch, added up, give the gradient of the whole: the denominators are the global batch's.
 */
static void test_accumulation(void **state)
{
    (void)state;
    fsfm_device *dev = open_device();
    fixture f;
    fsfm_error err;
    fixture_open(&f, &variants[0], dev, false);
    run_step(&f, dev);
    float *whole = f.gradient;
    f.gradient = calloc((size_t)f.list->total_floats, sizeof(float));
    assert_ok(fsfm_learner_begin_step(f.learner, &err), &err);
    for (int first = 0; first < B; first += 2) {
        const fsfm_learner_input part = {.B = first == 0 ? 2 : 1,
                                         .images_f32 = f.images + first * SIZE * SIZE * 3,
                                         .mask = f.mask + first * L,
                                         .region = f.region + first * L};
        assert_ok(fsfm_learner_bring(f.learner, &part, &err), &err);
        assert_ok(fsfm_learner_target(f.learner, first, &err), &err);
        assert_ok(fsfm_learner_online(f.learner, first, &f.batch.totals, NULL, NULL, &err), &err);
    }
    const size_t bytes = (size_t)f.list->total_floats * sizeof(float);
    assert_ok(dev->ops->download(dev, f.gradient, fsfm_learner_gradients_dev(f.learner), bytes, &err), &err);
    assert_true(all_close(f.gradient, whole, f.list->total_floats, 1e-4, 1e-6));
    free(whole);
    fixture_close(&f);
    fsfm_device_close(&dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_variant),
        cmocka_unit_test(test_without_savings),
        cmocka_unit_test(test_accumulation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
