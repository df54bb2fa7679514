/* SPDX-License-Identifier: Apache-2.0
 * Backward of every operation on the device against the slope of the reference's forward, in double, along a
 * random direction v of all inputs: loss = <w, forward(x)>, and <gradient, v> must be (loss(x + h v) - loss(x
 * - h v)) / 2h. One direction checks all entries. Entries of v have size 1, so <gradient, v> has the size of
 * |gradient|; the slope is good to about 1e-7 of that, the device's floats to 1e-6: held to 1e-5.
 *
 * In bf16 gradients are rounded when they are stored and up to twice on the way, in random directions by 0.42
 * 2^-8 of themselves (see case_check): <gradient, v> moves by 6 sqrt(3) 0.42 2^-8 |gradient| at most. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/bfloat16.h"
#include "tests/support/device_case.h"
#include "tests/support/reference_ops.h"

enum { INPUTS = 3 };

/* One operation: inputs that have gradients, and its reference from them to out. Gradients of activations are
 * activations, all others are floats. */
typedef struct operation {
    int64_t sizes[6];
    int64_t count[INPUTS], out_count;
    double scale[INPUTS];
    case_kind kind[INPUTS], out_kind;
    void (*forward)(const struct operation *op, double *const x[INPUTS], double *out);
    /* Runs forward where backward needs its results, then backward; gradients are set. */
    void (*device)(device_case *c, const struct operation *op, case_array *const x[INPUTS],
                   const case_array *w, case_array *const gradient[INPUTS]);
} operation;

static double loss_along(const operation *op, double *const x[INPUTS], double *const v[INPUTS],
                         const double *w, double h)
{
    double *moved[INPUTS] = {0}, *out = calloc((size_t)op->out_count, sizeof *out), loss = 0.0;
    assert_non_null(out);
    for (int i = 0; i < INPUTS; i++) {
        moved[i] = malloc((size_t)op->count[i] * sizeof(double) + 1);
        assert_non_null(moved[i]);
        for (int64_t k = 0; k < op->count[i]; k++) moved[i][k] = x[i][k] + h * v[i][k];
    }
    op->forward(op, moved, out);
    for (int64_t k = 0; k < op->out_count; k++) loss += w[k] * out[k];
    for (int i = 0; i < INPUTS; i++) free(moved[i]);
    free(out);
    return loss;
}

static void check_operation(const operation *op)
{
    const double h = 1e-5;
    device_case c;
    case_begin(&c, 2, (uint64_t)op->out_count);
    const double tolerance = c.is_bf16 ? 6.0 * sqrt(3.0) * 0.42 * BF16_ROUNDING : 1e-5;
    case_array *x[INPUTS], *v[INPUTS], *gradient[INPUTS];
    double *x_host[INPUTS], *v_host[INPUTS], got = 0.0, size = 0.0;
    for (int i = 0; i < INPUTS; i++) {
        x[i] = case_random(&c, op->kind[i], op->count[i], op->scale[i]);
        v[i] = case_random(&c, CASE_FLOATS, op->count[i], 1.0);
        gradient[i] = case_output(&c, op->kind[i] == CASE_ACTS ? CASE_ACTS : CASE_FLOATS, op->count[i]);
        x_host[i] = x[i]->want;
        v_host[i] = v[i]->want;
    }
    const case_array *w = case_random(&c, op->out_kind, op->out_count, 1.0);
    op->device(&c, op, x, w, gradient);
    for (int i = 0; i < INPUTS; i++) {
        float *value = case_download(&c, gradient[i]);
        for (int64_t k = 0; k < op->count[i]; k++) {
            got += (double)value[k] * v_host[i][k];
            size += (double)value[k] * (double)value[k];
        }
        free(value);
    }
    const double up = loss_along(op, x_host, v_host, w->want, h),
                 down = loss_along(op, x_host, v_host, w->want, -h);
    const double want = (up - down) / (2.0 * h);
    if (!(fabs(got - want) <= tolerance * sqrt(size)))
        fail_msg("<gradient, v> is %.9g, the slope %.9g", got, want);
    assert_true(size > 0.0);
    case_end(&c);
}

static void linear_forward(const operation *op, double *const x[INPUTS], double *out)
{
    ref_linear(op->sizes[0], op->sizes[1], op->sizes[2], x[0], x[1], x[2], NULL, out);
}

static void linear_device(device_case *c, const operation *op, case_array *const x[INPUTS],
                          const case_array *w, case_array *const gradient[INPUTS])
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
    check_operation(&(operation){.sizes = {17, 23, 35},
                                 .count = {17 * 23, 35 * 23, 35},
                                 .out_count = 17 * 35,
                                 .scale = {1, 1, 1},
                                 .kind = {CASE_ACTS, CASE_WEIGHTS, CASE_FLOATS},
                                 .out_kind = CASE_ACTS,
                                 .forward = linear_forward,
                                 .device = linear_device});
}

/* A linear layer behind a GELU. */
static void gelu_forward(const operation *op, double *const x[INPUTS], double *out)
{
    double *active = malloc((size_t)op->count[0] * sizeof *active);
    assert_non_null(active);
    ref_gelu(op->count[0], x[0], active);
    ref_linear(op->sizes[0], op->sizes[1], op->sizes[2], active, x[1], x[2], NULL, out);
    free(active);
}

static void gelu_device(device_case *c, const operation *op, case_array *const x[INPUTS], const case_array *w,
                        case_array *const gradient[INPUTS])
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
    check_operation(&(operation){.sizes = {17, 23, 35},
                                 .count = {17 * 23, 35 * 23, 35},
                                 .out_count = 17 * 35,
                                 .scale = {2, 1, 1},
                                 .kind = {CASE_ACTS, CASE_WEIGHTS, CASE_FLOATS},
                                 .out_kind = CASE_ACTS,
                                 .forward = gelu_forward,
                                 .device = gelu_device});
}

static void layernorm_forward(const operation *op, double *const x[INPUTS], double *out)
{
    ref_layernorm(op->sizes[0], op->sizes[1], 1e-5, op->sizes[2], x[0], x[1], x[2], out, NULL, NULL);
}

static void layernorm_device(device_case *c, const operation *op, case_array *const x[INPUTS],
                             const case_array *w, case_array *const gradient[INPUTS])
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
        check_operation(&(operation){.sizes = {9, 50, relu},
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
static ref_heads heads_of(const operation *op)
{
    const int64_t *s = op->sizes, C = s[3] * s[4];
    const bool is_one = op->count[1] == 0;
    return (ref_heads){
        s[0], s[1], s[2], s[3], s[4], (double)s[5], is_one ? 3 * C : C, is_one ? 3 * C : 2 * C};
}

static void attention_forward(const operation *op, double *const x[INPUTS], double *out)
{
    const ref_heads h = heads_of(op);
    const int64_t C = h.H * h.D;
    double *k = op->count[1] == 0 ? x[0] + C : x[1];
    const ref_qkv parts = {x[0], k, k + C};
    ref_attention(&h, &parts, out, NULL, NULL);
}

static void attention_device(device_case *c, const operation *op, case_array *const x[INPUTS],
                             const case_array *w, case_array *const gradient[INPUTS])
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
    check_operation(&(operation){.sizes = {s[0], s[1], s[2], s[3], s[4], s[5]},
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

static const int32_t index_of[2 * 3] = {0, 2, 4, 1, 2, 3},
                                  slot_of[2 * 5] = {0, -1, 1, -1, 2, -1, 0, 1, 2, -1};
enum { B = 2, K = 3, L = 5, C = 19 };

/* The position table has no gradient: zeros. */
static void embed_forward(const operation *op, double *const x[INPUTS], double *out)
{
    (void)op;
    const double position[L * C] = {0};
    ref_embed(B, K, C, x[0], x[1], position, index_of, out);
}

static void embed_device(device_case *c, const operation *op, case_array *const x[INPUTS],
                         const case_array *w, case_array *const gradient[INPUTS])
{
    (void)op, (void)x;
    case_zero(c, gradient[1]);
    const fsfm_embed_backward_args args = {
        .B = B, .K = K, .C = C, .dout = w->dev, .dpatches = gradient[0]->dev, .dclass = gradient[1]->dev};
    assert_ok(c->dev->ops->embed_backward(c->dev, &args, &c->err), &c->err);
}

/* sizes: L, whether slots are given, fill_by_place */
static void unshuffle_forward(const operation *op, double *const x[INPUTS], double *out)
{
    ref_unshuffle(B, K, op->sizes[0], C, x[0], x[1], op->sizes[2], NULL, op->sizes[1] ? slot_of : NULL, out);
}

static void unshuffle_device(device_case *c, const operation *op, case_array *const x[INPUTS],
                             const case_array *w, case_array *const gradient[INPUTS])
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

static void pick_forward(const operation *op, double *const x[INPUTS], double *out)
{
    (void)op;
    ref_pick(B, L, K, C, x[0], index_of, out);
}

static void pick_device(device_case *c, const operation *op, case_array *const x[INPUTS], const case_array *w,
                        case_array *const gradient[INPUTS])
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

static void mean_forward(const operation *op, double *const x[INPUTS], double *out)
{
    ref_mean(op->sizes[0], op->sizes[1], op->sizes[2], (double)op->sizes[3], x[0], out);
}

static void mean_device(device_case *c, const operation *op, case_array *const x[INPUTS], const case_array *w,
                        case_array *const gradient[INPUTS])
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
static operation on_tokens(int64_t x_count, int64_t vector_count, int64_t out_count)
{
    return (operation){.count = {x_count, vector_count},
                       .out_count = out_count,
                       .scale = {1, 1},
                       .kind = {CASE_ACTS, CASE_FLOATS},
                       .out_kind = CASE_ACTS};
}

static void embed_has_the_slope(void **state)
{
    (void)state;
    operation op = on_tokens(B * K * C, C, B * (1 + K) * C);
    op.forward = embed_forward;
    op.device = embed_device;
    check_operation(&op);
}

static void unshuffle_has_the_slope(void **state)
{
    (void)state;
    static const int64_t forms[][3] = {{L, 1, 0}, {L, 1, 1}, {K + 1, 0, 0}};
    for (int i = 0; i < 3; i++) {
        const int64_t *s = forms[i];
        operation op = on_tokens(B * (1 + K) * C, s[2] ? L * C : C, B * (1 + s[0]) * C);
        memcpy(op.sizes, s, 3 * sizeof *s);
        op.forward = unshuffle_forward;
        op.device = unshuffle_device;
        check_operation(&op);
    }
}

static void pick_has_the_slope(void **state)
{
    (void)state;
    operation op = on_tokens(B * L * C, 0, B * K * C);
    op.forward = pick_forward;
    op.device = pick_device;
    check_operation(&op);
}

static void mean_has_the_slope(void **state)
{
    (void)state;
    static const int64_t sizes[][4] = {{3, 7, 20, 1}, {3, 7, 20, 140}};
    for (int i = 0; i < 2; i++) {
        const int64_t *s = sizes[i];
        operation op = on_tokens(s[0] * s[1] * s[2], 0, s[0] * s[2]);
        memcpy(op.sizes, s, 4 * sizeof *s);
        op.forward = mean_forward;
        op.device = mean_device;
        check_operation(&op);
    }
}

static void normalize_forward(const operation *op, double *const x[INPUTS], double *out)
{
    double norm[16];
    ref_normalize(op->sizes[0], op->sizes[1], x[0], out, norm);
}

static void normalize_device(device_case *c, const operation *op, case_array *const x[INPUTS],
                             const case_array *w, case_array *const gradient[INPUTS])
{
    const case_array *out = case_output(c, CASE_FLOATS, op->out_count),
                     *norm = case_output(c, CASE_FLOATS, op->sizes[0]);
    const fsfm_normalize_args args = {
        .N = op->sizes[0], .C = op->sizes[1], .x = x[0]->dev, .out = out->dev, .norm = norm->dev};
    const fsfm_normalize_backward_args backward = {.N = op->sizes[0],
                                                   .C = op->sizes[1],
                                                   .out = out->dev,
                                                   .norm = norm->dev,
                                                   .dout = w->dev,
                                                   .dx = gradient[0]->dev};
    assert_ok(c->dev->ops->normalize(c->dev, &args, &c->err), &c->err);
    assert_ok(c->dev->ops->normalize_backward(c->dev, &backward, &c->err), &c->err);
}

/* Losses have one output, which the random w scales. */
static float first_of(device_case *c, const case_array *array)
{
    float value;
    assert_ok(c->dev->ops->download(c->dev, &value, array->dev, sizeof value, &c->err), &c->err);
    return value;
}

static void dot_forward(const operation *op, double *const x[INPUTS], double *out)
{
    double k[5 * 20];
    for (int i = 0; i < 5 * 20; i++) k[i] = (i % 7 - 3) / 4.0;
    *out = ref_dot_loss(op->sizes[0], op->sizes[1], 2.0, -2.0, x[0], k);
}

static void dot_device(device_case *c, const operation *op, case_array *const x[INPUTS], const case_array *w,
                       case_array *const gradient[INPUTS])
{
    float k[5 * 20];
    const double none = 0.0;
    for (int i = 0; i < 5 * 20; i++) k[i] = (float)(i % 7 - 3) / 4.0f;
    const fsfm_dot_loss_args args = {.N = op->sizes[0],
                                     .C = op->sizes[1],
                                     .q = x[0]->dev,
                                     .k = case_bytes(c, k, sizeof k),
                                     .offset = 2.0,
                                     .slope = -2.0,
                                     .dslope = -2.0f * first_of(c, w),
                                     .sum = case_bytes(c, &none, sizeof none),
                                     .dq = gradient[0]->dev};
    assert_ok(c->dev->ops->dot_loss(c->dev, &args, &c->err), &c->err);
}

static void infonce_forward(const operation *op, double *const x[INPUTS], double *out)
{
    double keys[11 * 20];
    for (int i = 0; i < 11 * 20; i++) keys[i] = (i % 13 - 6) / 8.0;
    *out = ref_infonce(op->sizes[0], 11, op->sizes[1], 4, 0.5, 0.0, x[0], keys, NULL);
}

static void infonce_device(device_case *c, const operation *op, case_array *const x[INPUTS],
                           const case_array *w, case_array *const gradient[INPUTS])
{
    float keys[11 * 20];
    const double none = 0.0;
    for (int i = 0; i < 11 * 20; i++) keys[i] = (float)(i % 13 - 6) / 8.0f;
    const fsfm_infonce_args args = {.N = op->sizes[0],
                                    .M = 11,
                                    .C = op->sizes[1],
                                    .first = 4,
                                    .q = x[0]->dev,
                                    .keys = case_bytes(c, keys, sizeof keys),
                                    .temperature = 0.5f,
                                    .dscale = first_of(c, w),
                                    .logits = case_output(c, CASE_FLOATS, op->sizes[0] * 11)->dev,
                                    .sum = case_bytes(c, &none, sizeof none),
                                    .dq = gradient[0]->dev};
    assert_ok(c->dev->ops->infonce(c->dev, &args, &c->err), &c->err);
}

static void heads_have_the_slope(void **state)
{
    (void)state;
    check_operation(&(operation){.sizes = {5, 20},
                                 .count = {5 * 20},
                                 .out_count = 5 * 20,
                                 .scale = {2},
                                 .kind = {CASE_ACTS},
                                 .forward = normalize_forward,
                                 .device = normalize_device});
    check_operation(&(operation){.sizes = {5, 20},
                                 .count = {5 * 20},
                                 .out_count = 1,
                                 .scale = {0.3},
                                 .forward = dot_forward,
                                 .device = dot_device});
    check_operation(&(operation){.sizes = {5, 20},
                                 .count = {5 * 20},
                                 .out_count = 1,
                                 .scale = {0.3},
                                 .forward = infonce_forward,
                                 .device = infonce_device});
}

enum { PATCH = 4, SIZE = 12, P = PATCH * PATCH * 3, PATCHES = 9, ROWS = 7, VALUES = 2 * SIZE * SIZE * 3 };
static const int32_t patch_of[2 * ROWS] = {3, 0, -1, 8, 5, 1, 4, 2, 2, 7, 0, -1, 6, 8};
static const uint8_t mask[2 * PATCHES] = {1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 1, 1, 1};
static const uint8_t region[2 * PATCHES] = {1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0};

/* out: the two sums. */
static void patch_loss_forward(const operation *op, double *const x[INPUTS], double *out)
{
    double pixels[VALUES];
    for (int i = 0; i < VALUES; i++) pixels[i] = (double)((float)(i * 7 % 101 - 50) / 40.0f);
    ref_patch_loss(2, ROWS, SIZE, PATCH, pixels, op->sizes[0], x[0], patch_of, mask, region, 0.0, 0.0, out,
                   NULL);
}

static void patch_loss_device(device_case *c, const operation *op, case_array *const x[INPUTS],
                              const case_array *w, case_array *const gradient[INPUTS])
{
    float pixels[VALUES];
    const double none[2] = {0};
    for (int i = 0; i < VALUES; i++) pixels[i] = (float)(i * 7 % 101 - 50) / 40.0f;
    const fsfm_patch_loss_args args = {
        .B = 2,
        .L = PATCHES,
        .R = ROWS,
        .images = {.size = SIZE, .patch = PATCH, .f32 = case_bytes(c, pixels, sizeof pixels)},
        .norm_pix = op->sizes[0],
        .pred = x[0]->dev,
        .patch = case_bytes(c, patch_of, sizeof patch_of),
        .mask = case_bytes(c, mask, sizeof mask),
        .region = case_bytes(c, region, sizeof region),
        .dmask = (float)w->want[0],
        .dregion = (float)w->want[1],
        .sums = case_bytes(c, none, sizeof none),
        .dpred = gradient[0]->dev};
    assert_ok(c->dev->ops->patch_loss(c->dev, &args, &c->err), &c->err);
}

static void patch_loss_has_the_slope(void **state)
{
    (void)state;
    for (int norm_pix = 0; norm_pix < 2; norm_pix++)
        check_operation(&(operation){.sizes = {norm_pix},
                                     .count = {2 * ROWS * P},
                                     .out_count = 2,
                                     .scale = {1},
                                     .kind = {CASE_ACTS},
                                     .forward = patch_loss_forward,
                                     .device = patch_loss_device});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_has_the_slope),    cmocka_unit_test(gelu_has_the_slope),
        cmocka_unit_test(layernorm_has_the_slope), cmocka_unit_test(attention_has_the_slope),
        cmocka_unit_test(embed_has_the_slope),     cmocka_unit_test(unshuffle_has_the_slope),
        cmocka_unit_test(pick_has_the_slope),      cmocka_unit_test(mean_has_the_slope),
        cmocka_unit_test(heads_have_the_slope),    cmocka_unit_test(patch_loss_has_the_slope)};
    return case_skips() ? 77 : cmocka_run_group_tests_name("operations", tests, NULL, NULL);
}
