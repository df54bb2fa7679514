/* SPDX-License-Identifier: Apache-2.0
 * tests/support/plain_device.h - a device that can only move memory and add: for tests of what stands above a
 * device. */
#ifndef FSFM_TESTS_SUPPORT_PLAIN_DEVICE_H
#define FSFM_TESTS_SUPPORT_PLAIN_DEVICE_H

#include "core/device/device.h"

/* memory_is_host false: callers have to stage, though the memory is ordinary; there is a wire, on which a
 * copy is done when it is asked for the second time, or, where sends_follow_receives, when as many copies as
 * were sent before it have come back: within seconds, or is_sent fails. Calls count in fails_after: when it
 * reaches 0, add, upload, download, send and receive fail (-1: never). */
enum { PLAIN_DEVICE_SENDS = 16 };
typedef struct {
    void *dst;
    const void *src;
    size_t size_bytes;
    int asked;
    bool is_done;
} plain_send;
typedef struct {
    fsfm_device device;
    fsfm_device_ops ops;
    fsfm_wire wire;
    plain_send sends[PLAIN_DEVICE_SENDS];
    int64_t sends_used, received; /* since the last join */
    bool sends_follow_receives;
    double asked_s; /* when one of these was asked for first; 0: not yet */
    int64_t fails_after;
} plain_device;

void plain_device_init(plain_device *plain, bool memory_is_host);
#endif
