/* SPDX-License-Identifier: Apache-2.0
 * jobs/mask/mask_survey.h - strategies x ratios drawn over a dataset: counted for every sample, pictured for
 * a few. */
#ifndef FSFM_JOBS_MASK_SURVEY_H
#define FSFM_JOBS_MASK_SURVEY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/mask/statistics.h"
#include "core/mask/strategy.h"
#include "io/dataset.h"

typedef struct {
    fsfm_mask_strategy strategy;
    double ratio;
    int budget; /* patches removed */
    fsfm_mask_statistics statistics;
} fsfm_mask_cell;

typedef struct {
    fsfm_dataset *dataset; /* borrowed */
    bool has_regions;
    int size, patch, patches; /* pixels of an image and of a patch; patches of an image */
    int64_t samples, draws;   /* samples spread evenly over the dataset; draws of each */
    uint64_t seed;
    fsfm_mask_cell *cells; /* (cell_count), owned by the caller */
    int cell_count;
} fsfm_mask_survey;

/* Takes size, patch and has_regions from the dataset: patches of 16 pixels, or of 14 where 16 does not divide
 * the size. */
FSFM_MUST_USE
fsfm_status fsfm_mask_survey_describe(fsfm_mask_survey *survey, fsfm_error *err);
/* The index of sample number i < samples. */
int64_t fsfm_mask_survey_index(const fsfm_mask_survey *survey, int64_t i);
/* The region bits of a stored sample in patches of the survey; NULL where the dataset has none. */
const uint16_t *fsfm_mask_survey_bits(const fsfm_mask_survey *survey, const fsfm_stored_sample *sample);
/* The mask of a cell, sample and draw; of nothing else. Returns the covered
 * region. */
int fsfm_mask_survey_draw(const fsfm_mask_survey *survey, const fsfm_mask_cell *cell, const uint16_t *bits,
                          int64_t index, int64_t draw, uint8_t *mask, uint8_t *region);
/* Draws everything and fills the cells' statistics, which do not depend on threads. Fails as the first sample
 * in order that cannot be read does. */
FSFM_MUST_USE
fsfm_status fsfm_mask_survey_run(fsfm_mask_survey *survey, int threads, fsfm_error *err);
/* Writes the contact sheet: rows of samples; the image, its regions, then each cell's first draw. */
FSFM_MUST_USE
fsfm_status fsfm_mask_survey_sheet(const fsfm_mask_survey *survey, const char *path, fsfm_error *err);
#endif
