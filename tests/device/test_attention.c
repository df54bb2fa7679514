/* SPDX-License-Identifier: Apache-2.0
 * Tolerances: scores up to about 6 carry 1e-7 of themselves into exp, outputs are means of numbers of size 1:
 * 3e-6. Gradients sum up to T such terms: 1e-5. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/device_case.h"
#include "tests/support/reference_ops.h"

static void attention_case(device_case *c, const int64_t *sizes)
{
    const int64_t T = sizes[0], D = sizes[1], H = sizes[2], B = sizes[3], C = H * D;
    const float multiplicity = (float)sizes[4];
    const case_array *qkv = case_random(c, B * T * 3 * C, 1.0), *dout = case_random(c, B * T * C, 1.0);
    case_array *out = case_output(c, B * T * C), *log_sum = case_output(c, B * H * T);
    case_array *dqkv = case_output(c, B * T * 3 * C);
    const fsfm_attention_args args = {.B = B,
                                      .T = T,
                                      .H = H,
                                      .D = D,
                                      .last_multiplicity = multiplicity,
                                      .qkv = qkv->dev,
                                      .out = out->dev,
                                      .log_sum = log_sum->dev};
    const fsfm_attention_backward_args backward = {.B = B,
                                                   .T = T,
                                                   .H = H,
                                                   .D = D,
                                                   .last_multiplicity = multiplicity,
                                                   .qkv = qkv->dev,
                                                   .out = out->dev,
                                                   .log_sum = log_sum->dev,
                                                   .dout = dout->dev,
                                                   .dqkv = dqkv->dev};
    assert_ok(c->dev->ops->attention(c->dev, &args, &c->err), &c->err);
    assert_ok(c->dev->ops->attention_backward(c->dev, &backward, &c->err), &c->err);
    if (c->dev->threads > 1) return;
    ref_attention(B, T, H, D, (double)multiplicity, qkv->want, out->want, log_sum->want);
    ref_attention_backward(B, T, H, D, (double)multiplicity, qkv->want, dout->want, dqkv->want);
    case_check(c, out, "out", 0.0, 3e-6);
    case_check(c, log_sum, "log_sum", 1e-6, 2e-6);
    case_check(c, dqkv, "dqkv", 2e-6, 1e-5);
}

static void attention_is_the_references(void **state)
{
    (void)state;
    static const int64_t lengths[] = {1, 2, 5, 17, 50, 51, 197, 257},
                         widths[] = {6, 8, 12, 24, 32, 48, 64, 80};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (size_t k = 0; k < sizeof widths / sizeof *widths; k++) {
            if (lengths[i] >= 197 && (i + k) % 2 == 1) continue; /* takes long */
            const int64_t heads = lengths[i] >= 197 ? 1 : 3, images = lengths[i] >= 197 ? 1 : 2;
            case_run(attention_case, (const int64_t[]){lengths[i], widths[k], heads, images, 1});
        }
    case_run(attention_case, (const int64_t[]){51, 24, 3, 2, 147});
    case_run(attention_case, (const int64_t[]){7, 8, 2, 3, 2});
}

/* T - 1 + m tokens whose last m are equal give what one of multiplicity m gives. */
static void multiplicity_stands_for_copies(void **state)
{
    (void)state;
    enum { T = 9, COPIES = 4, LONG = T - 1 + COPIES, H = 2, D = 12, C = H * D };
    device_case c;
    case_begin(&c, 2, 9);
    const case_array *qkv = case_random(&c, T * 3 * C, 1.0);
    case_array *out = case_output(&c, T * C), *all_out = case_output(&c, LONG * C);
    float copied[LONG * 3 * C], *once = case_download(&c, qkv);
    for (int t = 0; t < LONG; t++)
        memcpy(copied + t * 3 * C, once + (t < T ? t : T - 1) * 3 * C, 3 * C * sizeof(float));
    const float *all = case_bytes(&c, copied, sizeof copied);
    fsfm_attention_args args = {
        .B = 1, .T = T, .H = H, .D = D, .last_multiplicity = COPIES, .qkv = qkv->dev, .out = out->dev};
    assert_ok(c.dev->ops->attention(c.dev, &args, &c.err), &c.err);
    args.T = LONG;
    args.last_multiplicity = 1.0f;
    args.qkv = all;
    args.out = all_out->dev;
    assert_ok(c.dev->ops->attention(c.dev, &args, &c.err), &c.err);
    float *got = case_download(&c, out), *want = case_download(&c, all_out);
    assert_true(all_close(got, want, T * C, 0.0, 1e-6));
    free(once);
    free(got);
    free(want);
    case_end(&c);
}

/* Scores far apart, and far from 0: what exp could overflow on. */
static void large_scores_are_no_trouble(void **state)
{
    (void)state;
    enum { T = 19, D = 8 };
    device_case c;
    case_begin(&c, 1, 19);
    const case_array *qkv = case_random(&c, T * 3 * D, 20.0);
    case_array *out = case_output(&c, T * D), *log_sum = case_output(&c, T);
    const fsfm_attention_args args = {.B = 1,
                                      .T = T,
                                      .H = 1,
                                      .D = D,
                                      .last_multiplicity = 1.0f,
                                      .qkv = qkv->dev,
                                      .out = out->dev,
                                      .log_sum = log_sum->dev};
    assert_ok(c.dev->ops->attention(c.dev, &args, &c.err), &c.err);
    ref_attention(1, T, 1, D, 1.0, qkv->want, out->want, log_sum->want);
    case_check(&c, out, "out", 1e-3, 1e-3); /* scores of 1,000 carry 1e-4 */
    case_check(&c, log_sum, "log_sum", 1e-6, 1e-3);
    case_end(&c);
}

/* A score that is not a number must not vanish in the softmax. */
static void nan_comes_through(void **state)
{
    (void)state;
    enum { T = 37, D = 12 };
    for (int part = 0; part < 3; part++) { /* in q, k, v of token 2 */
        device_case c;
        case_begin(&c, 1, 37);
        const case_array *qkv = case_random(&c, T * 3 * D, 1.0), *out = case_output(&c, T * D);
        const float nan = NAN;
        assert_ok(c.dev->ops->upload(c.dev, qkv->dev + (2 * 3 + part) * D + 1, &nan, sizeof nan, &c.err),
                  &c.err);
        const fsfm_attention_args args = {
            .B = 1, .T = T, .H = 1, .D = D, .last_multiplicity = 1.0f, .qkv = qkv->dev, .out = out->dev};
        assert_ok(c.dev->ops->attention(c.dev, &args, &c.err), &c.err);
        float *got = case_download(&c, out);
        assert_true(isnan(got[2 * D + 1]));
        if (part == 1) assert_true(isnan(got[(T - 1) * D]));
        free(got);
        case_end(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_the_references), cmocka_unit_test(multiplicity_stands_for_copies),
        cmocka_unit_test(large_scores_are_no_trouble), cmocka_unit_test(nan_comes_through)};
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
