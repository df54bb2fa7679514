/* SPDX-License-Identifier: Apache-2.0
 * io/dataset.h - a packed dataset: OUT/dataset.yaml and its shards, as one array of samples in id order. */
#ifndef FSFM_IO_DATASET_H
#define FSFM_IO_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "io/shard.h"

typedef struct {
    char file[64]; /* "shard-00000.h5" */
    int64_t count;
    uint64_t xxh3; /* fsfm_shard_checksum() */
} fsfm_dataset_shard;

/* dataset.yaml, whole. */
typedef struct {
    fsfm_shard_kind kind;
    int64_t count;
    double mean[3], std[3]; /* of pixels / 255 */
    fsfm_dataset_shard *shards;
    int64_t shard_count;
    char **quarantine; /* "path: reason" */
    int64_t quarantine_count;
    uint64_t xxh3; /* over all the above but quarantine: the dataset's checksum, kept by checkpoints */
} fsfm_dataset_card;

/* Computes mean and std (population) from sums. */
void fsfm_dataset_statistics(const fsfm_pixel_sums *sums, double mean[3], double std[3]);
/* Fills in xxh3 and writes folder/dataset.yaml. */
FSFM_MUST_USE
fsfm_status fsfm_dataset_card_write(const char *folder, fsfm_dataset_card *card, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_dataset_card_read(const char *folder, fsfm_dataset_card *out, fsfm_error *err);
void fsfm_dataset_card_free(fsfm_dataset_card *card);

typedef struct fsfm_dataset fsfm_dataset;
/* Reads dataset.yaml; opens no shard. The caller owns *out. Thread-safe after that. */
FSFM_MUST_USE
fsfm_status fsfm_dataset_open(const char *folder, fsfm_dataset **out, fsfm_error *err);
void fsfm_dataset_close(fsfm_dataset **dataset);
const fsfm_dataset_card *fsfm_dataset_describe(const fsfm_dataset *dataset);
const char *fsfm_dataset_folder(const fsfm_dataset *dataset);
/* Opens shards first, first + stride, ...: with (rank, ranks) the start-up check is shared; other shards are
 * opened when a sample of theirs is first asked for. Checks each against dataset.yaml (kind, count). */
FSFM_MUST_USE
fsfm_status fsfm_dataset_check_shards(fsfm_dataset *dataset, int64_t first, int64_t stride, fsfm_error *err);
/* Memory for what an open dataset of count such samples keeps of them. */
uint64_t fsfm_dataset_memory_bytes(const fsfm_shard_kind *kind, int64_t count);
/* Number of shard files opened so far. */
int64_t fsfm_dataset_opens(const fsfm_dataset *dataset);
/* Sample index in id order, as fsfm_shard_pread(). Messages name shard and place. */
FSFM_MUST_USE
fsfm_status fsfm_dataset_read(fsfm_dataset *dataset, int64_t index, uint8_t *image_into,
                              fsfm_stored_sample *out, fsfm_error *err);
/* Where sample index lies; out->fd stays the dataset's. */
FSFM_MUST_USE
fsfm_status fsfm_dataset_locate(fsfm_dataset *dataset, int64_t index, fsfm_stored_place *out,
                                fsfm_error *err);
/* The id of a sample (slow: asks HDF5); an owned string. */
FSFM_MUST_USE
fsfm_status fsfm_dataset_id(fsfm_dataset *dataset, int64_t index, char **out, fsfm_error *err);
#endif
