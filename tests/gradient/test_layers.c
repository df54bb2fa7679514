/* SPDX-License-Identifier: Apache-2.0
 * Gradients of the operations of a block: linear layers, GELU, layer norm, attention; and a product that
 * reads weights whole. */
#include <stdlib.h>
#include <string.h>

#include "core/model/layers.h"
#include "tests/support/device_case.h"
#include "tests/support/reference_ops.h"
#include "tests/support/slope.h"

static void linear_forward(const slope_operation *op, double *const x[SLOPE_INPUTS], double *out)
{
    ref_linear(op->sizes[0], op->sizes[1], op->sizes[2], x[0], x[1], x[2], NULL, out);
}

static void linear_device(device_case *c, const slope_operation *op, case_array *const x[SLOPE_INPUTS],
                          const case_array *w, case_array *const gradient[SLOPE_INPUTS])
{
    case_zero(c, gradient[1]);
    case_zero(c, gradient[2]);
    const fsfm_linear_backward_args args = {.N = op->sizes[0],
                                            .Cin = op->sizes[1],
                                            .Cout = op->sizes[2],
                                            .x = x[0]->dev,
                                            .weight = x[1]->dev,
                                            .dout = w->dev,
                                            .dx = gradient[0]->dev,
                                            .dweight = gradient[1]->dev,
                                            .dbias = gradient[2]->dev};
    assert_ok(c->dev->ops->linear_backward(c->dev, &args, &c->err), &c->err);
}

static void linear_has_the_slope(void **state)
{
    (void)state;
    check_slope(&(slope_operation){.sizes = {17, 23, 35},
                                   .count = {17 * 23, 35 * 23, 35},
                                   .out_count = 17 * 35,
                                   .scale = {1, 1, 1},
                                   .kind = {CASE_ACTS, CASE_WEIGHTS, CASE_FLOATS},
                                   .out_kind = CASE_ACTS,
                                   .forward = linear_forward,
                                   .device = linear_device});
}

/* A linear layer behind a GELU. */
static void gelu_forward(const slope_operation *op, double *const x[SLOPE_INPUTS], double *out)
{
    double *active = malloc((size_t)op->count[0] * sizeof *active);
    assert_non_null(active);
    ref_gelu(op->count[0], x[0], active);
    ref_linear(op->sizes[0], op->sizes[1], op->sizes[2], active, x[1], x[2], NULL, out);
    free(active);
}

static void gelu_device(device_case *c, const slope_operation *op, case_array *const x[SLOPE_INPUTS],
                        const case_array *w, case_array *const gradient[SLOPE_INPUTS])
{
    case_zero(c, gradient[1]);
    case_zero(c, gradient[2]);
    const fsfm_linear_backward_args args = {.N = op->sizes[0],
                                            .Cin = op->sizes[1],
                                            .Cout = op->sizes[2],
                                            .weight = x[1]->dev,
                                            .dout = w->dev,
                                            .dx = gradient[0]->dev,
                                            .dweight = gradient[1]->dev,
                                            .dbias = gradient[2]->dev,
                                            .hidden = x[0]->dev,
                                            .active = case_output(c, CASE_ACTS, op->count[0])->dev};
    assert_ok(c->dev->ops->linear_backward(c->dev, &args, &c->err), &c->err);
}

static void gelu_has_the_slope(void **state)
{
    (void)state;
    check_slope(&(slope_operation){.sizes = {17, 23, 35},
                                   .count = {17 * 23, 35 * 23, 35},
                                   .out_count = 17 * 35,
                                   .scale = {2, 1, 1},
                                   .kind = {CASE_ACTS, CASE_WEIGHTS, CASE_FLOATS},
                                   .out_kind = CASE_ACTS,
                                   .forward = gelu_forward,
                                   .device = gelu_device});
}

static void layernorm_forward(const slope_operation *op, double *const x[SLOPE_INPUTS], double *out)
{
    ref_layernorm(op->sizes[0], op->sizes[1], 1e-5, op->sizes[2], x[0], x[1], x[2], out, NULL, NULL);
}

static void layernorm_device(device_case *c, const slope_operation *op, case_array *const x[SLOPE_INPUTS],
                             const case_array *w, case_array *const gradient[SLOPE_INPUTS])
{
    const int64_t N = op->sizes[0], C = op->sizes[1];
    const case_array *out = case_output(c, CASE_ACTS, N * C), *mean = case_output(c, CASE_FLOATS, N),
                     *rstd = case_output(c, CASE_FLOATS, N);
    case_zero(c, gradient[1]);
    case_zero(c, gradient[2]);
    const fsfm_layernorm_args args = {.N = N,
                                      .C = C,
                                      .eps = 1e-5f,
                                      .relu = op->sizes[2],
                                      .x = x[0]->dev,
                                      .weight = x[1]->dev,
                                      .bias = x[2]->dev,
                                      .out = out->dev,
                                      .mean = mean->dev,
                                      .rstd = rstd->dev};
    const fsfm_layernorm_backward_args backward = {.N = N,
                                                   .C = C,
                                                   .relu = op->sizes[2],
                                                   .x = x[0]->dev,
                                                   .out = out->dev,
                                                   .dout = w->dev,
                                                   .weight = x[1]->dev,
                                                   .mean = mean->dev,
                                                   .rstd = rstd->dev,
                                                   .dx = gradient[0]->dev,
                                                   .dweight = gradient[1]->dev,
                                                   .dbias = gradient[2]->dev};
    assert_ok(c->dev->ops->layernorm(c->dev, &args, &c->err), &c->err);
    assert_ok(c->dev->ops->layernorm_backward(c->dev, &backward, &c->err), &c->err);
}

static void layernorm_has_the_slope(void **state)
{
    (void)state;
    for (int relu = 0; relu < 2; relu++)
        check_slope(&(slope_operation){.sizes = {9, 50, relu},
                                       .count = {9 * 50, 50, 50},
                                       .out_count = 9 * 50,
                                       .scale = {2, 1, 1},
                                       .kind = {CASE_ACTS, CASE_FLOATS, CASE_FLOATS},
                                       .out_kind = CASE_ACTS,
                                       .forward = layernorm_forward,
                                       .device = layernorm_device});
}

/* sizes: B, Tq, T, H, D, last_multiplicity. Inputs: (B, T, 3, H, D), or q (B, Tq, H, D) and k, v (B, T, 2, H,
 * D). */
static ref_heads heads_of(const slope_operation *op)
{
    const int64_t *s = op->sizes, C = s[3] * s[4];
    const bool is_one = op->count[1] == 0;
    return (ref_heads){
        s[0], s[1], s[2], s[3], s[4], (double)s[5], is_one ? 3 * C : C, is_one ? 3 * C : 2 * C};
}

static void attention_forward(const slope_operation *op, double *const x[SLOPE_INPUTS], double *out)
{
    const ref_heads h = heads_of(op);
    const int64_t C = h.H * h.D;
    double *k = op->count[1] == 0 ? x[0] + C : x[1];
    const ref_qkv parts = {x[0], k, k + C};
    ref_attention(&h, &parts, out, NULL, NULL);
}

static void attention_device(device_case *c, const slope_operation *op, case_array *const x[SLOPE_INPUTS],
                             const case_array *w, case_array *const gradient[SLOPE_INPUTS])
{
    const ref_heads h = heads_of(op);
    const int64_t C = h.H * h.D, k = op->count[1] == 0 ? C : 0;
    const int kv = op->count[1] == 0 ? 0 : 1;
    const case_array *out = case_output(c, CASE_ACTS, op->out_count),
                     *log_sum = case_output(c, CASE_FLOATS, h.B * h.H * h.Tq);
    const fsfm_attention_args args = {.B = h.B,
                                      .Tq = h.Tq,
                                      .T = h.T,
                                      .H = h.H,
                                      .D = h.D,
                                      .last_multiplicity = (float)h.last_multiplicity,
                                      .q = x[0]->dev,
                                      .k = case_at(c, x[kv], k),
                                      .v = case_at(c, x[kv], k + C),
                                      .q_stride = h.q_stride,
                                      .kv_stride = h.kv_stride,
                                      .out = out->dev,
                                      .log_sum = log_sum->dev};
    const fsfm_attention_backward_args backward = {.B = h.B,
                                                   .Tq = h.Tq,
                                                   .T = h.T,
                                                   .H = h.H,
                                                   .D = h.D,
                                                   .last_multiplicity = (float)h.last_multiplicity,
                                                   .q = args.q,
                                                   .k = args.k,
                                                   .v = args.v,
                                                   .q_stride = h.q_stride,
                                                   .kv_stride = h.kv_stride,
                                                   .out = out->dev,
                                                   .dout = w->dev,
                                                   .log_sum = log_sum->dev,
                                                   .dq = gradient[0]->dev,
                                                   .dk = case_at(c, gradient[kv], k),
                                                   .dv = case_at(c, gradient[kv], k + C)};
    assert_ok(c->dev->ops->attention(c->dev, &args, &c->err), &c->err);
    assert_ok(c->dev->ops->attention_backward(c->dev, &backward, &c->err), &c->err);
}

static void check_attention(const int64_t s[6], bool is_one)
{
    const int64_t C = s[3] * s[4], queries = s[0] * s[1] * C, keys = s[0] * s[2] * C;
    check_slope(&(slope_operation){.sizes = {s[0], s[1], s[2], s[3], s[4], s[5]},
                                   .count = {is_one ? 3 * queries : queries, is_one ? 0 : 2 * keys},
                                   .out_count = queries,
                                   .scale = {1, 1},
                                   .kind = {CASE_ACTS, CASE_ACTS},
                                   .out_kind = CASE_ACTS,
                                   .forward = attention_forward,
                                   .device = attention_device});
}

static void attention_has_the_slope(void **state)
{
    (void)state;
    static const int64_t own[][6] = {
        {2, 5, 5, 3, 6, 1}, {1, 50, 50, 2, 32, 1}, {2, 51, 51, 2, 24, 147}, {1, 19, 19, 1, 80, 3}};
    static const int64_t other[][6] = {{2, 7, 5, 3, 6, 1}, {1, 9, 70, 2, 32, 1}, {2, 60, 3, 2, 24, 147}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) check_attention(own[i], true);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) check_attention(other[i], false);
}

/* Rounded weights alone would be off by 2^-9 of each term. */
static void whole_weights_are_read(void **state)
{
    (void)state;
    enum { N = 19, IN = 24, OUT = 72 };
    device_case c;
    float biases[OUT]; /* which a GPU may round */
    for (int i = 0; i < OUT; i++) biases[i] = (float)(i % 9 - 4) / 4.0f;
    case_begin(&c, 2, 11);
    const case_array *x = case_random(&c, CASE_ACTS, N * IN, 1.0),
                     *weight = case_random(&c, CASE_MATRIX, OUT * IN, 1.0),
                     *bias = case_given(&c, CASE_FLOATS, biases, OUT),
                     *rest = case_output(&c, CASE_ACTS, OUT * IN);
    case_array *y = case_output(&c, CASE_ACTS, N * OUT);
    const fsfm_linear layer = {
        .w = {.weight.value = weight->dev, .bias.value = bias->dev}, .in = IN, .out = OUT};
    assert_ok(fsfm_linear_whole_forward(c.dev, &layer, N, x->dev, rest->dev, y->dev, &c.err), &c.err);
    ref_linear(N, IN, OUT, x->want, weight->want, bias->want, NULL, y->want);
    /* The rest is rounded, and so is its product: each to 2^-9 of 2^-9 of the terms. */
    case_check(&c, y, "y", 1e-5, c.is_bf16 ? 2e-4 : 1e-5);
    case_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_has_the_slope), cmocka_unit_test(gelu_has_the_slope),
        cmocka_unit_test(layernorm_has_the_slope), cmocka_unit_test(attention_has_the_slope),
        cmocka_unit_test(whole_weights_are_read)};
    return case_skips() ? 77 : cmocka_run_group_tests_name("layers", tests, NULL, NULL);
}
