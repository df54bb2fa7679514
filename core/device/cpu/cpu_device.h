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

/* fsfm_cpu_NAME(), of each operation. */
#define FSFM_PROTOTYPE(op) \
    fsfm_status fsfm_cpu_##op(fsfm_device *dev, const fsfm_##op##_args *args, fsfm_error *err);
#define FSFM_VECTOR_PROTOTYPE(op, x_type, y_type) \
    fsfm_status fsfm_cpu_##op(fsfm_device *dev, int64_t count, const x_type *x, y_type *y, fsfm_error *err);
FSFM_OPERATIONS(FSFM_PROTOTYPE)
FSFM_VECTOR_OPERATIONS(FSFM_VECTOR_PROTOTYPE)
#undef FSFM_VECTOR_PROTOTYPE
#undef FSFM_PROTOTYPE
fsfm_status fsfm_cpu_set_matrix(fsfm_device *dev, int64_t count, void *matrix_dev, const float *values_host,
                                fsfm_error *err);
fsfm_status fsfm_cpu_get_matrix(fsfm_device *dev, int64_t count, const void *matrix_dev, float *values_host,
                                fsfm_error *err);

#endif
