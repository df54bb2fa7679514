/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/cpu/cpu_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *fsfm_cpu_memory(size_t size_bytes)
{
    const size_t huge = (size_t)2 << 20;
    const size_t align = size_bytes >= 2 * huge ? huge : FSFM_ARENA_ALIGN;
    void *memory = NULL;
    if (posix_memalign(&memory, align, size_bytes ? size_bytes : align) != 0) return NULL;
    if (align == huge)
        madvise(memory, size_bytes, MADV_HUGEPAGE); /* only advice: without it all works, slower */
    return memory;
}

fsfm_status fsfm_cpu_reserve_threads(fsfm_cpu_device *cpu, size_t size_bytes, fsfm_error *err)
{
    if (size_bytes <= cpu->scratch_bytes) return FSFM_OK;
    for (int i = 0; i < cpu->base.threads; i++) {
        free(cpu->scratch[i]);
        cpu->scratch[i] = fsfm_cpu_memory(size_bytes);
        if (!cpu->scratch[i]) {
            cpu->scratch_bytes = 0;
            return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %zu bytes of scratch a thread", size_bytes);
        }
    }
    cpu->scratch_bytes = size_bytes;
    return FSFM_OK;
}

fsfm_status fsfm_cpu_reserve_shared(fsfm_cpu_device *cpu, size_t size_bytes, fsfm_error *err)
{
    if (size_bytes <= cpu->shared_bytes) return FSFM_OK;
    free(cpu->shared);
    cpu->shared = fsfm_cpu_memory(size_bytes);
    cpu->shared_bytes = cpu->shared ? size_bytes : 0;
    if (!cpu->shared)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %zu bytes of scratch", size_bytes);
    return FSFM_OK;
}

static fsfm_status cpu_alloc(fsfm_device *dev, size_t size_bytes, void **ptr_dev, fsfm_error *err)
{
    (void)dev;
    *ptr_dev = fsfm_cpu_memory(size_bytes);
    if (!*ptr_dev) return fsfm_fail(err, FSFM_ERR_MEMORY, "cpu device: no memory for %zu bytes", size_bytes);
    return FSFM_OK;
}

static void cpu_free(fsfm_device *dev, void *ptr_dev)
{
    (void)dev;
    free(ptr_dev);
}

static fsfm_status cpu_copy(fsfm_device *dev, void *dst, const void *src, size_t size_bytes, fsfm_error *err)
{
    (void)dev, (void)err;
    if (size_bytes > 0) memcpy(dst, src, size_bytes);
    return FSFM_OK;
}

/* Operations are done when they return: what is read at its place of the queue is read at once. */
static fsfm_status cpu_start_read(fsfm_device *dev, const void *src, size_t size_bytes, fsfm_error *err)
{
    FSFM_ASSERT(size_bytes <= FSFM_READ_BYTES);
    return cpu_copy(dev, fsfm_cpu(dev)->read, src, size_bytes, err);
}

static fsfm_status cpu_finish_read(fsfm_device *dev, void *dst, size_t size_bytes, fsfm_error *err)
{
    return cpu_copy(dev, dst, fsfm_cpu(dev)->read, size_bytes, err);
}

enum { ZERO_PIECE = 1 << 20 /* bytes */ };

typedef struct {
    char *to;
    size_t size_bytes;
} zero_work;

static void zero_piece(void *context, int64_t piece, int thread)
{
    (void)thread;
    const zero_work *w = context;
    const size_t first = (size_t)piece * ZERO_PIECE, left = w->size_bytes - first;
    memset(w->to + first, 0, left < ZERO_PIECE ? left : ZERO_PIECE);
}

static fsfm_status cpu_zero(fsfm_device *dev, void *dst, size_t size_bytes, fsfm_error *err)
{
    (void)err;
    zero_work w = {dst, size_bytes};
    fsfm_thread_pool_run(fsfm_cpu(dev)->pool, fsfm_cpu_pieces((int64_t)size_bytes, ZERO_PIECE), zero_piece,
                         &w);
    return FSFM_OK;
}

static fsfm_status cpu_synchronize(fsfm_device *dev, fsfm_error *err)
{
    (void)dev, (void)err;
    return FSFM_OK;
}

#define MEMBER(op) .op = fsfm_cpu_##op,
#define VECTOR_MEMBER(op, x_type, y_type) .op = fsfm_cpu_##op,
static const fsfm_device_ops cpu_ops = {.alloc = cpu_alloc,
                                        .free = cpu_free,
                                        .upload = cpu_copy,
                                        .download = cpu_copy,
                                        .start_read = cpu_start_read,
                                        .finish_read = cpu_finish_read,
                                        .copy = cpu_copy,
                                        .zero = cpu_zero,
                                        .synchronize = cpu_synchronize,
                                        .set_matrix = fsfm_cpu_set_matrix,
                                        .get_matrix = fsfm_cpu_get_matrix,
                                        FSFM_OPERATIONS(MEMBER) FSFM_VECTOR_OPERATIONS(VECTOR_MEMBER)};
#undef VECTOR_MEMBER
#undef MEMBER

/* One precision's share of a device; pool is lent, and threads have scratch of their own for each. */
static fsfm_cpu_device *make_part(fsfm_precision precision, int threads, fsfm_thread_pool *pool)
{
    const fsfm_cpu_kernels *kernels = fsfm_cpu_kernels_best(precision);
    fsfm_cpu_device *cpu = kernels ? calloc(1, sizeof *cpu) : NULL;
    if (!cpu) return NULL;
    cpu->kernels = kernels;
    cpu->pool = pool;
    cpu->base = (fsfm_device){.ops = &cpu_ops,
                              .kind = FSFM_DEVICE_CPU,
                              .precision = precision,
                              .act_bytes = kernels->act_bytes,
                              .memory_is_host = true,
                              .whole = &cpu->base,
                              .threads = threads,
                              .useful_rows = kernels->cut->useful_rows};
    snprintf(cpu->base.name, sizeof cpu->base.name, "cpu (%s, %d thread%s)", kernels->name, threads,
             threads == 1 ? "" : "s");
    snprintf(cpu->base.isa, sizeof cpu->base.isa, "%s", kernels->name);
    cpu->scratch = calloc((size_t)threads, sizeof *cpu->scratch);
    if (cpu->scratch) return cpu;
    free(cpu);
    return NULL;
}

static void free_part(fsfm_cpu_device *cpu)
{
    for (int i = 0; i < cpu->base.threads; i++) free(cpu->scratch[i]);
    free(cpu->scratch);
    free(cpu->shared);
    free(cpu);
}

fsfm_status fsfm_cpu_device_open(fsfm_precision precision, int threads, fsfm_device **out, fsfm_error *err)
{
    fsfm_thread_pool *pool = NULL;
    *out = NULL;
    if (!fsfm_cpu_kernels_best(precision)) precision = FSFM_PRECISION_FP32;
    FSFM_TRY(fsfm_thread_pool_start(threads, &pool, err));
    fsfm_cpu_device *whole = make_part(FSFM_PRECISION_FP32, threads, pool), *cpu = whole;
    if (whole && precision != FSFM_PRECISION_FP32) cpu = make_part(precision, threads, pool);
    if (!cpu) {
        if (whole) free_part(whole);
        fsfm_thread_pool_stop(&pool);
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the cpu device");
    }
    cpu->base.whole = &whole->base;
    *out = &cpu->base;
    return FSFM_OK;
}

void fsfm_cpu_device_close(fsfm_device *dev)
{
    fsfm_cpu_device *cpu = fsfm_cpu(dev), *whole = fsfm_cpu(dev->whole);
    fsfm_thread_pool_stop(&cpu->pool);
    if (whole != cpu) free_part(whole);
    free_part(cpu);
}
