/* SPDX-License-Identifier: Apache-2.0
 * mpi/train_state.h - what the files of the train loop share. Not for others. */
#ifndef FSFM_MPI_TRAIN_STATE_H
#define FSFM_MPI_TRAIN_STATE_H

#include "core/model/schedule.h"
#include "io/run_directory.h"
#include "mpi/checkpointer.h"
#include "mpi/environment.h"
#include "mpi/evaluator.h"
#include "mpi/feature_cache.h"
#include "mpi/reduce.h"
#include "mpi/slow_ranks.h"
#include "mpi/stop.h"
#include "mpi/train_data.h"
#include "mpi/watchdog.h"

enum { FSFM_TRAIN_FOUND_MAX = 64 };

/* One step's outcome, equal on all ranks. */
typedef struct {
    fsfm_losses losses;
    fsfm_learner_totals totals;
    double norm, norm_squared, lr, ema_momentum;
    bool is_bad; /* not finite: skipped */
    fsfm_stop_reason stop;
    bool is_given_up; /* at a second signal: nothing of the step has happened */
} fsfm_step_outcome;

/* What all ranks compare at the end of a step: numbers whose maximum counts. Behind them, at the end of a
 * block, is one of each rank. */
enum { FSFM_NOTES = 5 };

/* Each rank's time in the steps of a block (train_ranks.c). */
typedef struct {
    double began_s, began_waited_s; /* of what was not added yet */
    double block_s, block_own_s;    /* in steps; in them, without waiting for others */
    int64_t *notes;                 /* (FSFM_NOTES + ranks) */
    double *own_s;                  /* (ranks): in the last block */
    double reduce_wait;             /* in it: share of sums over ranks, mean of all; NAN: not known */
    fsfm_slow_ranks *slow;          /* rank 0 of several */
    fsfm_slow_rank *named;          /* (ranks) */
} fsfm_rank_times;

typedef struct {
    const fsfm_train_job *job;
    fsfm_comm *comm;
    fsfm_log *log;
    int rank, ranks, local_ranks; /* local: on this machine */
    fsfm_watchdog *watchdog;      /* NULL: off */

    fsfm_train_data data;
    fsfm_device *dev;
    fsfm_rank_place *places; /* (ranks) */

    /* The shape of a step. */
    int64_t local_batch, micro_batch, micro_count, eval_batch;
    fsfm_recompute recompute; /* train.recompute, with auto chosen */
    int64_t steps_per_epoch, schedule_steps, end_step;
    fsfm_schedule schedule;

    fsfm_learner *learner;
    fsfm_reduce *reduce;
    fsfm_reader *reader;
    fsfm_batch *batches; /* (micro_count), held during a step */
    int64_t brought;     /* number of the batch that was brought to the device last */
    struct {
        bool is_taken;
        fsfm_batch batch;   /* the first of the next step */
        fsfm_error failure; /* to take it or to bring it */
    } ahead;
    fsfm_bad_sample found[FSFM_TRAIN_FOUND_MAX]; /* damaged ones in the step's batches */
    int64_t found_count;
    fsfm_learner_sums *slice_sums; /* exact: (micro_count) */
    float *keys;                   /* (local_batch, projection_size): InfoNCE, and with features */
    float *all_keys;               /* InfoNCE: (global_batch, projection_size) */

    fsfm_feature_cache *features; /* of the target; NULL: computed every time */
    struct {
        int64_t computed, recalled; /* images of this rank, since the start of this process */
    } targets;

    fsfm_checkpoint_counters at; /* where the run is */
    fsfm_bad_samples bad;
    fsfm_error pending; /* a failure of this rank that the next step tells the others */

    /* rank 0 */
    fsfm_run_directory *run;
    fsfm_checkpointer *checkpoints;
    int64_t saved_step; /* of the last checkpoint begun or loaded, -1 */
    fsfm_checkpoint_result saved;
    bool metrics_failed, is_graph_told;

    fsfm_stop stop;
    double step_s;        /* of the last step */
    fsfm_comm_vote *vote; /* on giving up at once; NULL: never */
    int64_t vote_every;   /* parts of a step between two questions; 0: none are put in it */
    fsfm_rank_times times;
    struct {
        double since_s, waited_s; /* when the block of steps began, and the reader's waiting then */
        int64_t images;
        double run_since_s;
        int64_t run_images;
    } speed;
} fsfm_train;

/* All collective unless said otherwise. */

/* train_setup.c: opens data, device, learner and the rest up to the point where the state has to be loaded.
 */
FSFM_MUST_USE
fsfm_status fsfm_train_setup(fsfm_train *train, fsfm_error *err);
/* Its parts behind the data: the device; the shape of a step and of the run, not collective but for
 * train.micro_batch auto; learner and reduction. */
FSFM_MUST_USE
fsfm_status fsfm_train_open_device(fsfm_train *train, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_train_shape(fsfm_train *train, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_train_open_learner(fsfm_train *train, fsfm_error *err);
/* Not collective: what the learner and the reader are opened with, once the shape is known. */
fsfm_learner_setup fsfm_train_learner_setup(const fsfm_train *train, int64_t micro_batch);
fsfm_reader_plan fsfm_train_reader_plan(const fsfm_train *train);
/* The reader, from step at.step on. */
FSFM_MUST_USE
fsfm_status fsfm_train_open_reader(fsfm_train *train, fsfm_error *err);
void fsfm_train_close(fsfm_train *train);

/* train_state.c: loads the newest checkpoint, or starts anew. */
FSFM_MUST_USE
fsfm_status fsfm_train_load(fsfm_train *train, bool *is_resumed, fsfm_error *err);
/* Whether a checkpoint is due when so many steps are done, whatever else may call for one. */
bool fsfm_train_saves_after(const fsfm_train *train, int64_t steps);
/* Not collective (rank 0): begins to write a checkpoint of the state. */
FSFM_MUST_USE
fsfm_status fsfm_train_save(fsfm_train *train, bool is_best, fsfm_error *err);
/* Not collective: tells of writes that have ended; waits for them if asked. Returns the status of the last
 * one. */
fsfm_status fsfm_train_report_saved(fsfm_train *train, bool waits, fsfm_error *err);

/* train_state.c: random weights by the run's seed (or model.init's), the target a copy of them. values:
 * scratch of total_floats. */
FSFM_MUST_USE
fsfm_status fsfm_train_start_anew(fsfm_train *train, float *values, fsfm_error *err);

/* train_targets.c, once the weights are there: opens train->features where target features never change
 * and there is room for those of all samples. */
FSFM_MUST_USE
fsfm_status fsfm_train_open_features(fsfm_train *train, fsfm_error *err);
/* Not collective: of how many samples they are kept; all or none, as a micro-batch is
 * hardly ever known as a whole if a part of the samples never is. */
int64_t fsfm_train_kept_features(const fsfm_train *train);

/* train_health.c: measures all ranks before the first step (run.health); fails with FSFM_ERR_DEVICE where the
 * run is to stop. */
FSFM_MUST_USE
fsfm_status fsfm_train_check_health(fsfm_train *train, fsfm_error *err);

/* train_step.c: one step from the reader's next batches. */
FSFM_MUST_USE
fsfm_status fsfm_train_step(fsfm_train *train, fsfm_step_outcome *out, fsfm_error *err);
/* Tells, at the end of the steps, how many target features were computed and how many were known. */
void fsfm_train_tell_targets(fsfm_train *train);
/* Adds a batch's masked patches and those of covered regions. */
void fsfm_train_count_patches(const fsfm_train *train, const fsfm_batch *batch, int64_t *masked,
                              int64_t *region);
/* The computing in it, on train->batches: gradients, losses and norm of the global batch, unless the step is
 * given up. out->totals is in, the rest but stop out. Ranks that fail return what they failed with: to be
 * agreed upon. */
FSFM_MUST_USE
fsfm_status fsfm_train_compute(fsfm_train *train, fsfm_step_outcome *out, fsfm_error *err);
/* Not collective: then clip, AdamW and EMA. A failure is left in train->pending. */
void fsfm_train_update(fsfm_train *train, const fsfm_step_outcome *out);
/* Adds damaged samples that this rank met to the run's list, tells of new ones, fails if they are too many.
 */
FSFM_MUST_USE
fsfm_status fsfm_train_note_bad(fsfm_train *train, const fsfm_bad_sample *found, int64_t count, int64_t step,
                                fsfm_error *err);

/* train_ranks.c, not collective. */
FSFM_MUST_USE
fsfm_status fsfm_train_open_ranks(fsfm_train *train, fsfm_error *err);
void fsfm_train_close_ranks(fsfm_train *train);
/* Whether step is the last of a block, behind which there is a record. */
bool fsfm_train_ends_block(const fsfm_train *train, int64_t step);
/* Around a step; and in it, before and after notes are compared: put returns how many numbers there are
 * behind the first FSFM_NOTES, take names slow ranks. */
void fsfm_train_begin_times(fsfm_train *train);
int fsfm_train_put_times(fsfm_train *train);
void fsfm_train_take_times(fsfm_train *train);
void fsfm_train_end_times(fsfm_train *train);

/* train_record.c: not collective, rank 0; does nothing elsewhere. */
void fsfm_train_log_header(fsfm_train *train);
FSFM_MUST_USE
fsfm_status fsfm_train_write_environment(fsfm_train *train, fsfm_error *err);
void fsfm_train_record_step(fsfm_train *train, int64_t step, const fsfm_step_outcome *outcome);
void fsfm_train_record_evaluation(fsfm_train *train, const fsfm_evaluation *evaluation, bool is_best);
void fsfm_train_record_start(fsfm_train *train, bool is_resumed);
/* Images, over all ranks, whose target features were computed or known, since this process started. */
void fsfm_train_record_targets(fsfm_train *train, int64_t computed, int64_t recalled);
/* A rank that is an outlier before the first step. */
void fsfm_train_record_outlier(fsfm_train *train, const fsfm_health_outlier *outlier);
/* A rank that took so many times the median of all ranks for its own part of steps. */
void fsfm_train_record_slow(fsfm_train *train, int rank, double times);
/* An event without more to it than a text (may be NULL) named detail. */
void fsfm_train_record_event(fsfm_train *train, const char *event, int64_t step, const char *detail);
/* metrics.jsonl could not be written: told once. */
void fsfm_train_end_record(fsfm_train *train);
#endif
