/* SPDX-License-Identifier: Apache-2.0
 * mpi/train_data.h - the datasets of a run: training sources, what is held out for evaluation, normalisation,
 * masks. */
#ifndef FSFM_MPI_TRAIN_DATA_H
#define FSFM_MPI_TRAIN_DATA_H

#include "io/reader.h"
#include "mpi/mask_feed.h"
#include "mpi/train_loop.h"

typedef struct {
    const fsfm_train_job *job; /* borrowed */
    fsfm_dataset *sets[FSFM_SOURCES_MAX];
    int count;
    fsfm_sampler *sampler;
    fsfm_mask_feed feed;
    int64_t samples; /* N: of an epoch */

    int64_t eval_samples;       /* 0: no evaluation */
    fsfm_dataset *eval_set;     /* of eval.path, else NULL */
    fsfm_sampler *eval_sampler; /* of it; NULL: the held-out samples of sampler */
    fsfm_mask_feed eval_feed;

    double mean[3], std[3];
    char checksums[FSFM_TEXT_SIZE];
} fsfm_train_data;

/* Collective. Opens everything that the job names and checks that it goes together. The caller owns *data and
 * ends it with fsfm_train_data_close(), also after a failure. */
FSFM_MUST_USE
fsfm_status fsfm_train_data_open(fsfm_comm *comm, const fsfm_train_job *job, fsfm_train_data *data,
                                 fsfm_error *err);
void fsfm_train_data_close(fsfm_train_data *data);
/* A plan for training, or for the held-out samples, that lacks only what share and batches it is for. */
fsfm_reader_plan fsfm_train_data_plan(const fsfm_train_data *data, bool held_out);
/* The folder of a source as damaged samples tell it: that of training, or of eval.path behind them. */
const char *fsfm_train_data_folder(const fsfm_train_data *data, int source);
#endif
