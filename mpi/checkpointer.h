/* SPDX-License-Identifier: Apache-2.0
 * mpi/checkpointer.h - RUN/checkpoints/: writes checkpoints in the background, keeps the right ones, finds
 * the newest good one. Used by rank 0 alone.
 *
 * A save is: wait() for the one before, fill the buffers of snapshot(), start(). A thread then writes the
 * file, the pointers `latest` and `best` (text files with a name in them) and removes what need not be kept.
 * A write that fails harms nothing that was there. */
#ifndef FSFM_MPI_CHECKPOINTER_H
#define FSFM_MPI_CHECKPOINTER_H

#include "core/base/log.h"
#include "io/run_directory.h"
#include "mpi/checkpoint.h"

typedef struct {
    const char *run_dir;
    fsfm_run_directory *run; /* borrowed: its lock lets files be removed; NULL: nobody else is there */
    const fsfm_parameters *parameters; /* borrowed */
    int64_t floats[FSFM_STATES];
    const char *config;            /* resolved, YAML; copied */
    int64_t keep_last, keep_every; /* newest files, and every so many steps (0: none), that are kept */
} fsfm_checkpointer_setup;

typedef struct fsfm_checkpointer fsfm_checkpointer;
/* Makes the folder, removes temporary files of a killed run, allocates the buffers, starts the thread. */
FSFM_MUST_USE
fsfm_status fsfm_checkpointer_open(const fsfm_checkpointer_setup *setup, fsfm_checkpointer **out,
                                   fsfm_error *err);
void fsfm_checkpointer_close(fsfm_checkpointer **checkpointer); /* waits; accepts NULL */

/* The file that `latest` names or else the newest, and if it is damaged the next newest, is read into the
 * snapshot; damaged ones are told to log in one line each. *found: false if there are no files. Fails if
 * there are some but none is good, and with what accept returns if it says no. */
FSFM_MUST_USE
fsfm_status fsfm_checkpointer_load(fsfm_checkpointer *checkpointer, fsfm_checkpoint_accept_fn accept,
                                   void *context, fsfm_log *log, bool *found, fsfm_error *err);

/* values, counters and bad_samples (owned string) are the caller's to fill while no write is under way. */
fsfm_checkpoint *fsfm_checkpointer_snapshot(fsfm_checkpointer *checkpointer);
void fsfm_checkpointer_start(fsfm_checkpointer *checkpointer, bool is_best);
void fsfm_checkpointer_wait(fsfm_checkpointer *checkpointer);

typedef struct {
    int64_t step;
    fsfm_status status;
    fsfm_error error;
    double seconds;
    uint64_t size_bytes;
    char file[32]; /* "step-00000020.h5" */
} fsfm_checkpoint_result;
/* The outcome of the write that ended since the last call; false if there is none. */
bool fsfm_checkpointer_take_result(fsfm_checkpointer *checkpointer, fsfm_checkpoint_result *out);
/* Seconds that so many more writes take, each as the last one or as its size lets guess, behind the one that
 * is under way. */
double fsfm_checkpointer_seconds(fsfm_checkpointer *checkpointer, int64_t more);
#endif
