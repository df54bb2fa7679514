/* SPDX-License-Identifier: Apache-2.0
 * The model of time and memory: by hand for small shapes, and against a separate calculation of the published
 * sizes at batch 256 in bf16, done outside this program with the figures of the data sheets. That one
 * computes every block of the pixel decoder on all tokens, so that it lies up to 5 % above the decoder here,
 * and all in bf16.
 */
#include <math.h>
#include <string.h>

#include "core/model/flops.h"
#include "core/model/gpu_memory.h"
#include "core/model/roofline.h"
#include "tests/support/check.h"

static const fsfm_rates h100 = {0.65 * 990e12, 150e12, 0.65 * 67e12, 2.7e12, 2.7e12, 2.7e12, 2.0};
static const fsfm_rates h200 = {0.65 * 990e12, 150e12, 0.65 * 67e12, 3.9e12, 3.9e12, 3.9e12, 2.0};

static fsfm_model_options options_of(fsfm_preset preset)
{
    fsfm_model_options options;
    const char *key = NULL;
    fsfm_error err;
    fsfm_options_defaults(fsfm_model_options_table, fsfm_model_options_count, &options);
    options.preset = preset;
    assert_ok(fsfm_model_options_resolve(&options, &key, &err), &err);
    return options;
}

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got / want - 1.0) <= tolerance)) fail_msg("got %.17g, want %.17g", got, want);
}

static double sum_of(const fsfm_work_time *t)
{
    return t->products_s + t->attention_s + t->rows_s;
}

/* Milliseconds of the calculation: encoder, rep decoder, pixel decoder, target, optimiser; images/s with 1 ms
 * of gaps. */
typedef struct {
    fsfm_preset preset;
    int64_t kept;
    const fsfm_rates *rates;
    double online, target; /* parameters */
    double encoder, rep_decoder, pixel_decoder, target_ms, optimizer, images_per_s;
} published;

static void test_published_sizes(void **state)
{
    static const published cases[] = {
        {FSFM_VIT_B16, 49, &h100, 133.3e6, 105.2e6, 14.38, 2.51, 22.41, 25.00, 2.07, 3799},
        {FSFM_VIT_B16, 49, &h200, 133.3e6, 105.2e6, 13.09, 2.29, 20.71, 23.02, 1.43, 4158},
        {FSFM_VIT_S16, 49, &h100, 56.0e6, 28.1e6, 4.70, 0.82, 22.39, 8.67, 0.81, 6660},
        {FSFM_VIT_L16, 49, &h100, 363.9e6, 335.7e6, 47.29, 4.14, 22.42, 74.53, 5.83, 1649},
        {FSFM_VIT_L16, 49, &h200, 363.9e6, 335.7e6, 43.85, 3.84, 20.72, 69.64, 4.03, 1789},
        {FSFM_VIT_H14, 64, &h100, 707.7e6, 679.4e6, 121.93, 7.99, 31.18, 190.75, 11.43, 703},
        {FSFM_VIT_H14, 64, &h200, 707.7e6, 679.4e6, 115.59, 7.59, 28.97, 180.29, 7.91, 750},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const published *c = &cases[i];
        const fsfm_model_options o = options_of(c->preset);
        const fsfm_work_setup setup = {.options = &o, .kept = c->kept, .B = 256};
        const fsfm_roofline r = fsfm_roofline_time(&setup, c->rates);
        const double optimizer_s =
            fsfm_roofline_optimizer_s((int64_t)c->online, (int64_t)c->target, c->rates);
        near(1e3 * sum_of(&r.part[FSFM_PART_ENCODER]), c->encoder, 0.05);
        near(1e3 * sum_of(&r.part[FSFM_PART_REP_DECODER]), c->rep_decoder, 0.05);
        near(1e3 * sum_of(&r.part[FSFM_PART_PIXEL_DECODER]), c->pixel_decoder, 0.05);
        near(1e3 * sum_of(&r.part[FSFM_PART_TARGET]), c->target_ms, 0.05);
        near(1e3 * optimizer_s, c->optimizer, 0.01);
        near(256 / (r.total_s + optimizer_s + 1e-3), c->images_per_s, 0.035);
        near(r.forward_s + r.backward_s + r.target_s, r.total_s, 1e-12);
        assert_true(sum_of(&r.part[FSFM_PART_HEADS]) < 1e-4);
    }
}

/* An encoder of one block, 16 wide with 2 heads, one patch of four kept, one image; no target. */
static fsfm_model_options tiny(void)
{
    fsfm_model_options o = options_of(FSFM_VIT_B16);
    o.img_size = 32;
    o.patch_size = 16;
    o.embed_dim = 16;
    o.depth = 1;
    o.decoder_embed_dim = 8;
    o.decoder_depth = 0;
    o.id_loss = FSFM_ID_NONE;
    return o;
}

static void test_by_hand(void **state)
{
    (void)state;
    const fsfm_model_options o = tiny();
    const fsfm_work_setup setup = {.options = &o, .kept = 1, .B = 1};
    fsfm_rates rates = {1.0, 1.0, 1.0, INFINITY, INFINITY, 1.0, 2.0};
    fsfm_roofline r = fsfm_roofline_time(&setup, &rates);
    /* Patch embedding 1 x 768 x 16 forward and dW; 12 x 16 x 16 for each of 2 tokens, forward, dX, dW. */
    near(r.part[FSFM_PART_ENCODER].products_s, 2 * (2.0 * 768 * 16) + 3 * (2.0 * 2 * 12 * 16 * 16), 1e-12);
    /* 2 tokens looking at 2: 4 x 2 x 2 x 16, and in backward 3.5 times that. */
    near(r.part[FSFM_PART_ENCODER].attention_s, 4.5 * 4 * 2 * 2 * 16, 1e-12);
    near(r.encoder_backward_s, 2.0 * 768 * 16 + 2 * (2.0 * 2 * 12 * 16 * 16) + 3.5 * 4 * 2 * 2 * 16, 1e-12);
    assert_true(r.part[FSFM_PART_ENCODER].rows_s == 0 && sum_of(&r.part[FSFM_PART_TARGET]) == 0);
    /* Decoder: 2 tokens and a mask token 16 -> 8; 3 removed patches 8 -> 768. */
    near(r.part[FSFM_PART_PIXEL_DECODER].products_s, 3 * 2.0 * (3 * 16 * 8 + 3 * 8 * 768), 1e-12);
    /* By bytes alone: two norms of 8 passes, GELU of 5 over 4 times the width; bf16. */
    rates = (fsfm_rates){INFINITY, INFINITY, INFINITY, 1.0, 1.0, 1.0, 2.0};
    r = fsfm_roofline_time(&setup, &rates);
    near(r.part[FSFM_PART_ENCODER].rows_s, 2.0 * 2 * 16 * (8 + 8 + 4 * 5), 1e-12);
    near(r.part[FSFM_PART_ENCODER].attention_s, 2.0 * 2 * 16 * (4 + 8), 1e-12);
    /* The decoder's embedding: x (3, 16), W (8, 16), y (3, 8), in three products; the weight's gradient in
     * floats. Its prediction the same with (3, 8), (768, 8), (3, 768). */
    near(r.part[FSFM_PART_PIXEL_DECODER].products_s,
         2.0 * (3 * (3 * 16 + 3 * 8) + 2 * 8 * 16) + 4.0 * 8 * 16 +
             2.0 * (3 * (3 * 8 + 3 * 768) + 2 * 768 * 8) + 4.0 * 768 * 8,
         1e-12);
    near(fsfm_roofline_optimizer_s(100, 50, &rates), 3900.0, 1e-12);
}

/* Blocks computed again add their forward to backward, and nothing to what is counted as FLOP. */
static void test_recompute(void **state)
{
    (void)state;
    const fsfm_model_options o = options_of(FSFM_VIT_S16);
    fsfm_work_setup setup = {.options = &o, .kept = 49, .B = 8};
    const fsfm_roofline plain = fsfm_roofline_time(&setup, &h100);
    const fsfm_flops flops = fsfm_flops_count(&setup);
    setup.recomputes_blocks = true;
    const fsfm_roofline again = fsfm_roofline_time(&setup, &h100);
    assert_true(again.backward_s > plain.backward_s + 0.9 * plain.forward_s);
    assert_true(again.backward_s < plain.backward_s + plain.forward_s);
    near(again.forward_s, plain.forward_s, 1e-12);
    near(again.target_s, plain.target_s, 1e-12);
    near(fsfm_flops_count(&setup).step, flops.step, 1e-12);
}

static void test_parts_and_products(void **state)
{
    (void)state;
    const fsfm_model_options o = options_of(FSFM_VIT_B16);
    const fsfm_work_setup setup = {.options = &o, .kept = 49, .B = 256};
    const fsfm_flops flops = fsfm_flops_count(&setup);
    const fsfm_roofline r = fsfm_roofline_time(&setup, &h100);
    fsfm_product_time products[FSFM_PRODUCTS_MAX];
    const int count = fsfm_roofline_products(&setup, &h100, products);
    double by_part[FSFM_PARTS] = {0}, flop = 0;
    int bound = 0;
    for (int i = 0; i < count; i++) {
        by_part[products[i].part] += products[i].seconds;
        bound += products[i].is_bound_by_bytes;
    }
    for (int p = 0; p < FSFM_PARTS; p++) {
        near(by_part[p], r.part[p].products_s, 1e-9);
        flop += flops.part[p];
    }
    near(flop, flops.step, 1e-12);
    near(flops.part[FSFM_PART_TARGET], flops.target, 1e-12);
    assert_true(count > 60 && bound > 0 && bound < count / 2);
    assert_string_equal(products[0].name, "patch");
    assert_string_equal(fsfm_part_name(FSFM_PART_PIXEL_DECODER), "pixel_decoder");
    const fsfm_work_sums sums = fsfm_roofline_sums(&setup, 2.0);
    assert_true(sums.product_flop < 256 * flops.step && sums.product_flop > 0.9 * 256 * flops.step);
    near(sums.rows_bytes / h100.rows_bytes,
         r.part[FSFM_PART_ENCODER].rows_s + r.part[FSFM_PART_REP_DECODER].rows_s +
             r.part[FSFM_PART_PIXEL_DECODER].rows_s + r.part[FSFM_PART_TARGET].rows_s,
         1e-12);
}

/* In bf16 heads and the rep decoder's last Linear are computed in fp32, and the online rep decoder's queries,
 * keys and values once more, with what rounding took of the weights. */
static void test_whole_products(void **state)
{
    (void)state;
    const fsfm_model_options o = options_of(FSFM_VIT_B16);
    fsfm_work_setup setup = {.options = &o, .kept = 49, .B = 256};
    /* Rates that add FLOP up: those of products in fp32 count thousandfold. */
    const fsfm_rates rates = {1.0, INFINITY, 1e-3, INFINITY, INFINITY, INFINITY, 2.0};
    const fsfm_roofline all = fsfm_roofline_time(&setup, &rates);
    setup.precision = FSFM_PRECISION_BF16;
    const fsfm_roofline some = fsfm_roofline_time(&setup, &rates);
    const double B = 256, C = 768, T = 51, projector = 2 * B * (C * 4096 + 4096 * 256),
                 predictor = 2 * B * (256 * 4096 + 4096 * 256), pred = 2 * B * C * C;
    near(all.part[FSFM_PART_HEADS].products_s, 3 * (projector + predictor), 1e-12);
    near(some.part[FSFM_PART_HEADS].products_s, 3e3 * (projector + predictor), 1e-12);
    near(some.part[FSFM_PART_REP_DECODER].products_s - all.part[FSFM_PART_REP_DECODER].products_s,
         2 * (2 * B * T * 3 * C * C) + 3 * 999 * pred, 1e-9);
    near(some.target_s - all.target_s, 999 * (projector + pred), 1e-9);
    assert_true(some.part[FSFM_PART_ENCODER].products_s == all.part[FSFM_PART_ENCODER].products_s);
    assert_true(some.part[FSFM_PART_PIXEL_DECODER].products_s ==
                all.part[FSFM_PART_PIXEL_DECODER].products_s);
    /* By bytes alone the factors of those are floats: the predictor's first Linear, forward. */
    const fsfm_rates bytes = {INFINITY, INFINITY, INFINITY, 1.0, 1.0, 1.0, 2.0};
    fsfm_product_time products[FSFM_PRODUCTS_MAX];
    const int count = fsfm_roofline_products(&setup, &bytes, products);
    int found = 0;
    for (int i = 0; i < count; i++) {
        if (strcmp(products[i].name, "predictor1") != 0 || products[i].pass != FSFM_PASS_FORWARD) continue;
        near(products[i].seconds, 4 * (B * 256 + 256 * 4096 + B * 4096), 1e-12);
        found++;
    }
    assert_int_equal(found, 1);
}

/* Gigabytes of the same calculation: activations with all kept and with GELU and norms computed again, the
 * target's scratch, states. */
static void test_memory(void **state)
{
    (void)state;
    const fsfm_model_options o = options_of(FSFM_VIT_B16);
    fsfm_gpu_memory_setup setup = {.work = {.options = &o, .kept = 49, .B = 256},
                                   .online = 133330944,
                                   .target = 105213440,
                                   .precision = FSFM_PRECISION_BF16,
                                   .recompute = FSFM_RECOMPUTE_NONE};
    fsfm_gpu_memory m = fsfm_gpu_memory_model(&setup);
    near(1e-9 * m.activations, 11.0, 0.01);
    near(1e-9 * m.target, 1.0, 0.02);
    near(m.states, 18.0 * 133330944 + 6.0 * 105213440, 1e-12);
    near(m.total, m.activations + m.target + m.batch + m.states, 1e-12);
    setup.recompute = FSFM_RECOMPUTE_GELU;
    m = fsfm_gpu_memory_model(&setup);
    near(1e-9 * m.activations, 6.9, 0.01);
    setup.recompute = FSFM_RECOMPUTE_BLOCK;
    assert_true(fsfm_gpu_memory_model(&setup).activations < 0.5 * m.activations);
    setup.recompute = FSFM_RECOMPUTE_GELU;
    const int64_t most = fsfm_gpu_memory_largest_batch(&setup, 78e9);
    setup.work.B = most;
    assert_true(fsfm_gpu_memory_model(&setup).total <= 78e9);
    setup.work.B = most + 1;
    assert_true(fsfm_gpu_memory_model(&setup).total > 78e9);
    assert_int_equal(fsfm_gpu_memory_largest_batch(&setup, 1e9), 0);
    setup.precision = FSFM_PRECISION_FP32;
    near(fsfm_gpu_memory_model(&setup).states, 16.0 * 133330944 + 4.0 * 105213440, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_sizes), cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_recompute),       cmocka_unit_test(test_parts_and_products),
        cmocka_unit_test(test_whole_products),  cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
