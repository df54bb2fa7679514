/* SPDX-License-Identifier: Apache-2.0
 * core/device/wire.h - what carries a device's memory to other ranks while it computes: a second queue beside
 * that of its operations. Only devices whose memory is not the host's have one.
 *
 * Everything on the wire happens in the order of its calls, and not before what was enqueued on the device
 * when it was called. */
#ifndef FSFM_CORE_DEVICE_WIRE_H
#define FSFM_CORE_DEVICE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fsfm_wire fsfm_wire;

enum { FSFM_WIRE_GROUP_ID_SIZE = 128 }; /* bytes */
typedef enum {
    FSFM_WIRE_GROUP_BUSY,  /* not all have entered, or the last sum is not enqueued yet */
    FSFM_WIRE_GROUP_READY, /* for the next sum */
    FSFM_WIRE_GROUP_IDLE   /* and all of the wire's work is done */
} fsfm_wire_group_state;

typedef struct {
    /* Host memory that the wire reads and writes; free accepts NULL. */
    fsfm_status (*alloc)(fsfm_wire *wire, size_t size_bytes, void **ptr_host, fsfm_error *err);
    void (*free)(fsfm_wire *wire, void *ptr_host);
    /* Starts a copy to alloc()'s memory; of 0 bytes: only marks the place. */
    fsfm_status (*send)(fsfm_wire *wire, void *dst_host, const void *src_dev, size_t size_bytes,
                        fsfm_error *err);
    /* Whether send number index since the last join() is done. */
    fsfm_status (*is_sent)(fsfm_wire *wire, int64_t index, bool *is_sent, fsfm_error *err);
    /* Starts a copy from alloc()'s memory, which stays as it is until something waits for the device. */
    fsfm_status (*receive)(fsfm_wire *wire, void *dst_dev, const void *src_host, size_t size_bytes,
                           fsfm_error *err);
    /* What is enqueued on the device from now on sees all that was received and summed. */
    fsfm_status (*join)(fsfm_wire *wire, fsfm_error *err);

    /* Sums over a group of processes by the device's own library (NCCL). None of these calls waits for other
     * processes: group_state says how far it is. group_id: one process makes the id; FSFM_ERR_DEVICE, with
     * the reason, where there is no such library. group_enter: all of them; starts to enter. sum, in place:
     * all of them, the same ones in the same order, each in the state READY; so is join() for what they sum.
     */
    fsfm_status (*group_id)(fsfm_wire *wire, unsigned char id[FSFM_WIRE_GROUP_ID_SIZE], fsfm_error *err);
    fsfm_status (*group_enter)(fsfm_wire *wire, const unsigned char id[FSFM_WIRE_GROUP_ID_SIZE], int rank,
                               int ranks, fsfm_error *err);
    fsfm_status (*sum)(fsfm_wire *wire, float *values_dev, int64_t count, fsfm_error *err);
    /* As sum, of two processes: each sends mine to its peer and receives theirs, which do not overlap. */
    fsfm_status (*exchange)(fsfm_wire *wire, int peer, const float *mine_dev, float *theirs_dev,
                            int64_t count, fsfm_error *err);
    /* FSFM_ERR_DEVICE, with the reason, where the group is broken: sums under way may then never end. */
    fsfm_status (*group_state)(fsfm_wire *wire, fsfm_wire_group_state *out, fsfm_error *err);
    /* Leaves the group at once; sums under way end, with nonsense. */
    void (*group_abandon)(fsfm_wire *wire);
} fsfm_wire_ops;

/* What every wire begins with. */
struct fsfm_wire {
    const fsfm_wire_ops *ops;
};

#ifdef __cplusplus
}
#endif
#endif
