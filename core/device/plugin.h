/* SPDX-License-Identifier: Apache-2.0
 * core/device/plugin.h - the CUDA backend, a library of its own that is loaded when a GPU is wanted, so that
 * the program itself starts where there is no CUDA. */
#ifndef FSFM_CORE_DEVICE_PLUGIN_H
#define FSFM_CORE_DEVICE_PLUGIN_H

#include "core/device/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* To be raised with any change of device.h or of what stands here. */
#define FSFM_DEVICE_PLUGIN_ABI 4
/* The plugin's one symbol, of this type. */
#define FSFM_DEVICE_PLUGIN_SYMBOL fsfm_device_plugin_cuda

typedef struct fsfm_device_plugin {
    int abi;
    /* Whether there is a GPU that it can use; if not, why. */
    fsfm_status (*probe)(fsfm_error *err);
    /* As fsfm_device_open() and its companions. */
    fsfm_status (*open)(const struct fsfm_device_plugin *plugin, const fsfm_device_options *options,
                        fsfm_device **out, fsfm_error *err);
    void (*close)(fsfm_device *dev);
    fsfm_status (*measure_peaks)(fsfm_device *dev, const fsfm_product_shape *shapes, int count,
                                 fsfm_device_peaks *out, fsfm_error *err);
} fsfm_device_plugin;

/* Loads the plugin, for good, and asks it for a GPU; fails with FSFM_ERR_DEVICE and the reason. It is
 * libfsfm_cuda.so in the program's folder or in ../lib from there, and is looked for where NVIDIA's
 * driver is, libcuda.so.1 (*has_driver: found). FSFM_CUDA_PLUGIN in the environment names another one, which
 * is taken without a driver. */
FSFM_MUST_USE
fsfm_status fsfm_device_plugin_find(const fsfm_device_plugin **out, bool *has_driver, fsfm_error *err);

#ifdef __cplusplus
}
#endif
#endif
