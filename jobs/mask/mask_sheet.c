/* SPDX-License-Identifier: Apache-2.0
 * The contact sheet of `fsfm mask`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/pictures.h"
#include "jobs/mask/mask_survey.h"

enum { ROWS_MAX = 6, WIDTH_MAX = 3200, CELL_MIN = 64, ID_CHARACTERS = 20 };

typedef struct {
    const fsfm_mask_survey *survey;
    fsfm_sheet *sheet;
    fsfm_stored_sample sample;
    uint8_t *image, *painted; /* (size, size, 3) */
} sheet_work;

/* The last characters of the id: a long one differs at its end. */
static fsfm_status caption_row(sheet_work *work, int row, int64_t index, fsfm_error *err)
{
    char *id = NULL;
    FSFM_TRY(fsfm_dataset_id(work->survey->dataset, index, &id, err));
    const size_t length = strlen(id);
    fsfm_sheet_row_caption(work->sheet, row, length > ID_CHARACTERS ? id + length - ID_CHARACTERS : id);
    free(id);
    return FSFM_OK;
}

static fsfm_status read_image(sheet_work *work, int64_t index, fsfm_error *err)
{
    const fsfm_mask_survey *survey = work->survey;
    const size_t pixels = (size_t)survey->size * (size_t)survey->size * 3;
    FSFM_TRY(fsfm_dataset_read(survey->dataset, index, NULL, &work->sample, err));
    if (fsfm_dataset_describe(survey->dataset)->kind.encoding == FSFM_ENCODING_RAW)
        memcpy(work->image, work->sample.image, pixels);
    else if (fsfm_jpeg_decode_square(work->sample.image, work->sample.image_bytes, survey->size, work->image,
                                     err) != FSFM_OK)
        return fsfm_context(err, "%s: sample %lld", fsfm_dataset_folder(survey->dataset), (long long)index);
    return FSFM_OK;
}

static fsfm_status fill_row(sheet_work *work, int row, int64_t index, fsfm_error *err)
{
    const fsfm_mask_survey *survey = work->survey;
    const size_t pixels = (size_t)survey->size * (size_t)survey->size * 3;
    FSFM_TRY(caption_row(work, row, index, err));
    FSFM_TRY(read_image(work, index, err));
    const uint16_t *bits = fsfm_mask_survey_bits(survey, &work->sample);
    int column = 0;
    fsfm_sheet_put(work->sheet, column++, row, work->image, survey->size);
    if (bits) {
        memcpy(work->painted, work->image, pixels);
        fsfm_paint_regions(work->painted, survey->size, survey->patch, bits);
        fsfm_sheet_put(work->sheet, column++, row, work->painted, survey->size);
    }
    for (int c = 0; c < survey->cell_count; c++) {
        uint8_t mask[FSFM_PATCHES_MAX], region[FSFM_PATCHES_MAX];
        fsfm_mask_survey_draw(survey, &survey->cells[c], bits, index, 0, mask, region);
        memcpy(work->painted, work->image, pixels);
        fsfm_paint_mask(work->painted, survey->size, survey->patch, mask, region);
        fsfm_sheet_put(work->sheet, column++, row, work->painted, survey->size);
    }
    return FSFM_OK;
}

static fsfm_status create_sheet(sheet_work *work, int columns, int rows, fsfm_error *err)
{
    const fsfm_mask_survey *survey = work->survey;
    char title[160], text[64];
    int cell = WIDTH_MAX / columns, column = 0;
    if (cell > survey->size) cell = survey->size;
    if (cell < CELL_MIN) cell = CELL_MIN;
    snprintf(title, sizeof title, "masks of %d x %d patches, seed %llu", survey->size / survey->patch,
             survey->size / survey->patch, (unsigned long long)survey->seed);
    FSFM_TRY(fsfm_sheet_create(columns, rows, cell, title, &work->sheet, err));
    fsfm_sheet_column_caption(work->sheet, column++, "image");
    if (survey->has_regions) fsfm_sheet_column_caption(work->sheet, column++, "regions");
    for (int c = 0; c < survey->cell_count; c++) {
        snprintf(text, sizeof text, "%s %g", fsfm_mask_strategy_names[survey->cells[c].strategy],
                 survey->cells[c].ratio);
        fsfm_sheet_column_caption(work->sheet, column++, text);
    }
    return FSFM_OK;
}

fsfm_status fsfm_mask_survey_sheet(const fsfm_mask_survey *survey, const char *path, fsfm_error *err)
{
    const int rows = survey->samples < ROWS_MAX ? (int)survey->samples : ROWS_MAX;
    const int columns = 1 + survey->has_regions + survey->cell_count;
    const size_t pixels = (size_t)survey->size * (size_t)survey->size * 3;
    sheet_work work = {.survey = survey, .image = malloc(pixels), .painted = malloc(pixels)};
    fsfm_status st = FSFM_OK;
    if (!work.image || !work.painted)
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory for a picture of %d pixels a side", path,
                       survey->size);
    if (st == FSFM_OK) st = create_sheet(&work, columns, rows, err);
    for (int row = 0; st == FSFM_OK && row < rows; row++)
        st = fill_row(&work, row, fsfm_mask_survey_index(survey, row * survey->samples / rows), err);
    if (st == FSFM_OK) st = fsfm_sheet_write(work.sheet, path, err);
    fsfm_sheet_free(&work.sheet);
    fsfm_stored_sample_free(&work.sample);
    free(work.image);
    free(work.painted);
    return st;
}
