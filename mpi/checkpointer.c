/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/checkpointer.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "io/file.h"
#include "mpi/checkpoint_folder.h"

struct fsfm_checkpointer {
    char folder[FSFM_TEXT_SIZE];
    fsfm_run_directory *run;
    fsfm_checkpoint snapshot;
    char *config;
    int64_t keep_last, keep_every;
    double seconds; /* of the last write; 0: none yet */

    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_due, is_best, is_stopping, has_result; /* under lock; is_due until the write has ended */
    double due_s;                                  /* when it was started; under lock */
    fsfm_checkpoint_result result;
};

static fsfm_status write_pointer(const char *folder, const char *name, const char *file, fsfm_error *err)
{
    char path[FSFM_TEXT_SIZE + 64], line[64];
    FSFM_TRY(fsfm_path_join(path, sizeof path, folder, name, err));
    snprintf(line, sizeof line, "%s\n", file);
    return fsfm_file_write(path, line, strlen(line), err);
}

static fsfm_status write_one(fsfm_checkpointer *c, bool is_best, fsfm_checkpoint_result *result)
{
    char path[FSFM_TEXT_SIZE + 64];
    uint64_t free_bytes = 0;
    fsfm_error *err = &result->error;
    const fsfm_checkpoint_counters *counters = &c->snapshot.counters;
    fsfm_checkpoint_file_name(result->file, counters->step);
    result->step = counters->step;
    result->size_bytes = fsfm_checkpoint_size_bytes(&c->snapshot);
    FSFM_TRY(fsfm_path_join(path, sizeof path, c->folder, result->file, err));
    FSFM_TRY(fsfm_folder_free_bytes(c->folder, &free_bytes, err));
    if (free_bytes < result->size_bytes)
        return fsfm_fail(err, FSFM_ERR_IO,
                         "%s: the checkpoint needs %" PRIu64 " MiB, the disk has %" PRIu64 " MiB free", path,
                         (result->size_bytes >> 20) + 1, free_bytes >> 20);
    FSFM_TRY(fsfm_checkpoint_write(&c->snapshot, path, err));
    if (c->run) FSFM_TRY(fsfm_run_directory_check(c->run, true, err)); /* writing may have taken minutes */
    FSFM_TRY(write_pointer(c->folder, "latest", result->file, err));
    if (is_best) FSFM_TRY(write_pointer(c->folder, "best", result->file, err));
    fsfm_checkpoint_folder_retain(c->folder, counters->step, counters->best_step, c->keep_last,
                                  c->keep_every);
    return FSFM_OK;
}

static void *write_loop(void *context)
{
    fsfm_checkpointer *c = context;
    sigset_t all;
    sigfillset(&all); /* signals are the training thread's */
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_mutex_lock(&c->lock);
    for (;;) {
        fsfm_checkpoint_result result;
        bool is_best = false;
        double began_s = 0;
        while (!c->is_due && !c->is_stopping) pthread_cond_wait(&c->changed, &c->lock);
        if (!c->is_due) break;
        is_best = c->is_best;
        pthread_mutex_unlock(&c->lock);
        memset(&result, 0, sizeof result);
        began_s = fsfm_clock_monotonic_s();
        result.status = write_one(c, is_best, &result);
        result.seconds = fsfm_clock_monotonic_s() - began_s;
        pthread_mutex_lock(&c->lock);
        c->result = result;
        c->has_result = true;
        c->is_due = false;
        if (result.status == FSFM_OK) c->seconds = result.seconds;
        pthread_cond_broadcast(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static fsfm_status allocate(fsfm_checkpointer *c, const fsfm_checkpointer_setup *setup, fsfm_error *err)
{
    c->snapshot.parameters = setup->parameters;
    if (!(c->config = strdup(setup->config)))
        return fsfm_fail(err, FSFM_ERR_MEMORY, "checkpoints: no memory");
    c->snapshot.config = c->config;
    for (int s = 0; s < FSFM_STATES; s++) {
        c->snapshot.floats[s] = setup->floats[s];
        if (!setup->floats[s]) continue;
        c->snapshot.values[s] = calloc((size_t)setup->floats[s], sizeof(float));
        if (!c->snapshot.values[s])
            return fsfm_fail(err, FSFM_ERR_MEMORY,
                             "checkpoints: no memory for a snapshot of %" PRId64 " floats", setup->floats[s]);
    }
    return FSFM_OK;
}

fsfm_status fsfm_checkpointer_open(const fsfm_checkpointer_setup *setup, fsfm_checkpointer **out,
                                   fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    fsfm_checkpointer *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c) return fsfm_fail(err, FSFM_ERR_MEMORY, "checkpoints: no memory");
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    c->run = setup->run;
    c->keep_last = setup->keep_last;
    c->keep_every = setup->keep_every;
    st = fsfm_path_join(c->folder, sizeof c->folder, setup->run_dir, "checkpoints", err);
    if (st == FSFM_OK) st = fsfm_folder_make(c->folder, err);
    if (st == FSFM_OK) st = allocate(c, setup, err);
    if (st == FSFM_OK) fsfm_checkpoint_folder_clean(c->folder);
    if (st == FSFM_OK) {
        c->has_thread = pthread_create(&c->thread, NULL, write_loop, c) == 0;
        if (!c->has_thread) st = fsfm_fail(err, FSFM_ERR_MEMORY, "checkpoints: no thread can be started");
    }
    if (st != FSFM_OK) fsfm_checkpointer_close(&c);
    *out = c;
    return st;
}

void fsfm_checkpointer_close(fsfm_checkpointer **checkpointer)
{
    fsfm_checkpointer *c = *checkpointer;
    if (!c) return;
    if (c->has_thread) {
        pthread_mutex_lock(&c->lock);
        c->is_stopping = true;
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->lock);
        pthread_join(c->thread, NULL);
    }
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    for (int s = 0; s < FSFM_STATES; s++) free(c->snapshot.values[s]);
    free(c->snapshot.bad_samples);
    free(c->config);
    free(c);
    *checkpointer = NULL;
}

fsfm_checkpoint *fsfm_checkpointer_snapshot(fsfm_checkpointer *c)
{
    return &c->snapshot;
}

void fsfm_checkpointer_start(fsfm_checkpointer *c, bool is_best)
{
    pthread_mutex_lock(&c->lock);
    FSFM_ASSERT(!c->is_due);
    c->is_due = true;
    c->due_s = fsfm_clock_monotonic_s();
    c->is_best = is_best;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

void fsfm_checkpointer_wait(fsfm_checkpointer *c)
{
    pthread_mutex_lock(&c->lock);
    while (c->is_due) pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

bool fsfm_checkpointer_take_result(fsfm_checkpointer *c, fsfm_checkpoint_result *out)
{
    bool has_one = false;
    pthread_mutex_lock(&c->lock);
    has_one = c->has_result;
    if (has_one) *out = c->result;
    c->has_result = false;
    pthread_mutex_unlock(&c->lock);
    return has_one;
}

double fsfm_checkpointer_seconds(fsfm_checkpointer *c, int64_t more)
{
    double late_s = 0;
    pthread_mutex_lock(&c->lock);
    /* A guess of 200 MB/s, each byte written and read back, until one was measured. */
    double one_s =
        c->seconds > 0 ? c->seconds : 1.0 + (double)fsfm_checkpoint_size_bytes(&c->snapshot) / 100e6;
    if (c->is_due) {
        const double since_s = fsfm_clock_monotonic_s() - c->due_s;
        if (since_s > one_s) one_s = since_s; /* the disk is slower today */
        late_s = one_s;
    }
    pthread_mutex_unlock(&c->lock);
    return late_s + (double)more * one_s;
}

fsfm_status fsfm_checkpointer_load(fsfm_checkpointer *c, fsfm_checkpoint_accept_fn accept, void *context,
                                   fsfm_log *log, bool *found, fsfm_error *err)
{
    char path[FSFM_TEXT_SIZE + 64];
    int64_t *steps = NULL, count = 0;
    fsfm_status st = FSFM_OK;
    *found = false;
    FSFM_TRY(fsfm_checkpoint_folder_list(c->folder, &steps, &count, err));
    for (int64_t i = 0; i < count && !*found; i++) {
        bool is_refused = false;
        char file[32];
        fsfm_checkpoint_file_name(file, steps[i]);
        if ((st = fsfm_path_join(path, sizeof path, c->folder, file, err)) != FSFM_OK) break;
        free(c->snapshot.bad_samples); /* of a save before this load */
        st = fsfm_checkpoint_read(&c->snapshot, path, accept, context, &is_refused, err);
        free(c->snapshot.config);
        c->snapshot.config = c->config; /* this run's, which may differ in keys that may change */
        *found = st == FSFM_OK;
        if (is_refused) break;
        if (st != FSFM_OK) fsfm_log_line(log, "%s cannot be used: %s", file, err->message);
        if (st != FSFM_OK && i + 1 == count) {
            fsfm_fail(err, FSFM_ERR_FORMAT,
                      "%s: none of the %" PRId64 " checkpoints can be used (move them away to start anew)",
                      c->folder, count);
            st = FSFM_ERR_FORMAT;
        }
    }
    free(steps);
    return st;
}
