/* SPDX-License-Identifier: Apache-2.0
 * Backward of every operation on the device against the slope of the reference's forward, in double, along a
 * random direction v of all inputs: loss = <w, forward(x)>, and <gradient, v> must be (loss(x + h v) - loss(x
 * - h v)) / 2h. One direction checks all entries. Entries of v have size 1, so <gradient, v> has the size of
 * |gradient|; the slope is good to about 1e-7 of that, the device's floats to 1e-6: held to 1e-5. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/device_case.h"
#include "tests/support/reference_ops.h"

enum { INPUTS = 3 };

/* One operation: inputs that have gradients, and its reference from them to out. */
typedef struct operation {
    int64_t sizes[6];
    int64_t count[INPUTS], out_count;
    double scale[INPUTS];
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
    case_array *x[INPUTS], *v[INPUTS], *gradient[INPUTS];
    double *x_host[INPUTS], *v_host[INPUTS], got = 0.0, size = 0.0;
    for (int i = 0; i < INPUTS; i++) {
        x[i] = case_random(&c, op->count[i], op->scale[i]);
        v[i] = case_random(&c, op->count[i], 1.0);
        gradient[i] = case_output(&c, op->count[i]);
        x_host[i] = x[i]->want;
        v_host[i] = v[i]->want;
    }
    const case_array *w = case_random(&c, op->out_count, 1.0);
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
    if (!(fabs(got - want) <= 1e-5 * sqrt(size)))
        fail_msg("<gradient, v> is %.9g, the slope %.9g", got, want);
    assert_true(size > 0.0);
    case_end(&c);
}

static void zero(device_case *c, const case_array *array)
{
    assert_ok(c->dev->ops->zero(c->dev, array->dev, (size_t)array->count * sizeof(float), &c->err), &c->err);
}

static void linear_forward(const operation *op, double *const x[INPUTS], double *out)
{
    ref_linear(op->sizes[0], op->sizes[1], op->sizes[2], x[0], x[1], x[2], NULL, out);
}

static void linear_device(device_case *c, const operation *op, case_array *const x[INPUTS],
                          const case_array *w, case_array *const gradient[INPUTS])
{
    zero(c, gradient[1]);
    zero(c, gradient[2]);
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
    check_operation(&(operation){
        {17, 23, 35}, {17 * 23, 35 * 23, 35}, 17 * 35, {1, 1, 1}, linear_forward, linear_device});
}

static void layernorm_forward(const operation *op, double *const x[INPUTS], double *out)
{
    ref_layernorm(op->sizes[0], op->sizes[1], 1e-5, op->sizes[2], x[0], x[1], x[2], out, NULL, NULL);
}

static void layernorm_device(device_case *c, const operation *op, case_array *const x[INPUTS],
                             const case_array *w, case_array *const gradient[INPUTS])
{
    const int64_t N = op->sizes[0], C = op->sizes[1];
    const case_array *out = case_output(c, N * C), *mean = case_output(c, N), *rstd = case_output(c, N);
    zero(c, gradient[1]);
    zero(c, gradient[2]);
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
        check_operation(&(operation){
            {9, 50, relu}, {9 * 50, 50, 50}, 9 * 50, {2, 1, 1}, layernorm_forward, layernorm_device});
}

static void gelu_forward(const operation *op, double *const x[INPUTS], double *out)
{
    ref_gelu(op->out_count, x[0], out);
}

static void gelu_device(device_case *c, const operation *op, case_array *const x[INPUTS], const case_array *w,
                        case_array *const gradient[INPUTS])
{
    const fsfm_gelu_backward_args args = {
        .count = op->out_count, .x = x[0]->dev, .dout = w->dev, .dx = gradient[0]->dev};
    assert_ok(c->dev->ops->gelu_backward(c->dev, &args, &c->err), &c->err);
}

static void gelu_has_the_slope(void **state)
{
    (void)state;
    check_operation(&(operation){{0}, {501}, 501, {2}, gelu_forward, gelu_device});
}

static void attention_forward(const operation *op, double *const x[INPUTS], double *out)
{
    const int64_t *s = op->sizes;
    ref_attention(s[0], s[1], s[2], s[3], (double)s[4], x[0], out, NULL);
}

static void attention_device(device_case *c, const operation *op, case_array *const x[INPUTS],
                             const case_array *w, case_array *const gradient[INPUTS])
{
    const int64_t B = op->sizes[0], T = op->sizes[1], H = op->sizes[2], D = op->sizes[3];
    const case_array *out = case_output(c, op->out_count), *log_sum = case_output(c, B * H * T);
    const fsfm_attention_args args = {.B = B,
                                      .T = T,
                                      .H = H,
                                      .D = D,
                                      .last_multiplicity = (float)op->sizes[4],
                                      .qkv = x[0]->dev,
                                      .out = out->dev,
                                      .log_sum = log_sum->dev};
    const fsfm_attention_backward_args backward = {.B = B,
                                                   .T = T,
                                                   .H = H,
                                                   .D = D,
                                                   .last_multiplicity = (float)op->sizes[4],
                                                   .qkv = x[0]->dev,
                                                   .out = out->dev,
                                                   .dout = w->dev,
                                                   .log_sum = log_sum->dev,
                                                   .dqkv = gradient[0]->dev};
    assert_ok(c->dev->ops->attention(c->dev, &args, &c->err), &c->err);
    assert_ok(c->dev->ops->attention_backward(c->dev, &backward, &c->err), &c->err);
}

static void attention_has_the_slope(void **state)
{
    (void)state;
    static const int64_t sizes[][5] = {
        {2, 5, 3, 6, 1}, {1, 50, 2, 32, 1}, {2, 51, 2, 24, 147}, {1, 19, 1, 80, 3}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int64_t *s = sizes[i], count = s[0] * s[1] * s[2] * s[3];
        check_operation(&(operation){
            {s[0], s[1], s[2], s[3], s[4]}, {3 * count}, count, {1}, attention_forward, attention_device});
    }
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
    zero(c, gradient[1]);
    const fsfm_embed_backward_args args = {
        .B = B, .K = K, .C = C, .dout = w->dev, .dpatches = gradient[0]->dev, .dclass = gradient[1]->dev};
    assert_ok(c->dev->ops->embed_backward(c->dev, &args, &c->err), &c->err);
}

static void unshuffle_forward(const operation *op, double *const x[INPUTS], double *out)
{
    ref_unshuffle(B, K, op->sizes[0], C, x[0], x[1], NULL, op->sizes[1] ? slot_of : NULL, out);
}

static void unshuffle_device(device_case *c, const operation *op, case_array *const x[INPUTS],
                             const case_array *w, case_array *const gradient[INPUTS])
{
    (void)x;
    zero(c, gradient[1]);
    const fsfm_unshuffle_backward_args args = {.B = B,
                                               .K = K,
                                               .L = op->sizes[0],
                                               .C = C,
                                               .dout = w->dev,
                                               .slot = op->sizes[1] ? case_bytes(c, slot_of, sizeof slot_of)
                                                                    : NULL,
                                               .dx = gradient[0]->dev,
                                               .dfill = gradient[1]->dev};
    assert_ok(c->dev->ops->unshuffle_backward(c->dev, &args, &c->err), &c->err);
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

static void tokens_have_the_slope(void **state)
{
    (void)state;
    check_operation(&(operation){{0}, {B * K * C, C}, B * (1 + K) * C, {1, 1}, embed_forward, embed_device});
    check_operation(&(operation){
        {L, 1}, {B * (1 + K) * C, C}, B * (1 + L) * C, {1, 1}, unshuffle_forward, unshuffle_device});
    check_operation(&(operation){
        {K + 1, 0}, {B * (1 + K) * C, C}, B * (2 + K) * C, {1, 1}, unshuffle_forward, unshuffle_device});
    check_operation(&(operation){{3, 7, 20, 1}, {3 * 7 * 20}, 3 * 20, {1}, mean_forward, mean_device});
    check_operation(&(operation){{3, 7, 20, 140}, {3 * 7 * 20}, 3 * 20, {1}, mean_forward, mean_device});
}

static void normalize_forward(const operation *op, double *const x[INPUTS], double *out)
{
    double norm[16];
    ref_normalize(op->sizes[0], op->sizes[1], x[0], out, norm);
}

static void normalize_device(device_case *c, const operation *op, case_array *const x[INPUTS],
                             const case_array *w, case_array *const gradient[INPUTS])
{
    const case_array *out = case_output(c, op->out_count), *norm = case_output(c, op->sizes[0]);
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
                                    .logits = case_output(c, op->sizes[0] * 11)->dev,
                                    .sum = case_bytes(c, &none, sizeof none),
                                    .dq = gradient[0]->dev};
    assert_ok(c->dev->ops->infonce(c->dev, &args, &c->err), &c->err);
}

static void heads_have_the_slope(void **state)
{
    (void)state;
    check_operation(&(operation){{5, 20}, {5 * 20}, 5 * 20, {2}, normalize_forward, normalize_device});
    check_operation(&(operation){{5, 20}, {5 * 20}, 1, {0.3}, dot_forward, dot_device});
    check_operation(&(operation){{5, 20}, {5 * 20}, 1, {0.3}, infonce_forward, infonce_device});
}

enum { PATCH = 4, SIZE = 12, P = PATCH * PATCH * 3, PATCHES = 9, VALUES = 2 * SIZE * SIZE * 3 };
static const uint8_t mask[2 * PATCHES] = {1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 1, 1, 1};
static const uint8_t region[2 * PATCHES] = {1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0};

/* out: the two sums. */
static void patch_loss_forward(const operation *op, double *const x[INPUTS], double *out)
{
    double pixels[VALUES];
    for (int i = 0; i < VALUES; i++) pixels[i] = (double)((float)(i * 7 % 101 - 50) / 40.0f);
    ref_patch_loss(2, SIZE, PATCH, pixels, op->sizes[0], x[0], mask, region, 0.0, 0.0, out, NULL);
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
        .images = {.size = SIZE, .patch = PATCH, .f32 = case_bytes(c, pixels, sizeof pixels)},
        .norm_pix = op->sizes[0],
        .pred = x[0]->dev,
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
        check_operation(
            &(operation){{norm_pix}, {2 * (1 + PATCHES) * P}, 2, {1}, patch_loss_forward, patch_loss_device});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_has_the_slope),    cmocka_unit_test(layernorm_has_the_slope),
        cmocka_unit_test(gelu_has_the_slope),      cmocka_unit_test(attention_has_the_slope),
        cmocka_unit_test(tokens_have_the_slope),   cmocka_unit_test(heads_have_the_slope),
        cmocka_unit_test(patch_loss_has_the_slope)};
    return cmocka_run_group_tests_name("operations", tests, NULL, NULL);
}
