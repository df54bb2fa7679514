/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/device.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/device/cpu/cpu_device.h"
#include "core/device/cpu/peak.h"
#include "core/device/plugin.h"

static fsfm_status open_cpu(const fsfm_device_options *options, fsfm_device **out, char note[160],
                            fsfm_error *err)
{
    if (options->threads < 1)
        return fsfm_fail(err, FSFM_ERR_ARG, "cpu device: expected at least 1 thread, got %d",
                         options->threads);
    FSFM_TRY(fsfm_cpu_device_open(options->precision, options->threads, out, err));
    if (options->precision != (*out)->precision)
        snprintf(note, 160,
                 "bf16 needs a processor with AVX512_BF16, which this one lacks: computing in fp32");
    return FSFM_OK;
}

fsfm_status fsfm_device_open(const fsfm_device_options *options, fsfm_device **out, char note[160],
                             fsfm_error *err)
{
    const fsfm_device_plugin *plugin = NULL;
    fsfm_error why = {FSFM_OK, ""};
    bool has_driver = false;
    *out = NULL;
    note[0] = '\0';
    if (options->kind == FSFM_DEVICE_CPU) return open_cpu(options, out, note, err);
    if (fsfm_device_plugin_find(&plugin, &has_driver, &why) == FSFM_OK)
        return plugin->open(plugin, options, out, err);
    if (options->kind == FSFM_DEVICE_CUDA)
        return fsfm_fail(err, FSFM_ERR_DEVICE, "device cuda: %s", why.message);
    FSFM_TRY(open_cpu(options, out, note, err));
    if (has_driver && !note[0]) snprintf(note, 160, "no GPU used: %.140s", why.message);
    return FSFM_OK;
}

const char *fsfm_device_file(const fsfm_device *dev)
{
    Dl_info info;
    return dev->plugin && dladdr(dev->plugin, &info) && info.dli_fname ? info.dli_fname : "/proc/self/exe";
}

void fsfm_device_close(fsfm_device **dev)
{
    if (*dev && (*dev)->plugin)
        (*dev)->plugin->close(*dev);
    else if (*dev)
        fsfm_cpu_device_close(*dev);
    *dev = NULL;
}

fsfm_status fsfm_device_measure_peaks(fsfm_device *dev, const fsfm_product_shape *shapes, int count,
                                      fsfm_device_peaks *out, fsfm_error *err)
{
    return (dev->plugin ? dev->plugin->measure_peaks : fsfm_cpu_measure_peaks)(dev, shapes, count, out, err);
}

fsfm_act *fsfm_act_after(const fsfm_device *dev, const fsfm_act *at, int64_t count)
{
    return (char *)at + (size_t)count * dev->act_bytes;
}

fsfm_act *fsfm_arena_acts(fsfm_arena *arena, const fsfm_device *dev, int64_t count)
{
    return fsfm_arena_bytes(arena, (size_t)count * dev->act_bytes);
}

#if defined FSFM_DEBUG_FILL
/* All bits set: NaN in float, double and bfloat16, so that what is read before it is set shows. */
static fsfm_status fill_with_nan(fsfm_arena *arena, fsfm_device *dev, fsfm_error *err)
{
    unsigned char nan[4096];
    size_t filled = arena->limit_bytes < sizeof nan ? arena->limit_bytes : sizeof nan;
    memset(nan, 0xff, sizeof nan);
    FSFM_TRY(dev->ops->upload(dev, arena->base, nan, filled, err));
    while (filled < arena->limit_bytes) {
        const size_t left = arena->limit_bytes - filled, part = left < filled ? left : filled;
        FSFM_TRY(dev->ops->copy(dev, arena->base + filled, arena->base, part, err));
        filled += part;
    }
    return FSFM_OK;
}
#else
static fsfm_status fill_with_nan(fsfm_arena *arena, fsfm_device *dev, fsfm_error *err)
{
    (void)arena, (void)dev, (void)err;
    return FSFM_OK;
}
#endif

fsfm_status fsfm_arena_allocate(fsfm_arena *arena, fsfm_device *dev, fsfm_error *err)
{
    void *base = NULL;
    FSFM_ASSERT(!arena->base);
    FSFM_TRY(dev->ops->alloc(dev, arena->used_bytes > 0 ? arena->used_bytes : FSFM_ARENA_ALIGN, &base, err));
    *arena = (fsfm_arena){.base = base, .limit_bytes = arena->used_bytes};
    const fsfm_status st = fill_with_nan(arena, dev, err);
    if (st != FSFM_OK) fsfm_arena_release(arena, dev);
    return st;
}

void fsfm_arena_release(fsfm_arena *arena, fsfm_device *dev)
{
    if (arena->base) dev->ops->free(dev, arena->base);
    *arena = (fsfm_arena){0};
}
