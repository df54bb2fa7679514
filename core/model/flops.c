/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/flops.h"

enum { SHAPES_MAX = 128 }; /* a network of three stacks has 12 in each and some around them */

typedef struct {
    fsfm_product_shape shape;
    double flop;
} weighted_shape;

static bool is_same(const fsfm_product_shape *a, const fsfm_product_shape *b)
{
    return a->M == b->M && a->N == b->N && a->K == b->K && a->a_transposed == b->a_transposed &&
           a->b_transposed == b->b_transposed;
}

double fsfm_work_flop(const fsfm_work *work, int64_t B)
{
    const fsfm_product_shape *s = &work->shape;
    if (work->kind == FSFM_WORK_PRODUCT) return 2.0 * (double)s->M * (double)s->N * (double)s->K;
    if (work->kind == FSFM_WORK_ROWS) return 0.0;
    const double flop = 4.0 * (double)B * (double)work->queries * (double)work->keys * (double)work->C;
    return work->pass == FSFM_PASS_DX ? 2.0 * flop : flop;
}

typedef struct {
    fsfm_flops flops;
    int64_t B;
} counter;

static void count(void *context, const fsfm_work *work)
{
    counter *c = context;
    const double flop = fsfm_work_flop(work, c->B);
    if (work->pass == FSFM_PASS_AGAIN) return;
    c->flops.part[work->part] += flop;
    if (work->part == FSFM_PART_TARGET)
        c->flops.target += flop;
    else if (work->pass == FSFM_PASS_FORWARD)
        c->flops.online_forward += flop;
    else
        c->flops.online_backward += flop;
}

fsfm_flops fsfm_flops_count(const fsfm_work_setup *setup)
{
    const double B = (double)setup->B;
    counter c = {.B = setup->B};
    fsfm_work_walk(setup, count, &c);
    for (int p = 0; p < FSFM_PARTS; p++) c.flops.part[p] /= B;
    c.flops.online_forward /= B;
    c.flops.online_backward /= B;
    c.flops.target /= B;
    c.flops.step = c.flops.online_forward + c.flops.online_backward + c.flops.target;
    return c.flops;
}

typedef struct {
    weighted_shape shapes[SHAPES_MAX];
    int count;
} collection;

static void collect(void *context, const fsfm_work *work)
{
    collection *c = context;
    int i = 0;
    if (work->kind != FSFM_WORK_PRODUCT || work->pass == FSFM_PASS_AGAIN || work->is_whole) return;
    while (i < c->count && !is_same(&c->shapes[i].shape, &work->shape)) i++;
    FSFM_ASSERT(i < SHAPES_MAX);
    if (i == c->count) c->shapes[c->count++] = (weighted_shape){work->shape, 0.0};
    c->shapes[i].flop += fsfm_work_flop(work, 0);
}

int fsfm_flops_largest(const fsfm_work_setup *setup, fsfm_product_shape *out, int max)
{
    collection c = {.count = 0};
    int found = 0;
    fsfm_work_walk(setup, collect, &c);
    for (; found < max && found < c.count; found++) {
        int best = 0;
        for (int i = 1; i < c.count; i++)
            if (c.shapes[i].flop > c.shapes[best].flop) best = i;
        out[found] = c.shapes[best].shape;
        c.shapes[best].flop = -1.0; /* taken */
    }
    return found;
}
