/* SPDX-License-Identifier: Apache-2.0
 * FLOP of a step, as its operations come, by what was worked out by hand from the shapes of the networks. */
#include <math.h>

#include "core/model/flops.h"
#include "tests/support/check.h"

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

static fsfm_flops count_of(const fsfm_work_setup *setup)
{
    fsfm_work_list list;
    fsfm_error err;
    assert_ok(fsfm_work_list_make(setup, &list, &err), &err);
    const fsfm_flops flops = fsfm_flops_count(&list);
    fsfm_work_list_free(&list);
    return flops;
}

static fsfm_flops count(const fsfm_model_options *options, int64_t B, bool plain)
{
    const fsfm_work_setup setup = {.options = options, .kept = 49, .B = B, .plain = plain};
    return count_of(&setup);
}

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got / want - 1.0) <= tolerance)) fail_msg("got %.17g, want %.17g", got, want);
}

static void test_published_sizes(void **state)
{
    (void)state;
    const fsfm_model_options small = options_of(FSFM_VIT_S16), base = options_of(FSFM_VIT_B16);
    near(count(&small, 32, false).step, 49.07e9, 0.005);
    near(count(&base, 16, false).step, 102.29e9, 0.005);
    near(count(&small, 32, true).step, 54.54e9, 0.005);
    near(count(&base, 16, true).step, 118.23e9, 0.005);
}

/* Of the plain ViT-B/16: forward of a Linear is 2 in out, backward twice that; 12 Linears of width^2 a block.
 */
static void test_plain_parts(void **state)
{
    (void)state;
    const fsfm_model_options o = options_of(FSFM_VIT_B16);
    const double L = 196, K = 49, C = 768, P = 768, D = 512, hidden = 4096, out = 256;
    const double embed = 2 * K * P * C;
    const double encoder = 12 * (24 * (1 + K) * C * C + 4 * (1 + K) * (1 + K) * C);
    const double rep =
        2 * C * C * (1 + K) + 2 * (24 * (1 + L) * C * C + 4 * (1 + L) * (1 + L) * C) + 2 * C * C * (1 + L);
    const double projector = 2 * C * hidden + 2 * hidden * out, predictor = 4 * hidden * out;
    const double pixel =
        2 * (1 + L) * C * D + 8 * (24 * (1 + L) * D * D + 4 * (1 + L) * (1 + L) * D) + 2 * (1 + L) * D * P;
    const double all = encoder + rep + projector + predictor + pixel;
    const fsfm_flops flops = count(&o, 16, true);
    near(flops.online_forward, embed + all, 1e-12);
    near(flops.online_backward, embed + 2 * all, 1e-12); /* images get no gradient */
    near(flops.target,
         2 * L * P * C + 12 * (24 * (1 + L) * C * C + 4 * (1 + L) * (1 + L) * C) + rep + 2 * C * C * (L - K) +
             projector,
         1e-12);
    near(flops.step, flops.online_forward + flops.online_backward + flops.target, 1e-12);
}

static void test_savings(void **state)
{
    (void)state;
    const fsfm_model_options o = options_of(FSFM_VIT_B16);
    const double L = 196, K = 49, C = 768, D = 512, B = 16;
    const double T = 1 + K + 1; /* tokens of the rep decoder: class, seen, one for the others */
    const double rep_tokens = 2 * (24 * C * C * (1 + L - T) + 4 * C * ((1 + L) * (1 + L) - T * T));
    const double rep_pred = 2 * C * C * L;
    const double decoder_embed = 2 * C * D * (L - K - 1 / B);
    const double first_qkv = 6 * D * D * (L - K - L / B);
    const double looked_at = 1 + K; /* rows that no loss looks at, behind the last block's keys */
    const double last = looked_at * (2 * D * D + 2 * D * D + 16 * D * D + 4 * (1 + L) * D + 2 * D * 768);
    const double saved = count(&o, 16, true).online_forward - count(&o, 16, false).online_forward;
    near(saved, rep_tokens + rep_pred + decoder_embed + first_qkv + last, 1e-12);
    near(count(&o, 16, true).online_backward - count(&o, 16, false).online_backward, 2 * saved, 1e-12);
    assert_true(count(&o, 4, false).step > count(&o, 16, false).step); /* once a micro-batch */
}

static void test_options(void **state)
{
    (void)state;
    const fsfm_model_options o = options_of(FSFM_VIT_S16);
    const fsfm_flops flops = count(&o, 8, false);
    fsfm_model_options other = o;
    other.id_loss = FSFM_ID_NONE;
    assert_true(count(&other, 8, false).target == 0.0);
    assert_true(count(&other, 8, false).online_forward < flops.online_forward);
    other = o;
    other.id_rep_decoder = false;
    assert_true(count(&other, 8, false).target < flops.target);
    assert_true(count(&other, 8, true).online_forward < count(&o, 8, true).online_forward);
    other = o;
    other.target_view = FSFM_TARGET_MASKED; /* then the target sees what the online trunk sees */
    assert_true(count(&other, 8, false).target < 0.3 * flops.target);
    assert_true(count(&other, 8, false).online_forward == flops.online_forward);
    other = o;
    other.rep_pos = FSFM_REP_POS_SINCOS; /* masked tokens differ: all go through */
    assert_true(count(&other, 8, false).online_forward > flops.online_forward);
    assert_true(count(&other, 8, false).target == flops.target);
    other = o;
    other.target_update = FSFM_TARGET_SHARED; /* other weights, the same work */
    assert_true(count(&other, 8, false).step == flops.step);
}

/* In bf16 the online rep decoder's queries, keys and values are computed twice, forward. */
static void test_bf16(void **state)
{
    (void)state;
    const fsfm_model_options o = options_of(FSFM_VIT_B16);
    const double C = 768, T = 51;
    fsfm_work_setup setup = {.options = &o, .kept = 49, .B = 16};
    const fsfm_flops fp32 = count_of(&setup);
    setup.precision = FSFM_PRECISION_BF16;
    const fsfm_flops bf16 = count_of(&setup);
    near(bf16.online_forward - fp32.online_forward, 2 * 6 * T * C * C, 1e-9);
    assert_true(bf16.online_backward == fp32.online_backward && bf16.target == fp32.target);
}

/* One block is the last: its keys and values are of all tokens. */
static void test_one_block(void **state)
{
    (void)state;
    fsfm_model_options o = options_of(FSFM_VIT_S16);
    o.decoder_depth = 1;
    const double L = 196, K = 49, C = 384, P = 768, D = 512, R = L - K, B = 8;
    const double block = 4 * D * D * (1 + L) + R * (2 * D * D + 2 * D * D + 16 * D * D + 4 * (1 + L) * D);
    near(count(&o, 8, false).part[FSFM_PART_PIXEL_DECODER],
         3 * (2 * C * D * (1 + K + 1 / B) + block + 2 * R * D * P), 1e-12);
}

static void test_largest_shapes(void **state)
{
    (void)state;
    const fsfm_model_options o = options_of(FSFM_VIT_B16);
    const fsfm_work_setup setup = {.options = &o, .kept = 49, .B = 16};
    fsfm_product_shape shapes[5 + 128];
    fsfm_work_list list;
    fsfm_error err;
    assert_ok(fsfm_work_list_make(&setup, &list, &err), &err);
    const int found = fsfm_flops_largest(&list, shapes, 5), all = fsfm_flops_largest(&list, shapes + 5, 128);
    fsfm_work_list_free(&list);
    assert_int_equal(found, 5);
    assert_true(all > 20 && all < 128);
    /* The target's MLP: 12 blocks and two of the rep decoder, on all tokens. */
    assert_true(shapes[0].M == 16 * 197 && shapes[0].N == 3072 && shapes[0].K == 768);
    assert_true(!shapes[0].a_transposed && shapes[0].b_transposed);
    for (int i = 0; i < found; i++)
        assert_true(shapes[i].M == shapes[5 + i].M && shapes[i].N == shapes[5 + i].N &&
                    shapes[i].K == shapes[5 + i].K);
    for (int i = 0; i < all; i++)
        for (int j = 0; j < i; j++)
            assert_false(shapes[5 + i].M == shapes[5 + j].M && shapes[5 + i].N == shapes[5 + j].N &&
                         shapes[5 + i].K == shapes[5 + j].K &&
                         shapes[5 + i].a_transposed == shapes[5 + j].a_transposed &&
                         shapes[5 + i].b_transposed == shapes[5 + j].b_transposed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_sizes),
        cmocka_unit_test(test_plain_parts),
        cmocka_unit_test(test_savings),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_one_block),
        cmocka_unit_test(test_largest_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
