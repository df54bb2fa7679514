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

static const fsfm_device_ops cpu_ops = {
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_copy,
    .download = cpu_copy,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .synchronize = cpu_synchronize,
    .set_matrix = fsfm_cpu_set_matrix,
    .get_matrix = fsfm_cpu_get_matrix,
    .to_act = fsfm_cpu_to_act,
    .add_act = fsfm_cpu_add_act,
    .linear = fsfm_cpu_linear,
    .linear_backward = fsfm_cpu_linear_backward,
    .layernorm = fsfm_cpu_layernorm,
    .layernorm_backward = fsfm_cpu_layernorm_backward,
    .attention = fsfm_cpu_attention,
    .attention_backward = fsfm_cpu_attention_backward,
    .patches = fsfm_cpu_patches,
    .embed = fsfm_cpu_embed,
    .embed_backward = fsfm_cpu_embed_backward,
    .unshuffle = fsfm_cpu_unshuffle,
    .unshuffle_backward = fsfm_cpu_unshuffle_backward,
    .pick = fsfm_cpu_pick,
    .pick_backward = fsfm_cpu_pick_backward,
    .mean = fsfm_cpu_mean,
    .mean_backward = fsfm_cpu_mean_backward,
    .normalize = fsfm_cpu_normalize,
    .normalize_backward = fsfm_cpu_normalize_backward,
    .dot_loss = fsfm_cpu_dot_loss,
    .infonce = fsfm_cpu_infonce,
    .patch_loss = fsfm_cpu_patch_loss,
    .adamw = fsfm_cpu_adamw,
    .add = fsfm_cpu_add,
    .norm_squared = fsfm_cpu_norm_squared,
};

fsfm_status fsfm_cpu_device_open(fsfm_precision precision, int threads, fsfm_device **out, fsfm_error *err)
{
    *out = NULL;
    fsfm_status st = FSFM_OK;
    fsfm_cpu_device *cpu = calloc(1, sizeof *cpu);
    if (!cpu) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the cpu device");
    cpu->kernels = fsfm_cpu_kernels_best(precision);
    if (!cpu->kernels) {
        precision = FSFM_PRECISION_FP32;
        cpu->kernels = fsfm_cpu_kernels_best(precision);
    }
    cpu->base = (fsfm_device){.ops = &cpu_ops,
                              .kind = FSFM_DEVICE_CPU,
                              .precision = precision,
                              .act_bytes = cpu->kernels->act_bytes,
                              .memory_is_host = true,
                              .threads = threads,
                              .useful_rows = cpu->kernels->cut->useful_rows};
    cpu->scratch = calloc((size_t)threads, sizeof *cpu->scratch);
    if (!cpu->scratch) {
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the cpu device");
        goto done;
    }
    if ((st = fsfm_thread_pool_start(threads, &cpu->pool, err)) != FSFM_OK) goto done;
    snprintf(cpu->base.name, sizeof cpu->base.name, "cpu (%s, %d thread%s)", cpu->kernels->name, threads,
             threads == 1 ? "" : "s");
    snprintf(cpu->base.isa, sizeof cpu->base.isa, "%s", cpu->kernels->name);
    *out = &cpu->base;
done:
    if (st != FSFM_OK) fsfm_cpu_device_close(&cpu->base);
    return st;
}

void fsfm_cpu_device_close(fsfm_device *dev)
{
    fsfm_cpu_device *cpu = fsfm_cpu(dev);
    fsfm_thread_pool_stop(&cpu->pool);
    for (int i = 0; cpu->scratch && i < cpu->base.threads; i++) free(cpu->scratch[i]);
    free(cpu->scratch);
    free(cpu->shared);
    free(cpu);
}
