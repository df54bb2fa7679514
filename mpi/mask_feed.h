/* SPDX-License-Identifier: Apache-2.0
 * mpi/mask_feed.h - joins the reader and the masking strategies: draws the masks of a sample on a reader's
 * thread. What is drawn depends on the seed, the sample and its pass (scope batch: also on its place in the
 * run) alone. */
#ifndef FSFM_MPI_MASK_FEED_H
#define FSFM_MPI_MASK_FEED_H

#include <stdbool.h>

#include "core/mask/mask_options.h"
#include "io/reader.h"

/* Plain data, constant after fsfm_mask_feed_make(): read by all threads of a reader. */
typedef struct {
    fsfm_mask_options options;
    uint64_t seed;
    int size, patch;     /* pixels */
    int patches, budget; /* of an image; removed ones */
    bool is_evaluation; /* fixed masks: purpose "eval mask", pass 0, a region per sample whatever the scope */
} fsfm_mask_feed;

/* Checks the sources against the strategy: one that needs regions needs a dataset with maps. */
FSFM_MUST_USE
fsfm_status fsfm_mask_feed_make(const fsfm_mask_options *options, uint64_t seed, int size, int patch,
                                bool is_evaluation, fsfm_dataset *const *sources, int source_count,
                                fsfm_mask_feed *out, fsfm_error *err);
/* For fsfm_reader_plan.wants_map: region bits are made anew from maps. */
bool fsfm_mask_feed_wants_map(const fsfm_mask_feed *feed);
/* A fsfm_draw_masks_fn; context is the fsfm_mask_feed. */
void fsfm_mask_feed_draw(void *context, const fsfm_sample_ref *ref, const uint16_t *bits, const uint8_t *map,
                         uint8_t *mask, uint8_t *region, uint8_t *target_mask);
#endif
