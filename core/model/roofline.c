/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/roofline.h"

#include <math.h>
#include <string.h>

static double flop_rate(const fsfm_work *work, const fsfm_rates *r)
{
    if (work->kind == FSFM_WORK_ATTENTION) return r->attention_flop;
    return work->is_whole ? r->whole_flop : r->product_flop;
}

static double flop_s(const fsfm_work *work, double flop, const fsfm_rates *r)
{
    if (work->part == FSFM_PART_OPTIMIZER) return work->bytes / r->optimizer_bytes;
    if (work->kind == FSFM_WORK_ROWS) return work->bytes / r->rows_bytes;
    return fmax(flop / flop_rate(work, r), work->bytes / r->bytes);
}

static double work_s(const fsfm_work *work, const fsfm_rates *r)
{
    return flop_s(work, work->computed_flop, r);
}

static void add_to_part(fsfm_work_time *part, const fsfm_work *work, double seconds)
{
    if (work->kind == FSFM_WORK_PRODUCT)
        part->products_s += seconds;
    else if (work->kind == FSFM_WORK_ATTENTION)
        part->attention_s += seconds;
    else
        part->rows_s += seconds;
}

static void add_time(fsfm_roofline *out, const fsfm_work *work, double seconds)
{
    if (work->part == FSFM_PART_OPTIMIZER) {
        out->optimizer_s += seconds;
        return;
    }
    add_to_part(&out->part[work->part], work, seconds);
    out->total_s += seconds;
    if (work->part == FSFM_PART_TARGET)
        out->target_s += seconds;
    else if (work->pass == FSFM_PASS_FORWARD)
        out->forward_s += seconds;
    else
        out->backward_s += seconds;
    if (work->part == FSFM_PART_ENCODER && work->pass != FSFM_PASS_FORWARD)
        out->encoder_backward_s += seconds;
}

fsfm_roofline fsfm_roofline_time(const fsfm_work_list *list, const fsfm_rates *rates)
{
    fsfm_roofline out = {.total_s = 0};
    for (int64_t i = 0; i < list->count; i++) add_time(&out, &list->items[i], work_s(&list->items[i], rates));
    return out;
}

static bool is_same(const fsfm_product_time *p, const fsfm_work *work)
{
    const fsfm_product_shape *a = &p->shape, *b = &work->shape;
    return p->part == work->part && p->pass == work->pass && strcmp(p->name, work->name) == 0 &&
           a->M == b->M && a->N == b->N && a->K == b->K;
}

int fsfm_roofline_products(const fsfm_work_list *list, const fsfm_rates *rates,
                           fsfm_product_time out[FSFM_PRODUCTS_MAX])
{
    int count = 0;
    for (int64_t w = 0; w < list->count; w++) {
        const fsfm_work *work = &list->items[w];
        int i = 0;
        if (work->kind != FSFM_WORK_PRODUCT) continue;
        while (i < count && !is_same(&out[i], work)) i++;
        FSFM_ASSERT(i < FSFM_PRODUCTS_MAX);
        if (i == count) {
            out[count++] =
                (fsfm_product_time){work->part, work->pass, work->name, work->shape, 0, 0.0, false};
            out[i].is_bound_by_bytes =
                work->bytes / rates->bytes > work->computed_flop / flop_rate(work, rates);
        }
        out[i].count++;
        out[i].seconds += work_s(work, rates);
    }
    return count;
}

int fsfm_roofline_slow(const fsfm_work_list *list, const fsfm_rates *rates, const fsfm_rates *bounds,
                       double most, fsfm_slow_work out[FSFM_SLOW_MAX])
{
    int count = 0;
    for (int64_t w = 0; w < list->count; w++) {
        const fsfm_work *work = &list->items[w];
        const bool is_backward = work->pass == FSFM_PASS_DX || work->pass == FSFM_PASS_DW;
        const double ratio = work_s(work, rates) / flop_s(work, work->flop, bounds);
        int i = 0;
        if (!(ratio > most)) continue;
        while (i < count && (out[i].part != work->part || out[i].is_backward != is_backward ||
                             strcmp(out[i].name, work->name) != 0))
            i++;
        if (i == FSFM_SLOW_MAX) continue;
        if (i == count) out[count++] = (fsfm_slow_work){work->part, is_backward, work->name, ratio};
        out[i].ratio = fmax(out[i].ratio, ratio);
    }
    return count;
}

fsfm_work_sums fsfm_roofline_sums(const fsfm_work_list *list)
{
    fsfm_work_sums sums = {0};
    for (int64_t i = 0; i < list->count; i++) {
        const fsfm_work *work = &list->items[i];
        if (work->part == FSFM_PART_OPTIMIZER)
            sums.optimizer_bytes += work->bytes;
        else if (work->kind == FSFM_WORK_PRODUCT)
            sums.product_flop += work->computed_flop;
        else if (work->kind == FSFM_WORK_ATTENTION)
            sums.attention_flop += work->computed_flop;
        else
            sums.rows_bytes += work->bytes;
    }
    return sums;
}
