/* SPDX-License-Identifier: Apache-2.0
 * core/device/cpu/peak.h - how fast this machine multiplies and moves memory at best: the roof that a step is
 * compared with. */
#ifndef FSFM_CORE_DEVICE_CPU_PEAK_H
#define FSFM_CORE_DEVICE_CPU_PEAK_H

#include "core/device/device.h"

/* As fsfm_device_measure_peaks(). Products are oneDNN's on matrices as a whole, on its own threads, as many
 * as dev has: not the backend's blocks on its pool. */
FSFM_MUST_USE
fsfm_status fsfm_cpu_measure_peaks(fsfm_device *dev, const fsfm_product_shape *shapes, int count,
                                   fsfm_device_peaks *out, fsfm_error *err);
#endif
