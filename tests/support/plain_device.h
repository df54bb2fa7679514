/* SPDX-License-Identifier: Apache-2.0
 * tests/support/plain_device.h - a device that can only move memory and add: for tests of what stands above a
 * device. */
#ifndef FSFM_TESTS_SUPPORT_PLAIN_DEVICE_H
#define FSFM_TESTS_SUPPORT_PLAIN_DEVICE_H

#include "core/device/device.h"

/* memory_is_host false: callers have to stage, though the memory is ordinary. Calls count in fails_after:
 * when it reaches 0, add, upload and download fail (-1: never). */
typedef struct {
    fsfm_device device;
    fsfm_device_ops ops;
    int64_t fails_after;
} plain_device;

void plain_device_init(plain_device *plain, bool memory_is_host);
#endif
