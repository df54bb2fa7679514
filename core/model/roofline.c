/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/roofline.h"

#include <math.h>
#include <string.h>

#include "core/model/flops.h"

/* Attention that keeps no scores computes some again in backward: 7 products where the gradients are 4. */
#define ATTENTION_BACKWARD (7.0 / 4.0)
/* Bytes that the optimiser moves: for a parameter its gradient twice (norm, AdamW), weight, two moments,
 * each read and written, and a rounded copy; for one of the target's a read and a write, and a copy. */
enum { ONLINE_BYTES = 34, TARGET_BYTES = 10, GRADIENT_BYTES = 4 };

/* Factors and result, once each; gradients of weights are floats. */
static double product_bytes(const fsfm_work *work, double act_bytes)
{
    if (work->is_whole) act_bytes = sizeof(float);
    const double M = (double)work->shape.M, N = (double)work->shape.N, K = (double)work->shape.K;
    const double out = work->pass == FSFM_PASS_DW ? GRADIENT_BYTES : act_bytes;
    return act_bytes * (M * K + N * K) + out * M * N;
}

static double computed_flop(const fsfm_work *work, int64_t B)
{
    const bool repeats = work->kind == FSFM_WORK_ATTENTION && work->pass == FSFM_PASS_DX;
    return fsfm_work_flop(work, B) * (repeats ? ATTENTION_BACKWARD : 1.0);
}

/* Queries, keys, values and the result; in backward these, the result's gradient and the three gradients. */
static double attention_bytes(const fsfm_work *work, int64_t B, double act_bytes)
{
    const double passes = work->pass == FSFM_PASS_DX ? 4.0 : 2.0;
    return passes * act_bytes * (double)B * (double)(work->queries + work->keys) * (double)work->C;
}

static double rows_bytes(const fsfm_work *work, double act_bytes)
{
    return act_bytes * (double)work->rows * (double)work->C * (double)work->passes;
}

static double product_rate(const fsfm_work *work, const fsfm_rates *r)
{
    return work->is_whole ? r->whole_flop : r->product_flop;
}

static double work_s(const fsfm_work *work, int64_t B, const fsfm_rates *r)
{
    switch (work->kind) {
    case FSFM_WORK_PRODUCT:
        return fmax(computed_flop(work, B) / product_rate(work, r),
                    product_bytes(work, r->act_bytes) / r->bytes);
    case FSFM_WORK_ATTENTION:
        return fmax(computed_flop(work, B) / r->attention_flop,
                    attention_bytes(work, B, r->act_bytes) / r->bytes);
    case FSFM_WORK_ROWS: break;
    }
    return rows_bytes(work, r->act_bytes) / r->rows_bytes;
}

typedef struct {
    const fsfm_rates *rates;
    int64_t B;
    fsfm_roofline out;
} timing;

static void add_time(void *context, const fsfm_work *work)
{
    timing *t = context;
    const double seconds = work_s(work, t->B, t->rates);
    fsfm_work_time *part = &t->out.part[work->part];
    if (work->kind == FSFM_WORK_PRODUCT)
        part->products_s += seconds;
    else if (work->kind == FSFM_WORK_ATTENTION)
        part->attention_s += seconds;
    else
        part->rows_s += seconds;
    t->out.total_s += seconds;
    if (work->part == FSFM_PART_TARGET)
        t->out.target_s += seconds;
    else if (work->pass == FSFM_PASS_FORWARD)
        t->out.forward_s += seconds;
    else
        t->out.backward_s += seconds;
    if (work->part == FSFM_PART_ENCODER && work->pass != FSFM_PASS_FORWARD)
        t->out.encoder_backward_s += seconds;
}

fsfm_roofline fsfm_roofline_time(const fsfm_work_setup *setup, const fsfm_rates *rates)
{
    timing t = {.rates = rates, .B = setup->B};
    fsfm_work_walk(setup, add_time, &t);
    return t.out;
}

double fsfm_roofline_optimizer_bytes(int64_t online, int64_t target)
{
    return ONLINE_BYTES * (double)online + TARGET_BYTES * (double)target;
}

double fsfm_roofline_optimizer_s(int64_t online, int64_t target, const fsfm_rates *rates)
{
    return fsfm_roofline_optimizer_bytes(online, target) / rates->optimizer_bytes;
}

typedef struct {
    const fsfm_rates *rates;
    fsfm_product_time *list;
    int count;
} listing;

static bool is_same(const fsfm_product_time *p, const fsfm_work *work)
{
    const fsfm_product_shape *a = &p->shape, *b = &work->shape;
    return p->part == work->part && p->pass == work->pass && strcmp(p->name, work->name) == 0 &&
           a->M == b->M && a->N == b->N && a->K == b->K;
}

static void add_product(void *context, const fsfm_work *work)
{
    listing *l = context;
    int i = 0;
    if (work->kind != FSFM_WORK_PRODUCT) return;
    while (i < l->count && !is_same(&l->list[i], work)) i++;
    FSFM_ASSERT(i < FSFM_PRODUCTS_MAX);
    fsfm_product_time *p = &l->list[i];
    if (i == l->count) {
        *p = (fsfm_product_time){work->part, work->pass, work->name, work->shape, 0, 0.0, false};
        p->is_bound_by_bytes = product_bytes(work, l->rates->act_bytes) / l->rates->bytes >
                               computed_flop(work, 0) / product_rate(work, l->rates);
        l->count++;
    }
    p->count++;
    p->seconds += work_s(work, 0, l->rates);
}

int fsfm_roofline_products(const fsfm_work_setup *setup, const fsfm_rates *rates,
                           fsfm_product_time out[FSFM_PRODUCTS_MAX])
{
    listing l = {.rates = rates, .list = out};
    fsfm_work_walk(setup, add_product, &l);
    return l.count;
}

typedef struct {
    fsfm_work_sums sums;
    int64_t B;
    double act_bytes;
} summing;

static void add_sums(void *context, const fsfm_work *work)
{
    summing *s = context;
    if (work->kind == FSFM_WORK_PRODUCT)
        s->sums.product_flop += computed_flop(work, s->B);
    else if (work->kind == FSFM_WORK_ATTENTION)
        s->sums.attention_flop += computed_flop(work, s->B);
    else
        s->sums.rows_bytes += rows_bytes(work, s->act_bytes);
}

fsfm_work_sums fsfm_roofline_sums(const fsfm_work_setup *setup, double act_bytes)
{
    summing s = {.B = setup->B, .act_bytes = act_bytes};
    fsfm_work_walk(setup, add_sums, &s);
    return s.sums;
}
