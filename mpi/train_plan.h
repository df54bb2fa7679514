/* SPDX-License-Identifier: Apache-2.0
 * mpi/train_plan.h - what a run would take, from its configuration: the shape of its steps and its memory by
 * part, chosen by the very functions that the run calls. */
#ifndef FSFM_MPI_TRAIN_PLAN_H
#define FSFM_MPI_TRAIN_PLAN_H

#include "mpi/train_loop.h"

/* Where the memory of a rank goes. */
typedef enum {
    FSFM_MEMORY_PARAMETERS, /* and the constant tables beside them */
    FSFM_MEMORY_GRADIENTS,
    FSFM_MEMORY_MOMENTS,
    FSFM_MEMORY_TARGET, /* and its features, where they are kept */
    FSFM_MEMORY_ACTIVATIONS,
    FSFM_MEMORY_BATCH,      /* losses, keys, copies of a micro-batch */
    FSFM_MEMORY_EXCHANGE,   /* the sum of gradients over ranks */
    FSFM_MEMORY_READER,     /* batches read ahead, tables of the shards */
    FSFM_MEMORY_CHECKPOINT, /* rank 0: the snapshot that is written in the background */
    FSFM_MEMORY_EVALUATION, /* its batches, or a picture being drawn */
    FSFM_MEMORY_CODE,       /* program and libraries, with what they hold themselves; threads */
    FSFM_MEMORY_PARTS
} fsfm_memory_part;
const char *fsfm_memory_part_name(fsfm_memory_part part); /* "parameters", ... */

/* Bytes at the moment when a rank has most. */
typedef struct {
    uint64_t part[FSFM_MEMORY_PARTS], total;
} fsfm_rank_memory;

typedef struct {
    const fsfm_train_job *job; /* borrowed; run_dir is not looked at */
    int ranks;
    int node_ranks;    /* of them on a machine, whose memory and processors they share; 0: all */
    int64_t samples;   /* of the training set, where it is not there yet; 0: data.path is opened */
    bool is_elsewhere; /* on machines that are not like this one (GPUs): its device is not looked for */
} fsfm_train_plan_setup;

typedef struct {
    int ranks, threads; /* threads of a rank */
    int processors;     /* of this machine */
    char device[96];
    fsfm_precision precision; /* what is computed in, which may not be what was asked for */
    int64_t local_batch, micro_batch, micro_count;
    int64_t largest_micro_batch; /* images with which a rank still fits its part of this machine; 0: none */
    int64_t samples, steps_per_epoch, steps; /* samples: of an epoch; steps: until the run ends */
    int64_t dropped;                         /* samples that an epoch leaves out */
    double lr_peak;
    int64_t warmup_steps;
    int64_t shards;             /* files of the training set; 0: not there yet */
    int64_t kept;               /* patches of an image that the online network sees */
    fsfm_recompute recompute;   /* auto chosen */
    bool keeps_features;        /* the target's are computed in the first epoch alone */
    int64_t parameters;         /* trained numbers */
    int64_t encoder_parameters; /* of them */
    int64_t target_parameters;  /* of a target with weights of its own, else 0 */
    uint64_t checkpoint_bytes;
    int64_t checkpoints_kept;       /* files at the moment of most, with the one being written */
    fsfm_rank_memory first, others; /* rank 0, and each other rank */
    uint64_t machine_bytes;
} fsfm_train_plan;

/* Collective. Fails as the run itself would where its shape cannot be. */
FSFM_MUST_USE
fsfm_status fsfm_train_plan_make(fsfm_comm *comm, const fsfm_train_plan_setup *setup, fsfm_log *log,
                                 fsfm_train_plan *out, fsfm_error *err);
#endif
