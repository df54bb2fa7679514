/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/tokens.c - rows of tokens put together, taken apart, averaged. One piece an image; sums
 * over images are made in the order of the images. */
#include <string.h>

#include "core/device/cpu/cpu_device.h"

typedef struct {
    fsfm_cpu_device *cpu;
    const void *args;
} token_work;

static size_t act_bytes(const fsfm_cpu_device *cpu, int64_t count)
{
    return (size_t)count * cpu->kernels->act_bytes;
}

static void copy_acts(const fsfm_cpu_device *cpu, fsfm_act *out, const fsfm_act *x, int64_t count)
{
    memcpy(out, x, act_bytes(cpu, count));
}

/* out = x + position, or x where that is NULL. */
static void place_acts(const fsfm_cpu_device *cpu, int64_t C, const fsfm_act *x, const float *position,
                       fsfm_act *out)
{
    if (position)
        cpu->kernels->add_floats(C, x, position, out);
    else
        copy_acts(cpu, out, x, C);
}

static void embed_piece(void *context, int64_t image, int thread)
{
    (void)thread;
    const token_work *w = context;
    const fsfm_embed_args *a = w->args;
    float *out = a->out + image * (1 + a->K) * a->C;
    const fsfm_act *patches = fsfm_cpu_at(w->cpu, a->patches, image * a->K * a->C);
    memcpy(out, a->class_token, (size_t)a->C * sizeof *out);
    for (int64_t k = 0; k < a->K; k++) {
        const int64_t l = a->index ? a->index[image * a->K + k] : k;
        float *row = out + (1 + k) * a->C;
        w->cpu->kernels->to_float(a->C, fsfm_cpu_at(w->cpu, patches, k * a->C), row);
        w->cpu->kernels->sum(a->C, row, a->position + l * a->C, row);
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
    const token_work *w = context;
    const fsfm_embed_backward_args *a = w->args;
    copy_acts(w->cpu, fsfm_cpu_at(w->cpu, a->dpatches, image * a->K * a->C),
              fsfm_cpu_at(w->cpu, a->dout, (image * (1 + a->K) + 1) * a->C), a->K * a->C);
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

/* A row of out from row number row of from. */
static void unshuffle_row(const token_work *w, const void *from, int64_t row, const float *position,
                          int64_t to)
{
    const fsfm_unshuffle_args *a = w->args;
    const int64_t C = a->C;
    if (!a->is_float) {
        place_acts(w->cpu, C, fsfm_cpu_at(w->cpu, from, row * C), position,
                   fsfm_cpu_at(w->cpu, a->out, to * C));
        return;
    }
    const float *x = (const float *)from + row * C;
    float *out = (float *)a->out + to * C;
    if (position)
        w->cpu->kernels->sum(C, x, position, out);
    else
        memcpy(out, x, (size_t)C * sizeof *out);
}

static void unshuffle_piece(void *context, int64_t image, int thread)
{
    (void)thread;
    const token_work *w = context;
    const fsfm_unshuffle_args *a = w->args;
    for (int64_t row = 0; row <= a->L; row++) {
        const int64_t l = row - 1, slot = row == 0 ? -1 : slot_of(a->slot, image, a->K, a->L, l);
        const bool is_filled = row > 0 && slot < 0;
        const float *position = a->position && row > 0 ? a->position + l * a->C : NULL;
        const int64_t to = image * (1 + a->L) + row;
        if (is_filled)
            unshuffle_row(w, a->fill, a->fill_by_place ? l : 0, position, to);
        else
            unshuffle_row(w, a->x, image * (1 + a->K) + 1 + slot, position, to);
    }
}

fsfm_status fsfm_cpu_unshuffle(fsfm_device *dev, const fsfm_unshuffle_args *args, fsfm_error *err)
{
    (void)err;
    token_work w = {fsfm_cpu(dev), args};
    fsfm_thread_pool_run(w.cpu->pool, args->B, unshuffle_piece, &w);
    return FSFM_OK;
}

/* dx of an image. */
static void unshuffle_backward_piece(void *context, int64_t image, int thread)
{
    (void)thread;
    const token_work *w = context;
    const fsfm_cpu_device *cpu = w->cpu;
    const fsfm_unshuffle_backward_args *a = w->args;
    const fsfm_act *dout = fsfm_cpu_at(cpu, a->dout, image * (1 + a->L) * a->C);
    fsfm_act *dx = fsfm_cpu_at(cpu, a->dx, image * (1 + a->K) * a->C);
    if (!a->dx_adds) memset(dx, 0, act_bytes(cpu, (1 + a->K) * a->C)); /* a row may have no place in dout */
    cpu->kernels->add_acts(a->C, dx, dout, dx);
    for (int64_t l = 0; l < a->L; l++) {
        const int64_t slot = slot_of(a->slot, image, a->K, a->L, l);
        if (slot < 0) continue;
        fsfm_act *to = fsfm_cpu_at(cpu, dx, (1 + slot) * a->C);
        cpu->kernels->add_acts(a->C, to, fsfm_cpu_at(cpu, dout, (1 + l) * a->C), to);
    }
}

/* An image's part of dfill (C), in shared. */
static void fill_backward_piece(void *context, int64_t image, int thread)
{
    (void)thread;
    const token_work *w = context;
    const fsfm_unshuffle_backward_args *a = w->args;
    const fsfm_act *dout = fsfm_cpu_at(w->cpu, a->dout, image * (1 + a->L) * a->C);
    float *dfill = (float *)w->cpu->shared + image * a->C;
    memset(dfill, 0, (size_t)a->C * sizeof *dfill);
    for (int64_t l = 0; l < a->L; l++)
        if (slot_of(a->slot, image, a->K, a->L, l) < 0)
            w->cpu->kernels->column_sums(1, a->C, a->C, fsfm_cpu_at(w->cpu, dout, (1 + l) * a->C), dfill);
}

/* Row l of dfill (L, C), from all images. */
static void place_backward_piece(void *context, int64_t l, int thread)
{
    (void)thread;
    const token_work *w = context;
    const fsfm_unshuffle_backward_args *a = w->args;
    for (int64_t image = 0; image < a->B; image++)
        if (slot_of(a->slot, image, a->K, a->L, l) < 0)
            w->cpu->kernels->column_sums(1, a->C, a->C,
                                         fsfm_cpu_at(w->cpu, a->dout, (image * (1 + a->L) + 1 + l) * a->C),
                                         a->dfill + l * a->C);
}

fsfm_status fsfm_cpu_unshuffle_backward(fsfm_device *dev, const fsfm_unshuffle_backward_args *args,
                                        fsfm_error *err)
{
    token_work w = {fsfm_cpu(dev), args};
    fsfm_thread_pool_run(w.cpu->pool, args->B, unshuffle_backward_piece, &w);
    if (!args->dfill) return FSFM_OK;
    if (args->fill_by_place) {
        fsfm_thread_pool_run(w.cpu->pool, args->L, place_backward_piece, &w);
        return FSFM_OK;
    }
    FSFM_TRY(fsfm_cpu_reserve_shared(w.cpu, (size_t)(args->B * args->C) * sizeof(float), err));
    fsfm_thread_pool_run(w.cpu->pool, args->B, fill_backward_piece, &w);
    fsfm_cpu_add_parts(w.cpu, args->B, args->C, w.cpu->shared, args->dfill);
    return FSFM_OK;
}

static void pick_piece(void *context, int64_t image, int thread)
{
    (void)thread;
    const token_work *w = context;
    const fsfm_pick_args *a = w->args;
    const size_t row_bytes = (size_t)a->C * (a->is_float ? sizeof(float) : w->cpu->base.act_bytes);
    for (int64_t r = image * a->R; r < (image + 1) * a->R; r++)
        memcpy((char *)a->out + (size_t)r * row_bytes,
               (const char *)a->x + (size_t)(image * a->T + a->index[r]) * row_bytes, row_bytes);
}

fsfm_status fsfm_cpu_pick(fsfm_device *dev, const fsfm_pick_args *args, fsfm_error *err)
{
    (void)err;
    token_work w = {fsfm_cpu(dev), args};
    fsfm_thread_pool_run(w.cpu->pool, args->B, pick_piece, &w);
    return FSFM_OK;
}

static void pick_backward_piece(void *context, int64_t image, int thread)
{
    (void)thread;
    const token_work *w = context;
    const fsfm_pick_backward_args *a = w->args;
    for (int64_t r = image * a->R; r < (image + 1) * a->R; r++) {
        fsfm_act *y = fsfm_cpu_at(w->cpu, a->y, (image * a->T + a->index[r]) * a->C);
        w->cpu->kernels->add_acts(a->C, y, fsfm_cpu_at(w->cpu, a->x, r * a->C), y);
    }
}

fsfm_status fsfm_cpu_pick_backward(fsfm_device *dev, const fsfm_pick_backward_args *args, fsfm_error *err)
{
    (void)err;
    token_work w = {fsfm_cpu(dev), args};
    fsfm_thread_pool_run(w.cpu->pool, args->B, pick_backward_piece, &w);
    return FSFM_OK;
}

static void mean_piece(void *context, int64_t image, int thread)
{
    const token_work *w = context;
    const fsfm_cpu_device *cpu = w->cpu;
    const fsfm_mean_args *a = w->args;
    const fsfm_act *x = fsfm_cpu_at(cpu, a->x, image * a->T * a->C);
    const float count = (float)(a->T - 1) + a->last_multiplicity;
    float *sum = cpu->scratch[thread];
    cpu->kernels->to_float(a->C, fsfm_cpu_at(cpu, x, (a->T - 1) * a->C), sum);
    for (int64_t c = 0; c < a->C; c++) sum[c] *= a->last_multiplicity;
    cpu->kernels->column_sums(a->T - 1, a->C, a->C, x, sum);
    for (int64_t c = 0; c < a->C; c++) sum[c] /= count;
    cpu->kernels->to_act(a->C, sum, fsfm_cpu_at(cpu, a->out, image * a->C));
}

fsfm_status fsfm_cpu_mean(fsfm_device *dev, const fsfm_mean_args *args, fsfm_error *err)
{
    token_work w = {fsfm_cpu(dev), args};
    FSFM_TRY(fsfm_cpu_reserve_threads(w.cpu, (size_t)args->C * sizeof(float), err));
    fsfm_thread_pool_run(w.cpu->pool, args->B, mean_piece, &w);
    return FSFM_OK;
}

static void mean_backward_piece(void *context, int64_t image, int thread)
{
    (void)thread;
    const token_work *w = context;
    const fsfm_mean_backward_args *a = w->args;
    const fsfm_act *dout = fsfm_cpu_at(w->cpu, a->dout, image * a->C);
    const float count = (float)(a->T - 1) + a->last_multiplicity;
    for (int64_t t = 0; t < a->T; t++) {
        const float share = (t == a->T - 1 ? a->last_multiplicity : 1.0f) / count;
        fsfm_act *dx = fsfm_cpu_at(w->cpu, a->dx, (image * a->T + t) * a->C);
        if (!a->dx_adds) memset(dx, 0, act_bytes(w->cpu, a->C));
        w->cpu->kernels->axpy_act(a->C, share, dout, dx);
    }
}

fsfm_status fsfm_cpu_mean_backward(fsfm_device *dev, const fsfm_mean_backward_args *args, fsfm_error *err)
{
    (void)err;
    token_work w = {fsfm_cpu(dev), args};
    fsfm_thread_pool_run(w.cpu->pool, args->B, mean_backward_piece, &w);
    return FSFM_OK;
}
