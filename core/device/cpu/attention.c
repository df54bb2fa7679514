/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/attention.c - one piece for each head of each image. */
#include "core/device/cpu/cpu_device.h"

typedef struct {
    fsfm_cpu_device *cpu;
    const fsfm_attention_args *args;
    const fsfm_attention_backward_args *backward;
} attention_work;

/* Threads take pieces by turns, unless one falls behind. */
static fsfm_cpu_head head_of(const attention_work *w, int64_t B, int64_t H, int64_t piece)
{
    const int64_t next = piece + w->cpu->base.threads;
    return (fsfm_cpu_head){piece / H, piece % H, next < B * H ? next / H : -1, next % H};
}

static void attention_piece(void *context, int64_t piece, int thread)
{
    const attention_work *w = context;
    const fsfm_cpu_head at = head_of(w, w->args->B, w->args->H, piece);
    w->cpu->kernels->attention(w->args, &at, w->cpu->scratch[thread]);
}

static void attention_backward_piece(void *context, int64_t piece, int thread)
{
    const attention_work *w = context;
    const fsfm_cpu_head at = head_of(w, w->backward->B, w->backward->H, piece);
    w->cpu->kernels->attention_backward(w->backward, &at, w->cpu->scratch[thread]);
}

fsfm_status fsfm_cpu_attention(fsfm_device *dev, const fsfm_attention_args *args, fsfm_error *err)
{
    attention_work w = {.cpu = fsfm_cpu(dev), .args = args};
    FSFM_TRY(fsfm_cpu_reserve_threads(
        w.cpu, w.cpu->kernels->attention_scratch_bytes(args->Tq, args->T, args->D, false), err));
    fsfm_thread_pool_run(w.cpu->pool, args->B * args->H, attention_piece, &w);
    return FSFM_OK;
}

fsfm_status fsfm_cpu_attention_backward(fsfm_device *dev, const fsfm_attention_backward_args *args,
                                        fsfm_error *err)
{
    attention_work w = {.cpu = fsfm_cpu(dev), .backward = args};
    FSFM_TRY(fsfm_cpu_reserve_threads(
        w.cpu, w.cpu->kernels->attention_scratch_bytes(args->Tq, args->T, args->D, true), err));
    fsfm_thread_pool_run(w.cpu->pool, args->B * args->H, attention_backward_piece, &w);
    return FSFM_OK;
}
