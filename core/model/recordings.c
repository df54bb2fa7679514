/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/recordings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const fsfm_records_names[] = {"auto", "on", "off", NULL};

/* Shapes of a run: both networks, with and without others that are told; a few more where masks differ. Work
 * with further keys is enqueued as it is. */
enum { RECORDED_MAX = 16 };

typedef struct {
    fsfm_recording_key key;
    fsfm_recording **parts; /* (cuts + 1 at most), between the cuts; NULL until recorded */
    int64_t count;          /* of parts; 0: not recorded yet */
} recorded;

struct fsfm_recordings {
    fsfm_device *dev;
    fsfm_recorder *recorder; /* NULL: nothing is recorded */
    bool must_record;
    int64_t cuts_max, replays;
    recorded *known; /* (RECORDED_MAX), the first known_count are used */
    int64_t known_count;
    char note[256];

    /* of the work under way */
    const fsfm_recordable *work;
    int64_t cuts;        /* so far */
    recorded *recording; /* NULL: it is enqueued as it is */
    fsfm_status failed;  /* of a cut, which cannot return it */
    fsfm_error failure;
    bool is_lost; /* a part of the work has run that was to be recorded */
};

static fsfm_status make_known(fsfm_recordings *recordings, fsfm_error *err)
{
    bool is_there = (recordings->known = calloc(RECORDED_MAX, sizeof *recordings->known)) != NULL;
    for (int i = 0; is_there && i < RECORDED_MAX; i++) {
        recorded *item = &recordings->known[i];
        item->parts = calloc((size_t)recordings->cuts_max + 1, sizeof(fsfm_recording *));
        is_there = item->parts != NULL;
    }
    return is_there ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for recordings of the step");
}

fsfm_status fsfm_recordings_open(fsfm_device *dev, fsfm_records records, int64_t cuts, fsfm_recordings **out,
                                 fsfm_error *err)
{
    *out = NULL;
    if (records == FSFM_RECORDS_ON && !dev->recorder)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s records no graphs: only GPUs do", dev->name);
    fsfm_recordings *recordings = calloc(1, sizeof *recordings);
    if (!recordings) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for recordings of the step");
    recordings->dev = dev;
    recordings->recorder = records == FSFM_RECORDS_OFF ? NULL : dev->recorder;
    recordings->must_record = records == FSFM_RECORDS_ON;
    recordings->cuts_max = cuts;
    const fsfm_status st = recordings->recorder ? make_known(recordings, err) : FSFM_OK;
    if (st == FSFM_OK)
        *out = recordings;
    else
        fsfm_recordings_close(&recordings);
    return st;
}

static void forget(fsfm_recordings *recordings, recorded *item)
{
    fsfm_recorder *recorder = recordings->dev->recorder;
    for (int64_t part = 0; part < item->count; part++) recorder->ops->free(recorder, item->parts[part]);
    item->count = 0;
}

void fsfm_recordings_close(fsfm_recordings **recordings)
{
    fsfm_recordings *gone = *recordings;
    *recordings = NULL;
    if (!gone) return;
    fsfm_error ignored;
    if (gone->known && gone->dev->ops->synchronize(gone->dev, &ignored) != FSFM_OK) gone->known_count = 0;
    for (int64_t i = 0; gone->known && i < RECORDED_MAX; i++) {
        if (i < gone->known_count) forget(gone, &gone->known[i]);
        free(gone->known[i].parts);
    }
    free(gone->known);
    free(gone);
}

/* The recording under way becomes a part. */
static fsfm_status end_part(fsfm_recordings *recordings, fsfm_error *err)
{
    fsfm_recorder *recorder = recordings->recorder;
    recorded *item = recordings->recording;
    FSFM_TRY(recorder->ops->end(recorder, &item->parts[item->count], err));
    item->count++;
    return FSFM_OK;
}

void fsfm_recordings_cut(fsfm_recordings *recordings)
{
    const int64_t index = recordings->cuts++;
    fsfm_recorder *recorder = recordings->recorder;
    FSFM_ASSERT(index < recordings->cuts_max);
    if (!recordings->recording) {
        recordings->work->reach_cut(recordings->work->context, index);
        return;
    }
    if (recordings->failed != FSFM_OK) return;
    recordings->failed = end_part(recordings, &recordings->failure);
    /* Also where that failed: what is still to be enqueued must not run, and is thrown away at the end. */
    fsfm_error why;
    if (recorder->ops->begin(recorder, &why) == FSFM_OK) return;
    recordings->failed = why.status;
    recordings->failure = why;
    recordings->is_lost = true;
}

static fsfm_status enqueue(fsfm_recordings *recordings, const fsfm_recordable *work, fsfm_error *err)
{
    recordings->work = work;
    recordings->cuts = 0;
    return work->enqueue(work->context, err);
}

/* All of it, before any of it runs: so that a part that cannot be recorded leaves nothing half done. */
static fsfm_status record(fsfm_recordings *recordings, recorded *item, const fsfm_recordable *work,
                          fsfm_error *err)
{
    fsfm_recorder *recorder = recordings->recorder;
    FSFM_TRY(recorder->ops->begin(recorder, err));
    recordings->recording = item;
    recordings->failed = FSFM_OK;
    fsfm_status st = enqueue(recordings, work, err);
    fsfm_error late;
    const fsfm_status ended = end_part(recordings, st == FSFM_OK ? err : &late);
    if (st == FSFM_OK) st = ended;
    if (recordings->failed != FSFM_OK) {
        *err = recordings->failure;
        st = recordings->failed;
    }
    recordings->recording = NULL;
    if (st != FSFM_OK) forget(recordings, item);
    return st;
}

/* Keeps why, and records no more. */
static void give_up(fsfm_recordings *recordings, const fsfm_error *why)
{
    snprintf(recordings->note, sizeof recordings->note, "%.255s", why->message);
    recordings->recorder = NULL;
}

static fsfm_status replay(fsfm_recordings *recordings, const recorded *item, const fsfm_recordable *work,
                          fsfm_error *err)
{
    fsfm_recorder *recorder = recordings->recorder;
    recordings->replays++;
    for (int64_t part = 0; part < item->count; part++) {
        FSFM_TRY(recorder->ops->replay(recorder, item->parts[part], err));
        if (part + 1 < item->count) work->reach_cut(work->context, part);
    }
    return FSFM_OK;
}

/* NULL where key is new; it is then known, if there is room. */
static recorded *find(fsfm_recordings *recordings, const fsfm_recording_key *key)
{
    for (int64_t i = 0; i < recordings->known_count; i++)
        if (memcmp(&recordings->known[i].key, key, sizeof *key) == 0) return &recordings->known[i];
    if (recordings->known_count < RECORDED_MAX) recordings->known[recordings->known_count++].key = *key;
    return NULL;
}

fsfm_status fsfm_recordings_run(fsfm_recordings *recordings, const fsfm_recording_key *key,
                                const fsfm_recordable *work, fsfm_error *err)
{
    recorded *item = recordings->recorder ? find(recordings, key) : NULL;
    if (item && item->count == 0) {
        fsfm_error why;
        const fsfm_status st = record(recordings, item, work, &why);
        if (st != FSFM_OK && (recordings->must_record || recordings->is_lost)) {
            if (err) *err = why;
            return st;
        }
        if (st != FSFM_OK) give_up(recordings, &why);
    }
    if (item && item->count > 0) return replay(recordings, item, work, err);
    return enqueue(recordings, work, err);
}

int64_t fsfm_recordings_replays(const fsfm_recordings *recordings)
{
    return recordings->replays;
}

const char *fsfm_recordings_note(const fsfm_recordings *recordings)
{
    return recordings->note;
}
