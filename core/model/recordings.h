/* SPDX-License-Identifier: Apache-2.0
 * core/model/recordings.h - work that a step gives to the device again and again, recorded once and replayed.
 *
 * Work with a key is enqueued as it is the first time, which lets the device make what it makes at the first
 * use of a shape; it is recorded the second time, and replayed from then on. Where the device has no
 * recorder, or recording failed, it is always enqueued as it is. The bits are the same either way. */
#ifndef FSFM_CORE_MODEL_RECORDINGS_H
#define FSFM_CORE_MODEL_RECORDINGS_H

#include "core/device/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* auto: where the device has a recorder; a failure is noted, and everything is enqueued as it is from then
 * on. on: a failure is one. */
typedef enum { FSFM_RECORDS_AUTO, FSFM_RECORDS_ON, FSFM_RECORDS_OFF } fsfm_records;
extern const char *const fsfm_records_names[]; /* ended by NULL */

/* All that the arguments of the work's operations follow from, but for what stays as it is. */
enum { FSFM_RECORDING_KEY_SIZE = 6 };
typedef struct {
    int64_t values[FSFM_RECORDING_KEY_SIZE];
} fsfm_recording_key;

typedef struct {
    /* Enqueues operations, and does nothing else: when it is recorded they run later, when it is replayed it
     * is not called. It may call fsfm_recordings_cut(). */
    fsfm_status (*enqueue)(void *context, fsfm_error *err);
    /* Called when everything before cut number index, from 0, is enqueued. May be NULL where there are none.
     */
    void (*reach_cut)(void *context, int64_t index);
    void *context;
} fsfm_recordable;

typedef struct fsfm_recordings fsfm_recordings;

/* cuts: that a piece of work has at most. FSFM_ERR_ARG where records is ON and dev, which is borrowed, has no
 * recorder. The caller owns *out. */
FSFM_MUST_USE
fsfm_status fsfm_recordings_open(fsfm_device *dev, fsfm_records records, int64_t cuts, fsfm_recordings **out,
                                 fsfm_error *err);
void fsfm_recordings_close(fsfm_recordings **recordings); /* waits for the device; accepts NULL */

FSFM_MUST_USE
fsfm_status fsfm_recordings_run(fsfm_recordings *recordings, const fsfm_recording_key *key,
                                const fsfm_recordable *work, fsfm_error *err);
/* In work->enqueue(): others have to know when the device has come here. */
void fsfm_recordings_cut(fsfm_recordings *recordings);

/* How often work was replayed; and, for people, why nothing is recorded any more ("" where nothing failed).
 */
int64_t fsfm_recordings_replays(const fsfm_recordings *recordings);
const char *fsfm_recordings_note(const fsfm_recordings *recordings);

#ifdef __cplusplus
}
#endif
#endif
