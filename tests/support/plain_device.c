/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/plain_device.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"

enum { LONGEST_WAIT_S = 10 };

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

static plain_device *of_wire(fsfm_wire *wire)
{
    return (plain_device *)((char *)wire - offsetof(plain_device, wire));
}

static fsfm_status wire_alloc(fsfm_wire *wire, size_t size_bytes, void **ptr, fsfm_error *err)
{
    return device_alloc(&of_wire(wire)->device, size_bytes, ptr, err);
}

static void wire_free(fsfm_wire *wire, void *ptr)
{
    (void)wire;
    free(ptr);
}

static fsfm_status wire_send(fsfm_wire *wire, void *dst, const void *src, size_t size_bytes, fsfm_error *err)
{
    plain_device *plain = of_wire(wire);
    FSFM_TRY(may_fail(&plain->device, err));
    FSFM_ASSERT(plain->sends_used < PLAIN_DEVICE_SENDS);
    plain->sends[plain->sends_used++] = (plain_send){dst, src, size_bytes, 0, false};
    return FSFM_OK;
}

static fsfm_status await_receives(plain_device *plain, fsfm_error *err)
{
    const double now_s = fsfm_clock_monotonic_s();
    if (plain->asked_s == 0) plain->asked_s = now_s;
    if (now_s - plain->asked_s < LONGEST_WAIT_S) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_DEVICE, "plain device: nothing comes back");
}

static fsfm_status wire_is_sent(fsfm_wire *wire, int64_t index, bool *is_sent, fsfm_error *err)
{
    plain_device *plain = of_wire(wire);
    plain_send *send = &plain->sends[index];
    *is_sent = plain->sends_follow_receives ? plain->received >= index : send->asked++ > 0;
    if (!*is_sent && plain->sends_follow_receives) return await_receives(plain, err);
    plain->asked_s = 0;
    if (*is_sent && !send->is_done && send->size_bytes > 0) memcpy(send->dst, send->src, send->size_bytes);
    send->is_done = send->is_done || *is_sent;
    return FSFM_OK;
}

static fsfm_status wire_receive(fsfm_wire *wire, void *dst, const void *src, size_t size_bytes,
                                fsfm_error *err)
{
    of_wire(wire)->received++;
    return device_upload(&of_wire(wire)->device, dst, src, size_bytes, err);
}

static fsfm_status wire_join(fsfm_wire *wire, fsfm_error *err)
{
    (void)err;
    of_wire(wire)->sends_used = of_wire(wire)->received = 0;
    return FSFM_OK;
}

static fsfm_status wire_group_id(fsfm_wire *wire, unsigned char id[FSFM_WIRE_GROUP_ID_SIZE], fsfm_error *err)
{
    (void)wire, (void)id;
    return fsfm_fail(err, FSFM_ERR_DEVICE, "plain device: no NCCL");
}

static void wire_group_abandon(fsfm_wire *wire)
{
    (void)wire;
}

static const fsfm_wire_ops wire_ops = {.alloc = wire_alloc,
                                       .free = wire_free,
                                       .send = wire_send,
                                       .is_sent = wire_is_sent,
                                       .receive = wire_receive,
                                       .join = wire_join,
                                       .group_id = wire_group_id,
                                       .group_abandon = wire_group_abandon};

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
    plain->wire.ops = &wire_ops;
    if (!memory_is_host) plain->device.wire = &plain->wire;
    plain->fails_after = -1;
}
