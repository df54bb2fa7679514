/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/tokens.c - rows of tokens put together, taken apart, averaged. One piece an image; sums
 * over images are made of one part an image, added in order. */
#include <string.h>

#include "core/device/cpu/cpu_device.h"

typedef struct {
    fsfm_cpu_device *cpu;
    const void *args;
} token_work;

static void row_copy(float *out, const float *x, int64_t C)
{
    memcpy(out, x, (size_t)C * sizeof *out);
}

static void embed_piece(void *context, int64_t image, int thread)
{
    (void)thread;
    const token_work *w = context;
    const fsfm_embed_args *a = w->args;
    float *out = (float *)a->out + image * (1 + a->K) * a->C;
    const float *patches = (const float *)a->patches + image * a->K * a->C;
    row_copy(out, a->class_token, a->C);
    for (int64_t k = 0; k < a->K; k++) {
        const int64_t l = a->index ? a->index[image * a->K + k] : k;
        w->cpu->kernels->sum(a->C, patches + k * a->C, a->position + l * a->C, out + (1 + k) * a->C);
    }
}

fsfm_status fsfm_cpu_embed(fsfm_device *dev, const fsfm_embed_args *args, fsfm_error *err)
{
    (void)err;
    token_work w = {fsfm_cpu(dev), args};
    fsfm_thread_pool_run(w.cpu->pool, args->B, embed_piece, &w);
    return FSFM_OK;
}

static void embed_backward_piece(void *context, int64_t image, int thread)
{
    (void)thread;
    const fsfm_embed_backward_args *a = ((const token_work *)context)->args;
    row_copy((float *)a->dpatches + image * a->K * a->C,
             (const float *)a->dout + (image * (1 + a->K) + 1) * a->C, a->K * a->C);
}

fsfm_status fsfm_cpu_embed_backward(fsfm_device *dev, const fsfm_embed_backward_args *args, fsfm_error *err)
{
    (void)err;
    token_work w = {fsfm_cpu(dev), args};
    fsfm_thread_pool_run(w.cpu->pool, args->B, embed_backward_piece, &w);
    w.cpu->kernels->column_sums(args->B, args->C, (1 + args->K) * args->C, args->dout, args->dclass);
    return FSFM_OK;
}

/* Which row of x stands at row 1 + l of out; -1: fill. */
static int64_t slot_of(const int32_t *slot, int64_t image, int64_t K, int64_t L, int64_t l)
{
    if (slot) return slot[image * L + l];
    return l < K ? l : -1;
}

static void unshuffle_piece(void *context, int64_t image, int thread)
{
    (void)thread;
    const token_work *w = context;
    const fsfm_unshuffle_args *a = w->args;
    const float *x = (const float *)a->x + image * (1 + a->K) * a->C;
    float *out = (float *)a->out + image * (1 + a->L) * a->C;
    row_copy(out, x, a->C);
    for (int64_t l = 0; l < a->L; l++) {
        const int64_t slot = slot_of(a->slot, image, a->K, a->L, l);
        const float *from = slot < 0 ? a->fill : x + (1 + slot) * a->C;
        float *to = out + (1 + l) * a->C;
        if (a->position)
            w->cpu->kernels->sum(a->C, from, a->position + l * a->C, to);
        else
            row_copy(to, from, a->C);
    }
}

fsfm_status fsfm_cpu_unshuffle(fsfm_device *dev, const fsfm_unshuffle_args *args, fsfm_error *err)
{
    (void)err;
    token_work w = {fsfm_cpu(dev), args};
    fsfm_thread_pool_run(w.cpu->pool, args->B, unshuffle_piece, &w);
    return FSFM_OK;
}

/* The image's part of dfill is in shared. */
static void unshuffle_backward_piece(void *context, int64_t image, int thread)
{
    (void)thread;
    const token_work *w = context;
    const fsfm_unshuffle_backward_args *a = w->args;
    const float *dout = (const float *)a->dout + image * (1 + a->L) * a->C;
    float *dx = (float *)a->dx + image * (1 + a->K) * a->C, *dfill = (float *)w->cpu->shared + image * a->C;
    if (!a->dx_adds)
        memset(dx, 0, (size_t)((1 + a->K) * a->C) * sizeof *dx); /* a row may have no place in dout */
    memset(dfill, 0, (size_t)a->C * sizeof *dfill);
    w->cpu->kernels->sum(a->C, dx, dout, dx);
    for (int64_t l = 0; l < a->L; l++) {
        const int64_t slot = slot_of(a->slot, image, a->K, a->L, l);
        float *to = slot < 0 ? dfill : dx + (1 + slot) * a->C;
        w->cpu->kernels->sum(a->C, to, dout + (1 + l) * a->C, to);
    }
}

fsfm_status fsfm_cpu_unshuffle_backward(fsfm_device *dev, const fsfm_unshuffle_backward_args *args,
                                        fsfm_error *err)
{
    token_work w = {fsfm_cpu(dev), args};
    FSFM_TRY(fsfm_cpu_reserve_shared(w.cpu, (size_t)(args->B * args->C) * sizeof(float), err));
    fsfm_thread_pool_run(w.cpu->pool, args->B, unshuffle_backward_piece, &w);
    if (args->dfill) fsfm_cpu_add_parts(w.cpu, args->B, args->C, w.cpu->shared, args->dfill);
    return FSFM_OK;
}

static void mean_piece(void *context, int64_t image, int thread)
{
    (void)thread;
    const token_work *w = context;
    const fsfm_mean_args *a = w->args;
    const float *x = (const float *)a->x + image * a->T * a->C;
    float *out = (float *)a->out + image * a->C;
    const float count = (float)(a->T - 1) + a->last_multiplicity;
    for (int64_t c = 0; c < a->C; c++) out[c] = a->last_multiplicity * x[(a->T - 1) * a->C + c];
    w->cpu->kernels->column_sums(a->T - 1, a->C, a->C, x, out);
    for (int64_t c = 0; c < a->C; c++) out[c] /= count;
}

fsfm_status fsfm_cpu_mean(fsfm_device *dev, const fsfm_mean_args *args, fsfm_error *err)
{
    (void)err;
    token_work w = {fsfm_cpu(dev), args};
    fsfm_thread_pool_run(w.cpu->pool, args->B, mean_piece, &w);
    return FSFM_OK;
}

static void mean_backward_piece(void *context, int64_t image, int thread)
{
    (void)thread;
    const token_work *w = context;
    const fsfm_mean_backward_args *a = w->args;
    const float *dout = (const float *)a->dout + image * a->C;
    const float count = (float)(a->T - 1) + a->last_multiplicity;
    for (int64_t t = 0; t < a->T; t++) {
        const float share = (t == a->T - 1 ? a->last_multiplicity : 1.0f) / count;
        float *dx = (float *)a->dx + (image * a->T + t) * a->C;
        if (!a->dx_adds) memset(dx, 0, (size_t)a->C * sizeof *dx);
        w->cpu->kernels->axpy(a->C, share, dout, dx);
    }
}

fsfm_status fsfm_cpu_mean_backward(fsfm_device *dev, const fsfm_mean_backward_args *args, fsfm_error *err)
{
    (void)err;
    token_work w = {fsfm_cpu(dev), args};
    fsfm_thread_pool_run(w.cpu->pool, args->B, mean_backward_piece, &w);
    return FSFM_OK;
}
