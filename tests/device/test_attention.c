/* SPDX-License-Identifier: Apache-2.0
 * Tolerances: scores up to about 6 carry 1e-7 of themselves into exp, outputs are means of numbers of size 1:
 * 3e-6. Gradients sum up to T such terms: 1e-5. In bf16 the weights of the softmax and the gradients of the
 * scores are rounded before they meet v, k, q and dout; the reference says by entry what that comes to
 * (squares, see case_check). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/device_case.h"
#include "tests/support/reference_ops.h"

/* q, k and v, or their gradients, as parts of arrays: k and v begin at those elements of kv. */
typedef struct {
    case_array *q, *kv;
    int64_t k, v;
} parts;

/* (B, T, 3, H, D) */
static parts parts_of_one(const ref_heads *h, case_array *qkv)
{
    return (parts){qkv, qkv, h->H * h->D, 2 * h->H * h->D};
}

static ref_qkv wanted(const parts *x)
{
    return (ref_qkv){x->q->want, x->kv->want + x->k, x->kv->want + x->v};
}

static ref_qkv squares_of(const parts *x)
{
    return (ref_qkv){x->q->squares, x->kv->squares + x->k, x->kv->squares + x->v};
}

static fsfm_attention_args forward_args(const device_case *c, const ref_heads *h, const parts *x,
                                        const case_array *out, const case_array *log_sum)
{
    return (fsfm_attention_args){.B = h->B,
                                 .Tq = h->Tq,
                                 .T = h->T,
                                 .H = h->H,
                                 .D = h->D,
                                 .last_multiplicity = (float)h->last_multiplicity,
                                 .q = x->q->dev,
                                 .k = case_at(c, x->kv, x->k),
                                 .v = case_at(c, x->kv, x->v),
                                 .q_stride = h->q_stride,
                                 .kv_stride = h->kv_stride,
                                 .out = out->dev,
                                 .log_sum = log_sum ? log_sum->dev : NULL};
}

/* out and log_sum, and from them and dout the gradient. */
static void run_both_ways(device_case *c, const ref_heads *h, const parts *x, const case_array *out,
                          const case_array *log_sum, const case_array *dout, const parts *gradient)
{
    const fsfm_attention_args args = forward_args(c, h, x, out, log_sum);
    const fsfm_attention_backward_args backward = {.B = args.B,
                                                   .Tq = args.Tq,
                                                   .T = args.T,
                                                   .H = args.H,
                                                   .D = args.D,
                                                   .last_multiplicity = args.last_multiplicity,
                                                   .q = args.q,
                                                   .k = args.k,
                                                   .v = args.v,
                                                   .q_stride = args.q_stride,
                                                   .kv_stride = args.kv_stride,
                                                   .out = out->dev,
                                                   .log_sum = log_sum->dev,
                                                   .dout = dout->dev,
                                                   .dq = gradient->q->dev,
                                                   .dk = case_at(c, gradient->kv, gradient->k),
                                                   .dv = case_at(c, gradient->kv, gradient->v)};
    assert_ok(c->dev->ops->attention(c->dev, &args, &c->err), &c->err);
    assert_ok(c->dev->ops->attention_backward(c->dev, &backward, &c->err), &c->err);
}

/* Runs both ways and checks; what gradient holds where nothing is set has to stay. */
static void check_both_ways(device_case *c, const ref_heads *h, const parts *x, const parts *gradient)
{
    const int64_t values = h->B * h->Tq * h->H * h->D;
    const case_array *dout = case_random(c, CASE_ACTS, values, 1.0);
    case_array *out = case_output(c, CASE_ACTS, values),
               *log_sum = case_output(c, CASE_FLOATS, h->B * h->H * h->Tq);
    run_both_ways(c, h, x, out, log_sum, dout, gradient);
    if (c->dev->threads > 1) return;
    const ref_qkv x_want = wanted(x), gradient_want = wanted(gradient);
    case_squares(gradient->q);
    if (gradient->kv != gradient->q) case_squares(gradient->kv);
    const ref_qkv squares = squares_of(gradient);
    ref_attention(h, &x_want, out->want, log_sum->want, case_squares(out));
    ref_attention_backward(h, &x_want, dout->want, &gradient_want, &squares);
    case_check(c, out, "out", 0.0, 3e-6);
    case_check(c, log_sum, "log_sum", 1e-6, 2e-6);
    case_check(c, gradient->q, "dq", 2e-6, 1e-5);
    case_check(c, gradient->kv, "dk, dv", 2e-6, 1e-5);
}

/* sizes: T, D, H, B, last_multiplicity */
static void self_attention_case(device_case *c, const int64_t *sizes)
{
    const int64_t T = sizes[0], D = sizes[1], H = sizes[2], B = sizes[3], stride = 3 * H * D;
    const ref_heads h = {B, T, T, H, D, (double)sizes[4], stride, stride};
    const parts x = parts_of_one(&h, case_random(c, CASE_ACTS, B * T * stride, 1.0)),
                gradient = parts_of_one(&h, case_output(c, CASE_ACTS, B * T * stride));
    check_both_ways(c, &h, &x, &gradient);
}

/* The same, and Tq: queries in an array of their own, rows with gaps. */
static void cross_attention_case(device_case *c, const int64_t *sizes)
{
    const int64_t T = sizes[0], D = sizes[1], H = sizes[2], B = sizes[3], Tq = sizes[5], C = H * D;
    const ref_heads h = {B, Tq, T, H, D, (double)sizes[4], C + 3, 2 * C + 5};
    const int64_t q_count = B * Tq * h.q_stride, kv_count = B * T * h.kv_stride;
    const parts x = {case_random(c, CASE_ACTS, q_count, 1.0), case_random(c, CASE_ACTS, kv_count, 1.0), 1,
                     C + 4};
    const parts gradient = {case_output(c, CASE_ACTS, q_count), case_output(c, CASE_ACTS, kv_count), 1,
                            C + 4};
    case_zero(c, gradient.q); /* the gaps, too */
    case_zero(c, gradient.kv);
    check_both_ways(c, &h, &x, &gradient);
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
            case_run(self_attention_case, (const int64_t[]){lengths[i], widths[k], heads, images, 1});
        }
    case_run(self_attention_case, (const int64_t[]){51, 24, 3, 2, 147});
    case_run(self_attention_case, (const int64_t[]){7, 8, 2, 3, 2});
}

static void queries_may_be_few_or_many(void **state)
{
    (void)state;
    static const int64_t lengths[][2] = {{1, 1},   {1, 7},    {5, 1},    {17, 50},
                                         {51, 17}, {197, 49}, {33, 149}, {64, 96}}; /* T, Tq */
    static const int64_t widths[] = {6, 9, 32, 50};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (size_t k = 0; k < sizeof widths / sizeof *widths; k++)
            case_run(cross_attention_case,
                     (const int64_t[]){lengths[i][0], widths[k], 2, 2, k % 2 ? 1 : 20, lengths[i][1]});
}

/* LONG tokens whose last COPIES are equal, and FEW of which the last stands for these: one has to give what
 * the reference gives of the other. */
enum { COPIES = 4, FEW = 9, LONG = FEW - 1 + COPIES };
static const ref_heads few_heads = {1, FEW, FEW, 2, 12, COPIES, 72, 72},
                       long_heads = {1, LONG, LONG, 2, 12, 1, 72, 72};

/* An array of rows for LONG tokens, from one for FEW. */
static case_array *with_copies(device_case *c, const case_array *few, int64_t row)
{
    float *values = case_download(c, few), *copied = malloc((size_t)(LONG * row) * sizeof *copied);
    assert_non_null(copied);
    for (int64_t t = 0; t < LONG; t++)
        memcpy(copied + t * row, values + (t < FEW ? t : FEW - 1) * row, (size_t)row * sizeof *copied);
    case_array *out = case_given(c, CASE_ACTS, copied, LONG * row);
    free(values);
    free(copied);
    return out;
}

static void multiplicity_stands_for_copies(void **state)
{
    (void)state;
    const int64_t C = few_heads.H * few_heads.D;
    device_case c;
    case_begin(&c, 2, 9);
    const parts x = parts_of_one(&few_heads, case_random(&c, CASE_ACTS, FEW * 3 * C, 1.0)),
                long_x = parts_of_one(&long_heads, with_copies(&c, x.q, 3 * C));
    case_array *out = case_output(&c, CASE_ACTS, FEW * C), *long_out = case_output(&c, CASE_ACTS, LONG * C);
    const fsfm_attention_args args = forward_args(&c, &few_heads, &x, out, NULL),
                              long_args = forward_args(&c, &long_heads, &long_x, long_out, NULL);
    assert_ok(c.dev->ops->attention(c.dev, &args, &c.err), &c.err);
    assert_ok(c.dev->ops->attention(c.dev, &long_args, &c.err), &c.err);
    const ref_qkv want = wanted(&long_x);
    ref_attention(&long_heads, &want, long_out->want, NULL, case_squares(long_out));
    memcpy(out->want, long_out->want, (size_t)(FEW * C) * sizeof(double));
    /* One term of weight m p for m of weight p has m times their squares. */
    double *squares = case_squares(out);
    for (int64_t i = 0; i < FEW * C; i++) squares[i] = COPIES * long_out->squares[i];
    case_check(&c, long_out, "out with copies", 0.0, 1e-6);
    case_check(&c, out, "out with one of multiplicity", 0.0, 1e-6);
    case_end(&c);
}

/* The sum of copies' gradients is that of the token that stands for them, whose dout is the sum of theirs. */
static void multiplicity_sums_gradients(void **state)
{
    (void)state;
    const int64_t C = few_heads.H * few_heads.D;
    device_case c;
    case_begin(&c, 2, 10);
    const parts x = parts_of_one(&few_heads, case_random(&c, CASE_ACTS, FEW * 3 * C, 1.0)),
                long_x = parts_of_one(&long_heads, with_copies(&c, x.q, 3 * C)),
                gradient = parts_of_one(&few_heads, case_output(&c, CASE_ACTS, FEW * 3 * C)),
                long_gradient = parts_of_one(&long_heads, case_output(&c, CASE_ACTS, LONG * 3 * C));
    const case_array *each = case_random(&c, CASE_ACTS, FEW * C, 1.0), *long_dout = with_copies(&c, each, C),
                     *out = case_output(&c, CASE_ACTS, FEW * C),
                     *log_sum = case_output(&c, CASE_FLOATS, few_heads.H * FEW);
    float *dout = case_download(&c, each);
    for (int64_t i = (FEW - 1) * C; i < FEW * C; i++) dout[i] *= COPIES;
    run_both_ways(&c, &few_heads, &x, out, log_sum, case_given(&c, CASE_ACTS, dout, FEW * C), &gradient);
    case_squares(long_gradient.q);
    const ref_qkv long_want = wanted(&long_x), want = wanted(&long_gradient),
                  squares = squares_of(&long_gradient);
    ref_attention_backward(&long_heads, &long_want, long_dout->want, &want, &squares);
    case_squares(gradient.q);
    for (int64_t i = 0; i < LONG * 3 * C; i++) {
        const int64_t to = i < FEW * 3 * C ? i : i % (3 * C) + (FEW - 1) * 3 * C;
        gradient.q->want[to] += long_gradient.q->want[i];
        gradient.q->squares[to] += COPIES * long_gradient.q->squares[i];
    }
    case_check(&c, gradient.q, "gradients with one of multiplicity", 2e-6, 1e-5);
    free(dout);
    case_end(&c);
}

/* Scores far apart, and far from 0: what exp could overflow on. */
static void large_scores_are_no_trouble(void **state)
{
    (void)state;
    enum { T = 19, D = 8 };
    device_case c;
    case_begin(&c, 1, 19);
    const ref_heads h = {1, T, T, 1, D, 1.0, 3 * D, 3 * D};
    const parts x = parts_of_one(&h, case_random(&c, CASE_ACTS, T * 3 * D, 20.0));
    case_array *out = case_output(&c, CASE_ACTS, T * D), *log_sum = case_output(&c, CASE_FLOATS, T);
    const fsfm_attention_args args = forward_args(&c, &h, &x, out, log_sum);
    assert_ok(c.dev->ops->attention(c.dev, &args, &c.err), &c.err);
    const ref_qkv want = wanted(&x);
    ref_attention(&h, &want, out->want, log_sum->want, case_squares(out));
    case_check(&c, out, "out", 1e-3, 1e-3); /* scores of 1,000 carry 1e-4 */
    case_check(&c, log_sum, "log_sum", 1e-6, 1e-3);
    case_end(&c);
}

/* A score that is not a number must not vanish in the softmax. */
static void nan_comes_through(void **state)
{
    (void)state;
    enum { T = 37, D = 12 };
    const ref_heads h = {1, T, T, 1, D, 1.0, 3 * D, 3 * D};
    for (int part = 0; part < 3; part++) { /* in q, k, v of token 2 */
        device_case c;
        case_begin(&c, 1, 37);
        float *values = case_download(&c, case_random(&c, CASE_ACTS, T * 3 * D, 1.0));
        values[(2 * 3 + part) * D + 1] = NAN;
        const parts x = parts_of_one(&h, case_given(&c, CASE_ACTS, values, T * 3 * D));
        const case_array *out = case_output(&c, CASE_ACTS, T * D);
        const fsfm_attention_args args = forward_args(&c, &h, &x, out, NULL);
        assert_ok(c.dev->ops->attention(c.dev, &args, &c.err), &c.err);
        float *got = case_download(&c, out);
        assert_true(isnan(got[2 * D + 1]));
        if (part == 1) assert_true(isnan(got[(T - 1) * D]));
        free(values);
        free(got);
        case_end(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_the_references),    cmocka_unit_test(queries_may_be_few_or_many),
        cmocka_unit_test(multiplicity_stands_for_copies), cmocka_unit_test(multiplicity_sums_gradients),
        cmocka_unit_test(large_scores_are_no_trouble),    cmocka_unit_test(nan_comes_through)};
    return case_skips() ? 77 : cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
