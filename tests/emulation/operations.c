/* SPDX-License-Identifier: Apache-2.0
 * tests/emulation/operations.c - a call of each operation at shapes of ViT-B/16 and of its decoders, few
 * images. It prints "OPERATION BYTES" by the formulas of core/device/cost.c: bytes.sh holds the bytes that
 * kernels are counted to move against them, mutants.sh lets the checker look at the kernels. What comes out
 * is for other tests to judge; only whether it is a number is looked at here. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/device/adamw.h"
#include "core/device/profile.h"
#include "tests/support/device_case.h"

enum {
    B = 2,
    L = 196, /* patches */
    K = 49,  /* of them kept */
    C = 768,
    H = 12,
    D = C / H,
    PATCH = 16,
    SIZE = 224,
    P = PATCH * PATCH * 3,
    CD = 512, /* of the pixel decoder */
    CR = 256, /* of representations */
    N = B * (1 + K)
};

typedef struct {
    device_case c;
    fsfm_profile *profile;
    fsfm_device *dev; /* the profile's */
} counted;

static void begin(counted *k)
{
    case_begin(&k->c, 1, 0);
    assert_ok(fsfm_profile_open(k->c.dev, &k->profile, &k->c.err), &k->c.err);
    k->dev = fsfm_profile_device(k->profile);
}

/* out: an array that the operation has set, or NULL. beside: bytes of the kernels beside a product of
 * cublasLt's, which the formula is of; 0: there is none. */
static void end(counted *k, const case_array *out, int64_t beside)
{
    int count = 0;
    const fsfm_profile_entry *entries = fsfm_profile_entries(k->profile, &count);
    for (int i = 0; i < count; i++)
        if (entries[i].calls > 0)
            printf("bytes %s %.0f\n", entries[i].name, beside > 0 ? (double)beside : entries[i].bytes);
    if (out) {
        float *got = case_download(&k->c, out);
        for (int64_t i = 0; i < out->count; i++) assert_true(isfinite(got[i]));
        free(got);
    }
    fsfm_profile_close(&k->profile);
    case_end(&k->c);
}

static void *acts(counted *k, int64_t count)
{
    return case_random(&k->c, CASE_ACTS, count, 1.0)->dev;
}

static float *floats(counted *k, int64_t count)
{
    return case_random(&k->c, CASE_FLOATS, count, 1.0)->dev;
}

/* Every fourth patch. */
static const int32_t *kept_patches(counted *k)
{
    int32_t index[B * K];
    for (int i = 0; i < B * K; i++) index[i] = 4 * (i % K);
    return case_bytes(&k->c, index, sizeof index);
}

static const int32_t *slots(counted *k)
{
    int32_t slot[B * L];
    for (int i = 0; i < B * L; i++) slot[i] = i % L % 4 == 0 ? i % L / 4 : -1;
    return case_bytes(&k->c, slot, sizeof slot);
}

static fsfm_images images_of(counted *k)
{
    static uint8_t pixels[B * SIZE * SIZE * 3];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)fsfm_random_u32(&k->c.random);
    return (fsfm_images){.size = SIZE,
                         .patch = PATCH,
                         .u8 = case_bytes(&k->c, pixels, sizeof pixels),
                         .mean = {0.5f, 0.5f, 0.5f},
                         .std = {0.25f, 0.25f, 0.25f}};
}

static double *zeros(counted *k)
{
    const double sums[2] = {0.0, 0.0};
    return case_bytes(&k->c, sums, sizeof sums);
}

#define RUN_BESIDE(op, out, bytes, ...)                               \
    do {                                                              \
        const fsfm_##op##_args args_ = {__VA_ARGS__};                 \
        assert_ok(k.dev->ops->op(k.dev, &args_, &k.c.err), &k.c.err); \
        end(&k, out, bytes);                                          \
    } while (0)
#define RUN(op, out, ...) RUN_BESIDE(op, out, 0, __VA_ARGS__)

static void linear(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *out = case_output(&k.c, CASE_ACTS, N * 4 * C),
               *active = case_output(&k.c, CASE_ACTS, N * 4 * C);
    RUN(linear, active, .N = N, .Cin = C, .Cout = 4 * C, .x = acts(&k, N * C),
        .weight = case_random(&k.c, CASE_WEIGHTS, 4 * C * C, 0.02)->dev, .bias = floats(&k, 4 * C),
        .out = out->dev, .active = active->dev);
}

static void linear_backward(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *dx = case_output(&k.c, CASE_ACTS, N * 4 * C);
    RUN(linear_backward, dx, .N = N, .Cin = 4 * C, .Cout = C,
        .weight = case_random(&k.c, CASE_WEIGHTS, 4 * C * C, 0.02)->dev, .dout = acts(&k, N * C),
        .dx = dx->dev, .dweight = floats(&k, 4 * C * C), .dbias = floats(&k, C),
        .hidden = acts(&k, N * 4 * C), .active = acts(&k, N * 4 * C));
}

/* Of linear layers' kernels alone: bytes is what they move, beside products of which little is made. */
static void gelu(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *active = case_output(&k.c, CASE_ACTS, N * 4 * C);
    const int64_t act_bytes = (int64_t)k.dev->act_bytes;
    RUN_BESIDE(linear, active, 2 * N * 4 * C * act_bytes, .N = N, .Cin = 8, .Cout = 4 * C,
               .x = acts(&k, N * 8), .weight = case_random(&k.c, CASE_WEIGHTS, 4 * C * 8, 0.02)->dev,
               .out = acts(&k, N * 4 * C), .active = active->dev);
}

/* hidden and dx are read, dx and active written. */
static void gelu_backward(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *dx = case_output(&k.c, CASE_ACTS, N * 4 * C);
    const int64_t act_bytes = (int64_t)k.dev->act_bytes;
    RUN_BESIDE(linear_backward, dx, 4 * N * 4 * C * act_bytes, .N = N, .Cin = 4 * C, .Cout = 8,
               .weight = case_random(&k.c, CASE_WEIGHTS, 4 * C * 8, 0.02)->dev, .dout = acts(&k, N * 8),
               .dx = dx->dev, .hidden = acts(&k, N * 4 * C), .active = acts(&k, N * 4 * C));
}

/* Where no product brings them along. */
static void column_sums(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *dbias = case_random(&k.c, CASE_FLOATS, C, 1.0);
    RUN(linear_backward, dbias, .N = B * (1 + L), .Cin = C, .Cout = C, .dout = acts(&k, B * (1 + L) * C),
        .dbias = dbias->dev);
}

/* Patches of 14 pixels, as ViT-H/14 has them, whose rows end within 16 bytes in bf16: both factors are
 * copied, wider; and backward x and the gradient, which is added from its copy. */
enum { P14 = 14 * 14 * 3, WIDE14 = (P14 + 7) / 8 * 8 };

static void pad(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *out = case_output(&k.c, CASE_ACTS, N * C);
    const int64_t act_bytes = (int64_t)k.dev->act_bytes;
    RUN_BESIDE(linear, out, (N + C) * (P14 + WIDE14) * act_bytes, .N = N, .Cin = P14, .Cout = C,
               .x = acts(&k, N * P14), .weight = case_random(&k.c, CASE_WEIGHTS, C * P14, 0.02)->dev,
               .out = out->dev);
}

static void unpad(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *dweight = case_random(&k.c, CASE_FLOATS, C * P14, 1.0);
    const int64_t act_bytes = (int64_t)k.dev->act_bytes;
    RUN_BESIDE(linear_backward, dweight,
               N * (P14 + WIDE14) * act_bytes + 3 * C * P14 * (int64_t)sizeof(float), .N = N, .Cin = P14,
               .Cout = C, .x = acts(&k, N * P14), .dout = acts(&k, N * C), .dweight = dweight->dev);
}

/* Beside the product only what it brings along is added: dout is read by no kernel. */
static void bias_gradient(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *dbias = case_random(&k.c, CASE_FLOATS, C, 1.0);
    RUN_BESIDE(linear_backward, dbias, 3 * C * (int64_t)sizeof(float), .N = N, .Cin = 4 * C, .Cout = C,
               .x = acts(&k, N * 4 * C), .dout = acts(&k, N * C), .dweight = floats(&k, 4 * C * C),
               .dbias = dbias->dev);
}

static void layernorm(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *out = case_output(&k.c, CASE_ACTS, N * C);
    RUN(layernorm, out, .N = N, .C = C, .eps = 1e-6f, .x_is_float = true, .x = floats(&k, N * C),
        .weight = floats(&k, C), .bias = floats(&k, C), .out = out->dev, .mean = floats(&k, N),
        .rstd = floats(&k, N));
}

static void layernorm_backward(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *dx = case_random(&k.c, CASE_ACTS, N * C, 1.0);
    RUN(layernorm_backward, dx, .N = N, .C = C, .x_is_float = true, .x = floats(&k, N * C),
        .dout = acts(&k, N * C), .weight = floats(&k, C), .mean = floats(&k, N), .rstd = floats(&k, N),
        .dx = dx->dev, .dx_adds = true, .dweight = floats(&k, C), .dbias = floats(&k, C));
}

/* Heads of T tokens an image. */
static void attend(int64_t T, int64_t heads)
{
    counted k;
    begin(&k);
    const int64_t rows = B * T, width = heads * D;
    const case_array *qkv = case_random(&k.c, CASE_ACTS, rows * 3 * width, 1.0);
    case_array *out = case_output(&k.c, CASE_ACTS, rows * width);
    RUN(attention, out, .B = B, .Tq = T, .T = T, .H = heads, .D = D, .last_multiplicity = 1.0f, .q = qkv->dev,
        .k = case_at(&k.c, qkv, width), .v = case_at(&k.c, qkv, 2 * width), .q_stride = 3 * width,
        .kv_stride = 3 * width, .out = out->dev, .log_sum = floats(&k, rows * heads));
}

static void attend_backward(int64_t T, int64_t heads)
{
    counted k;
    begin(&k);
    const int64_t rows = B * T, width = heads * D;
    const case_array *qkv = case_random(&k.c, CASE_ACTS, rows * 3 * width, 1.0);
    case_array *dqkv = case_output(&k.c, CASE_ACTS, rows * 3 * width);
    RUN(attention_backward, dqkv, .B = B, .Tq = T, .T = T, .H = heads, .D = D, .last_multiplicity = 1.0f,
        .q = qkv->dev, .k = case_at(&k.c, qkv, width), .v = case_at(&k.c, qkv, 2 * width),
        .q_stride = 3 * width, .kv_stride = 3 * width, .out = acts(&k, rows * width),
        .dout = acts(&k, rows * width), .log_sum = floats(&k, rows * heads), .dq = dqkv->dev,
        .dk = case_at(&k.c, dqkv, width), .dv = case_at(&k.c, dqkv, 2 * width));
}

static void attention(void **state)
{
    (void)state;
    attend(1 + K, H);
}

static void attention_backward(void **state)
{
    (void)state;
    attend_backward(1 + K, H);
}

static void attention_of_all(void **state)
{
    (void)state;
    attend(1 + L, 2);
}

static void attention_backward_of_all(void **state)
{
    (void)state;
    attend_backward(1 + L, 2);
}

static void patches(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *out = case_output(&k.c, CASE_ACTS, B * K * P);
    RUN(patches, out, .B = B, .K = K, .images = images_of(&k), .index = kept_patches(&k), .out = out->dev);
}

static void embed(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *out = case_output(&k.c, CASE_FLOATS, N * C);
    RUN(embed, out, .B = B, .K = K, .C = C, .patches = acts(&k, B * K * C), .class_token = floats(&k, C),
        .position = floats(&k, L * C), .index = kept_patches(&k), .out = out->dev);
}

static void embed_backward(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *dpatches = case_output(&k.c, CASE_ACTS, B * K * C);
    RUN(embed_backward, dpatches, .B = B, .K = K, .C = C, .dout = acts(&k, N * C), .dpatches = dpatches->dev,
        .dclass = floats(&k, C));
}

static void unshuffle(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *out = case_output(&k.c, CASE_FLOATS, B * (1 + L) * CD);
    RUN(unshuffle, out, .B = B, .K = K, .L = L, .C = CD, .x = floats(&k, N * CD), .fill = floats(&k, CD),
        .is_float = true, .position = floats(&k, L * CD), .slot = slots(&k), .out = out->dev);
}

static void unshuffle_backward(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *dx = case_output(&k.c, CASE_ACTS, N * CD);
    RUN(unshuffle_backward, dx, .B = B, .K = K, .L = L, .C = CD, .dout = acts(&k, B * (1 + L) * CD),
        .slot = slots(&k), .dx = dx->dev, .dfill = floats(&k, CD));
}

static void pick(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *out = case_output(&k.c, CASE_ACTS, B * K * CD);
    RUN(pick, out, .B = B, .T = 1 + L, .R = K, .C = CD, .x = acts(&k, B * (1 + L) * CD),
        .index = kept_patches(&k), .out = out->dev);
}

static void pick_backward(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *y = case_random(&k.c, CASE_ACTS, B * (1 + L) * CD, 1.0);
    RUN(pick_backward, y, .B = B, .T = 1 + L, .R = K, .C = CD, .x = acts(&k, B * K * CD),
        .index = kept_patches(&k), .y = y->dev);
}

static void mean(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *out = case_output(&k.c, CASE_ACTS, B * C);
    RUN(mean, out, .B = B, .T = 2 + K, .C = C, .last_multiplicity = L - K, .x = acts(&k, B * (2 + K) * C),
        .out = out->dev);
}

static void mean_backward(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *dx = case_output(&k.c, CASE_ACTS, B * (2 + K) * C);
    RUN(mean_backward, dx, .B = B, .T = 2 + K, .C = C, .last_multiplicity = L - K, .dout = acts(&k, B * C),
        .dx = dx->dev);
}

enum { ROWS = 64 }; /* of representations */

static void normalize(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *out = case_output(&k.c, CASE_FLOATS, ROWS * CR);
    RUN(normalize, out, .N = ROWS, .C = CR, .x = acts(&k, ROWS * CR), .out = out->dev,
        .norm = floats(&k, ROWS));
}

static void normalize_backward(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *dx = case_output(&k.c, CASE_ACTS, ROWS * CR);
    RUN(normalize_backward, dx, .N = ROWS, .C = CR, .out = floats(&k, ROWS * CR), .norm = floats(&k, ROWS),
        .dout = floats(&k, ROWS * CR), .dx = dx->dev);
}

static void dot_loss(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *dq = case_output(&k.c, CASE_FLOATS, ROWS * CR);
    RUN(dot_loss, dq, .N = ROWS, .C = CR, .q = floats(&k, ROWS * CR), .k = floats(&k, ROWS * CR),
        .offset = 2.0, .slope = -2.0, .dslope = -2.0f, .sum = zeros(&k), .dq = dq->dev);
}

static void infonce(void **state)
{
    (void)state;
    const int64_t first = ROWS / 2;
    counted k;
    begin(&k);
    case_array *dq = case_output(&k.c, CASE_FLOATS, ROWS * CR);
    RUN(infonce, dq, .N = ROWS, .M = 2 * ROWS, .C = CR, .first = case_bytes(&k.c, &first, sizeof first),
        .q = floats(&k, ROWS * CR), .keys = floats(&k, 2 * ROWS * CR), .temperature = 10.0f, .dscale = 1.0f,
        .logits = floats(&k, 2 * ROWS * ROWS), .sum = zeros(&k), .dq = dq->dev);
}

/* All patches that were not kept. */
static void patch_loss(void **state)
{
    (void)state;
    enum { R = L - K };
    counted k;
    int32_t patch[B * R];
    uint8_t ones[B * L];
    const float scales[2] = {1.0f, 1.0f};
    begin(&k);
    for (int i = 0; i < B * R; i++) patch[i] = i % R / 3 * 4 + 1 + i % R % 3;
    memset(ones, 1, sizeof ones);
    case_array *dpred = case_output(&k.c, CASE_ACTS, B * R * P);
    RUN(patch_loss, dpred, .B = B, .L = L, .R = R, .images = images_of(&k), .norm_pix = true,
        .pred = acts(&k, B * R * P), .patch = case_bytes(&k.c, patch, sizeof patch),
        .mask = case_bytes(&k.c, ones, sizeof ones), .region = case_bytes(&k.c, ones, sizeof ones),
        .scales = case_bytes(&k.c, scales, sizeof scales), .sums = zeros(&k), .dpred = dpred->dev);
}

/* A matrix and a vector behind it, which has no target. */
static void adamw(void **state)
{
    (void)state;
    enum { COUNT = C * C + C };
    const fsfm_adamw_piece matrix = {.count = C * C,
                                     .is_matrix = true,
                                     .is_decayed = true,
                                     .has_target = true},
                           vector = {.tensor = C * C, .count = C};
    const fsfm_adamw_numbers numbers = fsfm_adamw_numbers_of(&(fsfm_adamw_update){
        .t = 1, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .grad_scale = 1.0, .momentum = 0.99});
    fsfm_adamw_piece pieces[C * C / FSFM_ADAMW_PIECE + 2];
    counted k;
    begin(&k);
    const int64_t cut = fsfm_adamw_cut(&matrix, pieces), count = cut + fsfm_adamw_cut(&vector, pieces + cut);
    case_array *params = case_output(&k.c, CASE_FLOATS, COUNT), *v = case_random(&k.c, CASE_ACTS, COUNT, 1.0);
    case_zero(&k.c, params); /* in the form of matrices, too */
    case_zero(&k.c, v);
    RUN(adamw, v, .count = count, .pieces = case_bytes(&k.c, pieces, (size_t)count * sizeof *pieces),
        .numbers = case_bytes(&k.c, &numbers, sizeof numbers), .params = params->dev,
        .target = case_random(&k.c, CASE_MATRIX, C * C, 0.02)->dev, .grads = floats(&k, COUNT),
        .m = floats(&k, COUNT), .v = v->dev, .elements = COUNT, .with_target = C * C);
}

static void to_act(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *out = case_output(&k.c, CASE_ACTS, N * C);
    assert_ok(k.dev->ops->to_act(k.dev, N * C, floats(&k, N * C), out->dev, &k.c.err), &k.c.err);
    end(&k, out, 0);
}

static void matrix_rest(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *out = case_output(&k.c, CASE_ACTS, C * C);
    const case_array *matrix = case_random(&k.c, CASE_MATRIX, C * C, 0.02);
    assert_ok(k.dev->ops->matrix_rest(k.dev, C * C, matrix->dev, out->dev, &k.c.err), &k.c.err);
    end(&k, out, 0);
}

static void add_act(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *y = case_random(&k.c, CASE_FLOATS, N * C, 1.0);
    assert_ok(k.dev->ops->add_act(k.dev, N * C, acts(&k, N * C), y->dev, &k.c.err), &k.c.err);
    end(&k, y, 0);
}

static void add(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    case_array *y = case_random(&k.c, CASE_FLOATS, C * C, 1.0);
    assert_ok(k.dev->ops->add(k.dev, C * C, floats(&k, C * C), y->dev, &k.c.err), &k.c.err);
    end(&k, y, 0);
}

static void norm_squared(void **state)
{
    (void)state;
    counted k;
    begin(&k);
    assert_ok(k.dev->ops->norm_squared(k.dev, C * C, floats(&k, C * C), zeros(&k), &k.c.err), &k.c.err);
    end(&k, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(linear),
                                       cmocka_unit_test(linear_backward),
                                       cmocka_unit_test(gelu),
                                       cmocka_unit_test(gelu_backward),
                                       cmocka_unit_test(bias_gradient),
                                       cmocka_unit_test(column_sums),
                                       cmocka_unit_test(pad),
                                       cmocka_unit_test(unpad),
                                       cmocka_unit_test(layernorm),
                                       cmocka_unit_test(layernorm_backward),
                                       cmocka_unit_test(attention),
                                       cmocka_unit_test(attention_backward),
                                       cmocka_unit_test(attention_of_all),
                                       cmocka_unit_test(attention_backward_of_all),
                                       cmocka_unit_test(patches),
                                       cmocka_unit_test(embed),
                                       cmocka_unit_test(embed_backward),
                                       cmocka_unit_test(unshuffle),
                                       cmocka_unit_test(unshuffle_backward),
                                       cmocka_unit_test(pick),
                                       cmocka_unit_test(pick_backward),
                                       cmocka_unit_test(mean),
                                       cmocka_unit_test(mean_backward),
                                       cmocka_unit_test(normalize),
                                       cmocka_unit_test(normalize_backward),
                                       cmocka_unit_test(dot_loss),
                                       cmocka_unit_test(infonce),
                                       cmocka_unit_test(patch_loss),
                                       cmocka_unit_test(adamw),
                                       cmocka_unit_test(to_act),
                                       cmocka_unit_test(matrix_rest),
                                       cmocka_unit_test(add_act),
                                       cmocka_unit_test(add),
                                       cmocka_unit_test(norm_squared)};
    return case_skips() ? 77 : cmocka_run_group_tests_name("operations", tests, NULL, NULL);
}
