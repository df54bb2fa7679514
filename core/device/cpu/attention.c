/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/attention.c - one piece for a few heads of an image. */
#include "core/device/cpu/cpu_device.h"

/* Heads next to each other have their rows next to each other, so that a thread's next ones are at hand; but
 * there have to be pieces for every thread. */
enum { HEADS_MOST = 4, PIECES_A_THREAD = 4 };

typedef struct {
    fsfm_cpu_device *cpu;
    const fsfm_attention_args *args;
    const fsfm_attention_backward_args *backward;
    int64_t H, heads, image_pieces; /* heads a piece, pieces an image */
} attention_work;

static attention_work work_of(fsfm_device *dev, int64_t B, int64_t H)
{
    attention_work w = {.cpu = fsfm_cpu(dev), .H = H};
    const int64_t wanted = PIECES_A_THREAD * (int64_t)dev->threads;
    w.heads = HEADS_MOST < H ? HEADS_MOST : H;
    while (w.heads > 1 && B * fsfm_cpu_pieces(H, w.heads) < wanted) w.heads--;
    w.heads = fsfm_cpu_pieces(H, fsfm_cpu_pieces(H, w.heads)); /* evenly */
    w.image_pieces = fsfm_cpu_pieces(H, w.heads);
    return w;
}

static fsfm_cpu_heads heads_of(const attention_work *w, int64_t piece)
{
    const int64_t part = piece % w->image_pieces;
    return (fsfm_cpu_heads){piece / w->image_pieces, part * w->heads,
                            fsfm_cpu_piece_size(w->H, w->heads, part)};
}

static void attention_piece(void *context, int64_t piece, int thread)
{
    const attention_work *w = context;
    const fsfm_cpu_heads heads = heads_of(w, piece);
    w->cpu->kernels->attention(w->args, &heads, w->cpu->scratch[thread]);
}

static void attention_backward_piece(void *context, int64_t piece, int thread)
{
    const attention_work *w = context;
    const fsfm_cpu_heads heads = heads_of(w, piece);
    w->cpu->kernels->attention_backward(w->backward, &heads, w->cpu->scratch[thread]);
}

fsfm_status fsfm_cpu_attention(fsfm_device *dev, const fsfm_attention_args *args, fsfm_error *err)
{
    attention_work w = work_of(dev, args->B, args->H);
    w.args = args;
    FSFM_TRY(fsfm_cpu_reserve_threads(
        w.cpu, w.cpu->kernels->attention_scratch_bytes(args->Tq, args->T, args->D, false), err));
    fsfm_thread_pool_run(w.cpu->pool, args->B * w.image_pieces, attention_piece, &w);
    return FSFM_OK;
}

fsfm_status fsfm_cpu_attention_backward(fsfm_device *dev, const fsfm_attention_backward_args *args,
                                        fsfm_error *err)
{
    attention_work w = work_of(dev, args->B, args->H);
    w.backward = args;
    FSFM_TRY(fsfm_cpu_reserve_threads(
        w.cpu, w.cpu->kernels->attention_scratch_bytes(args->Tq, args->T, args->D, true), err));
    fsfm_thread_pool_run(w.cpu->pool, args->B * w.image_pieces, attention_backward_piece, &w);
    return FSFM_OK;
}
