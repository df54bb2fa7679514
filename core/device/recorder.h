/* SPDX-License-Identifier: Apache-2.0
 * core/device/recorder.h - work of a device's queue that is recorded once and then given to it as a whole,
 * for devices where enqueueing piece by piece costs (a CUDA graph).
 *
 * A recording keeps the arguments of what was enqueued, pointers above all, not what these point at: whatever
 * changes from one replay to the next has to lie in the device's memory. */
#ifndef FSFM_CORE_DEVICE_RECORDER_H
#define FSFM_CORE_DEVICE_RECORDER_H

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fsfm_recorder fsfm_recorder;
typedef struct fsfm_recording fsfm_recording;

typedef struct {
    /* What is enqueued between begin and end is recorded and not run. Nothing may cross to the host or from
     * it meanwhile, and nothing may wait. The caller owns *out; where a part could not be recorded end()
     * fails, *out is NULL, and the queue goes on as if nothing had been enqueued since begin(). */
    fsfm_status (*begin)(fsfm_recorder *recorder, fsfm_error *err);
    fsfm_status (*end)(fsfm_recorder *recorder, fsfm_recording **out, fsfm_error *err);
    /* Enqueues all of it. */
    fsfm_status (*replay)(fsfm_recorder *recorder, const fsfm_recording *recording, fsfm_error *err);
    void (*free)(fsfm_recorder *recorder, fsfm_recording *recording); /* not under way; accepts NULL */
} fsfm_recorder_ops;

/* What every recorder begins with. */
struct fsfm_recorder {
    const fsfm_recorder_ops *ops;
};

#ifdef __cplusplus
}
#endif
#endif
