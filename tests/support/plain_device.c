/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/plain_device.h"

#include <stdlib.h>
#include <string.h>

static fsfm_status may_fail(fsfm_device *dev, fsfm_error *err)
{
    plain_device *plain = (plain_device *)dev;
    if (plain->fails_after > 0) plain->fails_after--;
    return plain->fails_after == 0 ? fsfm_fail(err, FSFM_ERR_DEVICE, "plain device: told to fail") : FSFM_OK;
}

static fsfm_status device_alloc(fsfm_device *dev, size_t size_bytes, void **ptr, fsfm_error *err)
{
    (void)dev;
    *ptr = malloc(size_bytes);
    return *ptr ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "plain device: no memory");
}

static void device_free(fsfm_device *dev, void *ptr)
{
    (void)dev;
    free(ptr);
}

static fsfm_status device_upload(fsfm_device *dev, void *dst, const void *src, size_t size_bytes,
                                 fsfm_error *err)
{
    FSFM_TRY(may_fail(dev, err));
    memcpy(dst, src, size_bytes);
    return FSFM_OK;
}

static fsfm_status device_copy(fsfm_device *dev, void *dst, const void *src, size_t size_bytes,
                               fsfm_error *err)
{
    (void)dev, (void)err;
    memcpy(dst, src, size_bytes);
    return FSFM_OK;
}

static fsfm_status device_zero(fsfm_device *dev, void *dst, size_t size_bytes, fsfm_error *err)
{
    (void)dev, (void)err;
    memset(dst, 0, size_bytes);
    return FSFM_OK;
}

static fsfm_status device_synchronize(fsfm_device *dev, fsfm_error *err)
{
    (void)dev, (void)err;
    return FSFM_OK;
}

static fsfm_status device_add(fsfm_device *dev, int64_t count, const float *x, float *y, fsfm_error *err)
{
    FSFM_TRY(may_fail(dev, err));
    for (int64_t i = 0; i < count; i++) y[i] += x[i];
    return FSFM_OK;
}

void plain_device_init(plain_device *plain, bool memory_is_host)
{
    memset(plain, 0, sizeof *plain);
    plain->ops.alloc = device_alloc;
    plain->ops.free = device_free;
    plain->ops.upload = plain->ops.download = device_upload;
    plain->ops.copy = device_copy;
    plain->ops.zero = device_zero;
    plain->ops.synchronize = device_synchronize;
    plain->ops.add = device_add;
    plain->device.ops = &plain->ops;
    plain->device.act_bytes = sizeof(float);
    plain->device.memory_is_host = memory_is_host;
    plain->device.threads = 1;
    plain->fails_after = -1;
}
