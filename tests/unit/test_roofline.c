/* SPDX-License-Identifier: Apache-2.0
 * The model of time: by hand for small shapes, against a step that a device really runs, and
 * against separate calculations of the published sizes at batch 256 in bf16, done outside this program with
 * the figures of the data sheets. */
#include <math.h>
#include <string.h>

#include "core/device/profile.h"
#include "core/model/flops.h"
#include "core/model/learner.h"
#include "core/model/roofline.h"
#include "tests/support/check.h"

static const fsfm_rates h100 = {0.65 * 990e12, 150e12, 0.65 * 67e12, 2.7e12, 2.7e12, 2.7e12};

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

static fsfm_work_list list_of(const fsfm_work_setup *setup)
{
    fsfm_work_list list;
    fsfm_error err;
    assert_ok(fsfm_work_list_make(setup, &list, &err), &err);
    return list;
}

static fsfm_roofline time_of(const fsfm_work_setup *setup, const fsfm_rates *rates)
{
    fsfm_work_list list = list_of(setup);
    const fsfm_roofline r = fsfm_roofline_time(&list, rates);
    fsfm_work_list_free(&list);
    return r;
}

static double sum_of(const fsfm_work_time *t)
{
    return t->products_s + t->attention_s + t->rows_s;
}

/* GFLOP of an image, ViT-B/16: encoder, rep decoder, pixel decoder, target. That calculation has every block
 * of the pixel decoder on all tokens. */
static void test_published_flops(void **state)
{
    (void)state;
    const fsfm_model_options o = options_of(FSFM_VIT_B16);
    const fsfm_work_setup setup = {.options = &o, .kept = 49, .B = 256};
    fsfm_work_list list = list_of(&setup);
    const fsfm_flops flops = fsfm_flops_count(&list);
    near(1e-9 * flops.part[FSFM_PART_ENCODER], 25.9, 0.005);
    near(1e-9 * flops.part[FSFM_PART_REP_DECODER], 4.6, 0.01);
    near(1e-9 * flops.part[FSFM_PART_PIXEL_DECODER], 32.4, 0.06);
    near(1e-9 * flops.part[FSFM_PART_TARGET], 41.2, 0.005);
    near(1e-9 * flops.step, 104.1, 0.02);
    fsfm_work_list_free(&list);
}

/* Milliseconds of a step with 1 ms of gaps, by a program that gave a learner's step to a device of its own,
 * which counted by formulas of its own the bytes and FLOP of every kernel that the CUDA backend launches. */
static void test_counted_steps(void **state)
{
    static const struct {
        fsfm_preset preset;
        int64_t kept;
        fsfm_recompute recompute;
        double products, attention, step;
    } cases[] = {
        {FSFM_VIT_S16, 49, FSFM_RECOMPUTE_NONE, 20.40, 6.77, 39.81},
        {FSFM_VIT_S16, 49, FSFM_RECOMPUTE_GELU, 20.40, 6.77, 41.80},
        {FSFM_VIT_B16, 49, FSFM_RECOMPUTE_NONE, 40.90, 8.80, 68.49},
        {FSFM_VIT_B16, 49, FSFM_RECOMPUTE_GELU, 40.90, 8.80, 71.00},
        {FSFM_VIT_L16, 49, FSFM_RECOMPUTE_NONE, 104.28, 14.82, 155.24},
        {FSFM_VIT_L16, 49, FSFM_RECOMPUTE_GELU, 104.28, 14.82, 159.25},
        {FSFM_VIT_H14, 64, FSFM_RECOMPUTE_NONE, 257.75, 34.22, 361.56},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const fsfm_model_options o = options_of(cases[i].preset);
        const fsfm_work_setup setup = {.options = &o,
                                       .kept = cases[i].kept,
                                       .B = 256,
                                       .recompute = cases[i].recompute,
                                       .precision = FSFM_PRECISION_BF16};
        const fsfm_roofline r = time_of(&setup, &h100);
        double products_s = 0, attention_s = 0, all_s = 0;
        for (int p = 0; p < FSFM_PARTS; p++) {
            products_s += r.part[p].products_s;
            attention_s += r.part[p].attention_s;
            all_s += sum_of(&r.part[p]);
        }
        near(1e3 * products_s, cases[i].products, 0.002);
        near(1e3 * attention_s, cases[i].attention, 0.002);
        near(1e3 * (r.total_s + r.optimizer_s + 1e-3), cases[i].step, 0.003);
        near(r.forward_s + r.backward_s + r.target_s, r.total_s, 1e-12);
        near(all_s, r.total_s, 1e-12);
        assert_true(r.encoder_backward_s > 0.5 * sum_of(&r.part[FSFM_PART_ENCODER]));
        assert_true(r.encoder_backward_s < sum_of(&r.part[FSFM_PART_ENCODER]));
        assert_true(sum_of(&r.part[FSFM_PART_HEADS]) < 1e-3);
    }
}

/* A step of a learner on a device that computes it, under a profile. */
static void run_step(fsfm_profile *profile, const fsfm_work_setup *work, fsfm_error *err)
{
    enum { IMAGE = 3 * 32 * 32, PATCHES = 4 };
    static uint8_t images[3 * IMAGE], mask[3 * PATCHES], region[3 * PATCHES];
    fsfm_learner *learner = NULL;
    fsfm_learner_results results;
    const int64_t B = work->B, masked = PATCHES - work->kept;
    const fsfm_learner_setup setup = {.options = work->options,
                                      .micro_batch = B,
                                      .kept = work->kept,
                                      .global_batch = B,
                                      .local_batch = B,
                                      .recompute = work->recompute,
                                      .std = {1, 1, 1}};
    const fsfm_learner_input input = {B, images, NULL, mask, region, mask};
    const fsfm_learner_totals totals = {B, B * masked, 0};
    const fsfm_learner_update update = {.norm_squared = 1.0, .adam_t = 1};
    for (int64_t i = 0; i < B * PATCHES; i++) mask[i] = (i % PATCHES) >= work->kept;
    assert_ok(fsfm_learner_open(fsfm_profile_device(profile), &setup, &learner, err), err);
    fsfm_profile_reset(profile); /* opening zeroes memory, and in debug builds fills it */
    assert_ok(fsfm_learner_begin_step(learner, err), err);
    assert_ok(fsfm_learner_bring(learner, &input, err), err);
    if (fsfm_learner_has_target(learner)) assert_ok(fsfm_learner_target(learner, 0, err), err);
    assert_ok(fsfm_learner_online(learner, 0, &totals, NULL, NULL, err), err);
    assert_ok(fsfm_learner_start_read(learner, err), err);
    assert_ok(fsfm_learner_finish_read(learner, &results, NULL, err), err);
    assert_ok(fsfm_learner_finish_step(learner, &update, err), err);
    fsfm_learner_close(&learner);
}

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0) return true;
    return false;
}

/* Sums over what a profile saw, or over a list. */
typedef struct {
    double product_flop, attention_flop, rows_bytes;
    int64_t rows;
} step_sums;

static const char *const not_counted[] = {"upload", "download", "start_read", "finish_read", "zero", NULL};
static const char *const of_products[] = {"gelu", "gelu_backward", "column_sums", "zero", NULL};

static step_sums sums_of_profile(const fsfm_profile *profile)
{
    step_sums sums = {0};
    int count = 0;
    const fsfm_profile_entry *e = fsfm_profile_entries(profile, &count);
    for (int i = 0; i < count; i++) {
        if (strncmp(e[i].name, "linear", 6) == 0) {
            sums.product_flop += e[i].flop;
        } else if (strncmp(e[i].name, "attention", 9) == 0) {
            sums.attention_flop += e[i].flop;
        } else if (!is_one_of(e[i].name, not_counted)) {
            sums.rows_bytes += e[i].bytes;
            sums.rows += e[i].calls;
        }
    }
    return sums;
}

static step_sums sums_of_list(const fsfm_work_list *list)
{
    step_sums sums = {0};
    for (int64_t i = 0; i < list->count; i++) {
        const fsfm_work *work = &list->items[i];
        if (work->kind == FSFM_WORK_PRODUCT) sums.product_flop += work->flop;
        if (work->kind == FSFM_WORK_ATTENTION) sums.attention_flop += work->flop;
        if (work->kind != FSFM_WORK_ROWS || is_one_of(work->name, of_products)) continue;
        sums.rows_bytes += work->bytes;
        sums.rows++;
    }
    return sums;
}

/* What belongs to products has no operation of its own. */
static void test_real_step(void **state)
{
    static const fsfm_id_loss losses[] = {FSFM_ID_COSINE, FSFM_ID_INFONCE, FSFM_ID_NONE};
    (void)state;
    for (int i = 0; i < 9; i++) {
        fsfm_model_options o = options_of(FSFM_VIT_T16);
        o.img_size = 32;
        o.embed_dim = o.rep_decoder_embed_dim = 48;
        o.decoder_embed_dim = 24;
        o.num_heads = o.rep_decoder_num_heads = o.decoder_num_heads = 3;
        o.depth = o.rep_decoder_depth = 2;
        o.decoder_depth = 3;
        o.id_loss = losses[i / 3];
        const fsfm_work_setup setup = {
            .options = &o, .kept = 1, .B = 3, .recompute = (fsfm_recompute)(i % 3)};
        const fsfm_device_options on_cpu = {.kind = FSFM_DEVICE_CPU, .threads = 1};
        fsfm_device *dev = NULL;
        fsfm_profile *profile = NULL;
        fsfm_error err;
        char note[160];
        assert_ok(fsfm_device_open(&on_cpu, &dev, note, &err), &err);
        assert_ok(fsfm_profile_open(dev, &profile, &err), &err);
        run_step(profile, &setup, &err);
        fsfm_work_list list = list_of(&setup);
        const step_sums ran = sums_of_profile(profile), listed = sums_of_list(&list);
        near(listed.product_flop, ran.product_flop, 1e-12);
        near(listed.attention_flop, ran.attention_flop, 1e-12);
        near(listed.rows_bytes, ran.rows_bytes, 1e-12);
        assert_int_equal(listed.rows, ran.rows);
        fsfm_work_list_free(&list);
        fsfm_profile_close(&profile);
        fsfm_device_close(&dev);
    }
}

/* An encoder of one block, 16 wide with 2 heads, one patch of four kept, one image; no target; a decoder of
 * one block, 8 wide with 2 heads. */
static fsfm_model_options tiny(void)
{
    fsfm_model_options o = options_of(FSFM_VIT_B16);
    o.img_size = 32;
    o.patch_size = 16;
    o.embed_dim = 16;
    o.depth = 1;
    o.num_heads = 2;
    o.decoder_embed_dim = 8;
    o.decoder_depth = 1;
    o.decoder_num_heads = 2;
    o.id_loss = FSFM_ID_NONE;
    return o;
}

/* Bytes of a Linear's three products in bf16; an element of its result is written with out_bytes, or read,
 * too. The weight's gradient is read and written, in floats. */
static double linear_bytes(double rows, double in, double out, double out_bytes)
{
    const double x = 2 * rows * in, y = 2 * rows * out, w = 2 * in * out;
    return (x + w + out_bytes * rows * out) + (y + w + x) + (y + x + 4 * w);
}

static void test_by_hand(void **state)
{
    (void)state;
    const fsfm_model_options o = tiny();
    const fsfm_work_setup setup = {.options = &o, .kept = 1, .B = 1, .precision = FSFM_PRECISION_BF16};
    fsfm_rates rates = {1.0, 1.0, 1.0, INFINITY, INFINITY, INFINITY};
    fsfm_roofline r = time_of(&setup, &rates);
    /* Patch embedding 1 x 768 x 16 forward and dW; 12 x 16 x 16 for each of 2 tokens, forward, dX, dW. */
    near(r.part[FSFM_PART_ENCODER].products_s, 2 * (2.0 * 768 * 16) + 3 * (2.0 * 2 * 12 * 16 * 16), 1e-12);
    /* 2 tokens looking at 2: 4 x 2 x 2 x 16, and in backward 3.5 times that. */
    near(r.part[FSFM_PART_ENCODER].attention_s, 4.5 * 4 * 2 * 2 * 16, 1e-12);
    near(r.encoder_backward_s, 2.0 * 768 * 16 + 2 * (2.0 * 2 * 12 * 16 * 16) + 3.5 * 4 * 2 * 2 * 16, 1e-12);
    assert_true(r.part[FSFM_PART_ENCODER].rows_s == 0 && sum_of(&r.part[FSFM_PART_TARGET]) == 0);
    /* Decoder: 2 tokens and a mask token 16 -> 8; keys and values of 5 tokens; of 3 removed patches the rest
     * of the block, and 8 -> 768. */
    near(r.part[FSFM_PART_PIXEL_DECODER].products_s,
         3 * 2.0 * (3 * 16 * 8 + 5 * 8 * 16 + 3 * 10 * 8 * 8 + 3 * 8 * 768), 1e-12);
    near(r.part[FSFM_PART_PIXEL_DECODER].attention_s, 4.5 * 4 * 3 * 5 * 8, 1e-12);

    rates = (fsfm_rates){INFINITY, INFINITY, INFINITY, 1.0, 1.0, 1.0};
    r = time_of(&setup, &rates);
    near(r.part[FSFM_PART_ENCODER].attention_s, 2.0 * 2 * 16 * (4 + 8), 1e-12);
    near(r.part[FSFM_PART_PIXEL_DECODER].products_s,
         linear_bytes(2, 16, 8, 4) + linear_bytes(1, 16, 8, 4) + linear_bytes(3, 8, 8, 2) +
             linear_bytes(5, 8, 16, 2) + linear_bytes(3, 8, 8, 8) + linear_bytes(3, 8, 32, 2) +
             linear_bytes(3, 32, 8, 8) + linear_bytes(3, 8, 768, 2),
         1e-12);
    /* Of 2 x 16 numbers: norms of the stream, 4 bytes in and 2 out, and 4 + 2 in, 2 out back, and for two of
     * the three 2 more that are added to; GELU, 4 times as wide, 2 + 3 passes. Of the patch: pixels and
     * their numbers, 3 x 768; what is embedded with its position and the stream; and back. */
    near(r.part[FSFM_PART_ENCODER].rows_s,
         2 * 16 * (3 * 6 + 3 * 8 + 2 * 2 + 4 * 5 * 2) + 3 * 768 + (2 * 16 + 4 * 16 + 4 * 2 * 16) +
             2 * (2 * 16 + 16),
         1e-12);
    /* Gradients are zeroed and normed, with three sums; AdamW reads and writes weights and moments. */
    fsfm_parameters p;
    fsfm_error err;
    assert_ok(fsfm_parameters_list(&o, &p, &err), &err);
    near(r.optimizer_s, 2 * 4.0 * (double)p.total_floats + 24.0 * (double)p.total_elements + 3 * 8, 1e-12);
    fsfm_parameters_free(&p);
}

/* Blocks computed again add their forward to backward, and nothing to what is counted as FLOP; GELU and norms
 * computed again cost bytes alone. */
static void test_recompute(void **state)
{
    (void)state;
    const fsfm_model_options o = options_of(FSFM_VIT_S16);
    fsfm_work_setup setup = {.options = &o, .kept = 49, .B = 8, .precision = FSFM_PRECISION_BF16};
    fsfm_roofline r[3];
    double flop[3];
    for (int i = 0; i < 3; i++) {
        setup.recompute = (fsfm_recompute)i;
        fsfm_work_list list = list_of(&setup);
        r[i] = fsfm_roofline_time(&list, &h100);
        flop[i] = fsfm_flops_count(&list).step;
        fsfm_work_list_free(&list);
    }
    const fsfm_roofline *none = &r[FSFM_RECOMPUTE_NONE], *gelu = &r[FSFM_RECOMPUTE_GELU],
                        *block = &r[FSFM_RECOMPUTE_BLOCK];
    assert_true(block->backward_s > none->backward_s + 0.6 * none->forward_s);
    assert_true(block->backward_s < none->backward_s + 0.8 * none->forward_s);
    assert_true(gelu->backward_s > none->backward_s && gelu->backward_s < 1.1 * none->backward_s);
    for (int i = 1; i < 3; i++) {
        near(r[i].forward_s, none->forward_s, 1e-12);
        near(r[i].target_s, none->target_s, 1e-12);
        near(flop[i], flop[0], 1e-12);
    }
    near(gelu->part[FSFM_PART_ENCODER].products_s, none->part[FSFM_PART_ENCODER].products_s, 1e-12);
}

static void test_parts_and_products(void **state)
{
    (void)state;
    const fsfm_model_options o = options_of(FSFM_VIT_B16);
    const fsfm_work_setup setup = {.options = &o, .kept = 49, .B = 256};
    fsfm_work_list list = list_of(&setup);
    const fsfm_flops flops = fsfm_flops_count(&list);
    const fsfm_roofline r = fsfm_roofline_time(&list, &h100);
    fsfm_product_time products[FSFM_PRODUCTS_MAX];
    const int count = fsfm_roofline_products(&list, &h100, products);
    double by_part[FSFM_PARTS] = {0}, flop = 0, rows_s = 0;
    int bound = 0;
    for (int i = 0; i < count; i++) {
        by_part[products[i].part] += products[i].seconds;
        bound += products[i].is_bound_by_bytes;
    }
    for (int p = 0; p < FSFM_PARTS; p++) {
        near(by_part[p], r.part[p].products_s, 1e-9);
        flop += flops.part[p];
        rows_s += r.part[p].rows_s;
    }
    near(flop, flops.step, 1e-12);
    near(flops.part[FSFM_PART_TARGET], flops.target, 1e-12);
    assert_true(count > 60 && bound > 0 && bound < count);
    assert_string_equal(products[0].name, "patch_embed.proj");
    assert_true(products[0].part == FSFM_PART_TARGET);
    assert_string_equal(products[1].name, "attn.qkv");
    assert_int_equal(products[1].count, 12 + 2); /* of the encoder and of the rep decoder */
    assert_string_equal(fsfm_part_name(FSFM_PART_PIXEL_DECODER), "pixel_decoder");
    const fsfm_work_sums sums = fsfm_roofline_sums(&list);
    assert_true(sums.product_flop < 256 * flops.step && sums.product_flop > 0.9 * 256 * flops.step);
    near(sums.rows_bytes / h100.rows_bytes, rows_s, 1e-12);
    near(sums.optimizer_bytes / h100.optimizer_bytes, r.optimizer_s, 1e-12);
    fsfm_work_list_free(&list);
}

/* In bf16 heads and the rep decoder's last Linear are computed in fp32, and the online rep decoder's queries,
 * keys and values once more, with what rounding took of the weights. */
static void test_whole_products(void **state)
{
    (void)state;
    const fsfm_model_options o = options_of(FSFM_VIT_B16);
    fsfm_work_setup setup = {.options = &o, .kept = 49, .B = 256};
    /* Rates that add FLOP up: those of products in fp32 count thousandfold. */
    const fsfm_rates same = {1.0, INFINITY, 1.0, INFINITY, INFINITY, INFINITY},
                     rates = {1.0, INFINITY, 1e-3, INFINITY, INFINITY, INFINITY};
    const fsfm_roofline all = time_of(&setup, &same);
    setup.precision = FSFM_PRECISION_BF16;
    fsfm_work_list list = list_of(&setup);
    const fsfm_roofline some = fsfm_roofline_time(&list, &rates);
    const double B = 256, C = 768, T = 51, projector = 2 * B * (C * 4096 + 4096 * 256),
                 predictor = 2 * B * (256 * 4096 + 4096 * 256), pred = 2 * B * C * C;
    near(all.part[FSFM_PART_HEADS].products_s, 3 * (projector + predictor), 1e-12);
    near(some.part[FSFM_PART_HEADS].products_s, 3e3 * (projector + predictor), 1e-12);
    near(some.part[FSFM_PART_REP_DECODER].products_s - all.part[FSFM_PART_REP_DECODER].products_s,
         2 * (2 * B * T * 3 * C * C) + 3 * 999 * pred, 1e-9);
    near(some.target_s - all.target_s, 999 * (projector + pred), 1e-9);
    near(some.part[FSFM_PART_ENCODER].products_s, all.part[FSFM_PART_ENCODER].products_s, 1e-12);
    near(some.part[FSFM_PART_PIXEL_DECODER].products_s, all.part[FSFM_PART_PIXEL_DECODER].products_s, 1e-12);
    /* By bytes alone the factors of those are floats: the predictor's first Linear, forward. */
    const fsfm_rates bytes = {INFINITY, INFINITY, INFINITY, 1.0, 1.0, 1.0};
    fsfm_product_time products[FSFM_PRODUCTS_MAX];
    const int count = fsfm_roofline_products(&list, &bytes, products);
    int found = 0;
    for (int i = 0; i < count; i++) {
        if (strcmp(products[i].name, "predictor.projection_head.0") != 0 ||
            products[i].pass != FSFM_PASS_FORWARD)
            continue;
        near(products[i].seconds, 4 * (B * 256 + 256 * 4096 + B * 4096), 1e-12);
        found++;
    }
    assert_int_equal(found, 1);
    fsfm_work_list_free(&list);
}

/* Times 1.5 of max(bytes / 2.7 TB/s, FLOP / 500 TFLOP/s), for products in fp32 / 33.8: over it are, by hand,
 * attention of 197 tokens, forward 4 x 197 FLOP a number at 150 TFLOP/s for 4 numbers of 2 bytes, and
 * backward 14 x 197 for 8; that of 50 tokens moves bytes, as all else does. */
static void test_slow_kernels(void **state)
{
    (void)state;
    const fsfm_model_options o = options_of(FSFM_VIT_B16);
    const fsfm_work_setup setup = {.options = &o, .kept = 49, .B = 256, .precision = FSFM_PRECISION_BF16};
    const fsfm_rates bounds = {500e12, 500e12, 0.505 * 67e12, 2.7e12, 2.7e12, 2.7e12};
    const double forward = 4 * 197 / 150e12 / (4 * 2 / 2.7e12),
                 backward = 14 * 197 / 150e12 / (8 * 2 / 2.7e12);
    const fsfm_slow_work want[] = {{FSFM_PART_TARGET, false, "attention", forward},
                                   {FSFM_PART_PIXEL_DECODER, false, "attention", forward},
                                   {FSFM_PART_PIXEL_DECODER, true, "attention", backward}};
    fsfm_work_list list = list_of(&setup);
    fsfm_slow_work slow[FSFM_SLOW_MAX];
    assert_int_equal(fsfm_roofline_slow(&list, &h100, &bounds, 1.5, slow), 3);
    for (int i = 0; i < 3; i++) {
        assert_true(slow[i].part == want[i].part && slow[i].is_backward == want[i].is_backward);
        assert_string_equal(slow[i].name, want[i].name);
        near(slow[i].ratio, want[i].ratio, 1e-6);
    }
    assert_int_equal(fsfm_roofline_slow(&list, &h100, &bounds, 3.2, slow), 0);
    fsfm_work_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_flops), cmocka_unit_test(test_counted_steps),
        cmocka_unit_test(test_real_step),       cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_recompute),       cmocka_unit_test(test_parts_and_products),
        cmocka_unit_test(test_whole_products),  cmocka_unit_test(test_slow_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
