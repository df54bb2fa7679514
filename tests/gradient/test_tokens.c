/* SPDX-License-Identifier: Apache-2.0
 * Gradients of what puts rows of tokens together, takes them apart and averages them. */
#include <string.h>

#include "tests/support/device_case.h"
#include "tests/support/reference_ops.h"
#include "tests/support/slope.h"

static const int32_t index_of[2 * 3] = {0, 2, 4, 1, 2, 3},
                                  slot_of[2 * 5] = {0, -1, 1, -1, 2, -1, 0, 1, 2, -1};
enum { B = 2, K = 3, L = 5, C = 19 };

/* The position table has no gradient: zeros. */
static void embed_forward(const slope_operation *op, double *const x[SLOPE_INPUTS], double *out)
{
    (void)op;
    const double position[L * C] = {0};
    ref_embed(B, K, C, x[0], x[1], position, index_of, out);
}

static void embed_device(device_case *c, const slope_operation *op, case_array *const x[SLOPE_INPUTS],
                         const case_array *w, case_array *const gradient[SLOPE_INPUTS])
{
    (void)op, (void)x;
    case_zero(c, gradient[1]);
    const fsfm_embed_backward_args args = {
        .B = B, .K = K, .C = C, .dout = w->dev, .dpatches = gradient[0]->dev, .dclass = gradient[1]->dev};
    assert_ok(c->dev->ops->embed_backward(c->dev, &args, &c->err), &c->err);
}

/* sizes: L, whether slots are given, fill_by_place */
static void unshuffle_forward(const slope_operation *op, double *const x[SLOPE_INPUTS], double *out)
{
    ref_unshuffle(B, K, op->sizes[0], C, x[0], x[1], op->sizes[2], NULL, op->sizes[1] ? slot_of : NULL, out);
}

static void unshuffle_device(device_case *c, const slope_operation *op, case_array *const x[SLOPE_INPUTS],
                             const case_array *w, case_array *const gradient[SLOPE_INPUTS])
{
    (void)x;
    case_zero(c, gradient[1]);
    const fsfm_unshuffle_backward_args args = {.B = B,
                                               .K = K,
                                               .L = op->sizes[0],
                                               .C = C,
                                               .dout = w->dev,
                                               .slot = op->sizes[1] ? case_bytes(c, slot_of, sizeof slot_of)
                                                                    : NULL,
                                               .dx = gradient[0]->dev,
                                               .dfill = gradient[1]->dev,
                                               .fill_by_place = op->sizes[2]};
    assert_ok(c->dev->ops->unshuffle_backward(c->dev, &args, &c->err), &c->err);
}

static void pick_forward(const slope_operation *op, double *const x[SLOPE_INPUTS], double *out)
{
    (void)op;
    ref_pick(B, L, K, C, x[0], index_of, out);
}

static void pick_device(device_case *c, const slope_operation *op, case_array *const x[SLOPE_INPUTS],
                        const case_array *w, case_array *const gradient[SLOPE_INPUTS])
{
    (void)op, (void)x;
    case_zero(c, gradient[0]);
    const fsfm_pick_backward_args args = {.B = B,
                                          .T = L,
                                          .R = K,
                                          .C = C,
                                          .x = w->dev,
                                          .index = case_bytes(c, index_of, sizeof index_of),
                                          .y = gradient[0]->dev};
    assert_ok(c->dev->ops->pick_backward(c->dev, &args, &c->err), &c->err);
}

static void mean_forward(const slope_operation *op, double *const x[SLOPE_INPUTS], double *out)
{
    ref_mean(op->sizes[0], op->sizes[1], op->sizes[2], (double)op->sizes[3], x[0], out);
}

static void mean_device(device_case *c, const slope_operation *op, case_array *const x[SLOPE_INPUTS],
                        const case_array *w, case_array *const gradient[SLOPE_INPUTS])
{
    (void)x;
    const fsfm_mean_backward_args args = {.B = op->sizes[0],
                                          .T = op->sizes[1],
                                          .C = op->sizes[2],
                                          .last_multiplicity = (float)op->sizes[3],
                                          .dout = w->dev,
                                          .dx = gradient[0]->dev};
    assert_ok(c->dev->ops->mean_backward(c->dev, &args, &c->err), &c->err);
}

/* An operation on tokens x, with or without a vector of parameters. */
static slope_operation on_tokens(int64_t x_count, int64_t vector_count, int64_t out_count)
{
    return (slope_operation){.count = {x_count, vector_count},
                             .out_count = out_count,
                             .scale = {1, 1},
                             .kind = {CASE_ACTS, CASE_FLOATS},
                             .out_kind = CASE_ACTS};
}

static void embed_has_the_slope(void **state)
{
    (void)state;
    slope_operation op = on_tokens(B * K * C, C, B * (1 + K) * C);
    op.forward = embed_forward;
    op.device = embed_device;
    check_slope(&op);
}

static void unshuffle_has_the_slope(void **state)
{
    (void)state;
    static const int64_t forms[][3] = {{L, 1, 0}, {L, 1, 1}, {K + 1, 0, 0}};
    for (int i = 0; i < 3; i++) {
        const int64_t *s = forms[i];
        slope_operation op = on_tokens(B * (1 + K) * C, s[2] ? L * C : C, B * (1 + s[0]) * C);
        memcpy(op.sizes, s, 3 * sizeof *s);
        op.forward = unshuffle_forward;
        op.device = unshuffle_device;
        check_slope(&op);
    }
}

static void pick_has_the_slope(void **state)
{
    (void)state;
    slope_operation op = on_tokens(B * L * C, 0, B * K * C);
    op.forward = pick_forward;
    op.device = pick_device;
    check_slope(&op);
}

static void mean_has_the_slope(void **state)
{
    (void)state;
    static const int64_t sizes[][4] = {{3, 7, 20, 1}, {3, 7, 20, 140}};
    for (int i = 0; i < 2; i++) {
        const int64_t *s = sizes[i];
        slope_operation op = on_tokens(s[0] * s[1] * s[2], 0, s[0] * s[2]);
        memcpy(op.sizes, s, 4 * sizeof *s);
        op.forward = mean_forward;
        op.device = mean_device;
        check_slope(&op);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embed_has_the_slope), cmocka_unit_test(unshuffle_has_the_slope),
        cmocka_unit_test(pick_has_the_slope), cmocka_unit_test(mean_has_the_slope)};
    return case_skips() ? 77 : cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
