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

fsfm_flops fsfm_flops_count(const fsfm_work_list *list)
{
    fsfm_flops out = {0};
    for (int64_t i = 0; i < list->count; i++) {
        const fsfm_work *work = &list->items[i];
        const double flop = work->flop / (double)list->B;
        if (work->pass == FSFM_PASS_AGAIN || work->part >= FSFM_PARTS) continue;
        out.part[work->part] += flop;
        if (work->part == FSFM_PART_TARGET)
            out.target += flop;
        else if (work->pass == FSFM_PASS_FORWARD)
            out.online_forward += flop;
        else
            out.online_backward += flop;
        out.step += flop;
    }
    return out;
}

typedef struct {
    weighted_shape shapes[SHAPES_MAX];
    int count;
} collection;

static void collect(collection *c, const fsfm_work *work)
{
    int i = 0;
    if (work->kind != FSFM_WORK_PRODUCT || work->pass == FSFM_PASS_AGAIN || work->is_whole) return;
    while (i < c->count && !is_same(&c->shapes[i].shape, &work->shape)) i++;
    FSFM_ASSERT(i < SHAPES_MAX);
    if (i == c->count) c->shapes[c->count++] = (weighted_shape){work->shape, 0.0};
    c->shapes[i].flop += work->flop;
}

int fsfm_flops_largest(const fsfm_work_list *list, fsfm_product_shape *out, int max)
{
    collection c = {.count = 0};
    int found = 0;
    for (int64_t i = 0; i < list->count; i++) collect(&c, &list->items[i]);
    for (; found < max && found < c.count; found++) {
        int best = 0;
        for (int i = 1; i < c.count; i++)
            if (c.shapes[i].flop > c.shapes[best].flop) best = i;
        out[found] = c.shapes[best].shape;
        c.shapes[best].flop = -1.0; /* taken */
    }
    return found;
}
