/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/cpu_device.h - what the files of the CPU backend share. */
#ifndef FSFM_CORE_DEVICE_CPU_CPU_DEVICE_H
#define FSFM_CORE_DEVICE_CPU_CPU_DEVICE_H

#include "core/base/thread_pool.h"
#include "core/device/cpu/kernels.h"
#include "core/device/device.h"

typedef struct {
    fsfm_device base; /* first, so that a fsfm_device * is one of these */
    const fsfm_cpu_kernels *kernels;
    fsfm_thread_pool *pool; /* shared with base.whole */
    void **scratch;         /* (base.threads): each thread's, scratch_bytes, for the piece at work */
    size_t scratch_bytes;
    void *shared; /* scratch for all threads, shared_bytes */
    size_t shared_bytes;
    unsigned char read[FSFM_READ_BYTES]; /* between start_read and finish_read */
} fsfm_cpu_device;

FSFM_MUST_USE
/* The device computes in fp32 where bf16 is asked for and not there: see base.precision. */
fsfm_status fsfm_cpu_device_open(fsfm_precision precision, int threads, fsfm_device **out, fsfm_error *err);
void fsfm_cpu_device_close(fsfm_device *dev);

/* Memory aligned for vectors, in huge pages where it is large; NULL if there is none. Released by free(). */
void *fsfm_cpu_memory(size_t size_bytes);
/* Sees to it that every thread has size_bytes of scratch, or that shared has. They only grow, at the first
 * use of a shape: steps allocate nothing. */
FSFM_MUST_USE
fsfm_status fsfm_cpu_reserve_threads(fsfm_cpu_device *cpu, size_t size_bytes, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_cpu_reserve_shared(fsfm_cpu_device *cpu, size_t size_bytes, fsfm_error *err);
/* sums (C) += the parts (parts, C), in order. */
void fsfm_cpu_add_parts(fsfm_cpu_device *cpu, int64_t parts, int64_t C, const float *part, float *sums);

static inline fsfm_cpu_device *fsfm_cpu(fsfm_device *dev)
{
    return (fsfm_cpu_device *)dev;
}

/* Element count behind at, in the device's precision. */
static inline void *fsfm_cpu_at(const fsfm_cpu_device *cpu, const fsfm_act *at, int64_t count)
{
    return (void *)((uintptr_t)at + (size_t)count * cpu->base.act_bytes);
}

static inline int64_t fsfm_cpu_pieces(int64_t count, int64_t piece)
{
    return (count + piece - 1) / piece;
}

static inline int64_t fsfm_cpu_piece_size(int64_t count, int64_t piece, int64_t index)
{
    return count - index * piece < piece ? count - index * piece : piece;
}

fsfm_status fsfm_cpu_linear(fsfm_device *dev, const fsfm_linear_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_linear_backward(fsfm_device *dev, const fsfm_linear_backward_args *args,
                                     fsfm_error *err);
fsfm_status fsfm_cpu_layernorm(fsfm_device *dev, const fsfm_layernorm_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_layernorm_backward(fsfm_device *dev, const fsfm_layernorm_backward_args *args,
                                        fsfm_error *err);
fsfm_status fsfm_cpu_attention(fsfm_device *dev, const fsfm_attention_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_attention_backward(fsfm_device *dev, const fsfm_attention_backward_args *args,
                                        fsfm_error *err);
fsfm_status fsfm_cpu_patches(fsfm_device *dev, const fsfm_patches_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_embed(fsfm_device *dev, const fsfm_embed_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_embed_backward(fsfm_device *dev, const fsfm_embed_backward_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_unshuffle(fsfm_device *dev, const fsfm_unshuffle_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_unshuffle_backward(fsfm_device *dev, const fsfm_unshuffle_backward_args *args,
                                        fsfm_error *err);
fsfm_status fsfm_cpu_pick(fsfm_device *dev, const fsfm_pick_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_pick_backward(fsfm_device *dev, const fsfm_pick_backward_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_mean(fsfm_device *dev, const fsfm_mean_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_mean_backward(fsfm_device *dev, const fsfm_mean_backward_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_normalize(fsfm_device *dev, const fsfm_normalize_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_normalize_backward(fsfm_device *dev, const fsfm_normalize_backward_args *args,
                                        fsfm_error *err);
fsfm_status fsfm_cpu_dot_loss(fsfm_device *dev, const fsfm_dot_loss_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_infonce(fsfm_device *dev, const fsfm_infonce_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_patch_loss(fsfm_device *dev, const fsfm_patch_loss_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_adamw(fsfm_device *dev, const fsfm_adamw_args *args, fsfm_error *err);
fsfm_status fsfm_cpu_set_matrix(fsfm_device *dev, int64_t count, void *matrix_dev, const float *values_host,
                                fsfm_error *err);
fsfm_status fsfm_cpu_get_matrix(fsfm_device *dev, int64_t count, const void *matrix_dev, float *values_host,
                                fsfm_error *err);
fsfm_status fsfm_cpu_to_act(fsfm_device *dev, int64_t count, const float *x, fsfm_act *out, fsfm_error *err);
fsfm_status fsfm_cpu_matrix_rest(fsfm_device *dev, int64_t count, const void *matrix, fsfm_act *out,
                                 fsfm_error *err);
fsfm_status fsfm_cpu_add_act(fsfm_device *dev, int64_t count, const fsfm_act *x, float *y, fsfm_error *err);
fsfm_status fsfm_cpu_add(fsfm_device *dev, int64_t count, const float *x, float *y, fsfm_error *err);
fsfm_status fsfm_cpu_norm_squared(fsfm_device *dev, int64_t count, const float *x, double *sum_dev,
                                  fsfm_error *err);

#endif
