/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/mask/mask_survey.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/base/thread_pool.h"

fsfm_status fsfm_mask_survey_describe(fsfm_mask_survey *survey, fsfm_error *err)
{
    const fsfm_shard_kind *kind = &fsfm_dataset_describe(survey->dataset)->kind;
    survey->has_regions = kind->has_regions;
    survey->size = kind->size;
    survey->patch = kind->size % 16 == 0 ? 16 : 14;
    const int side = kind->size / survey->patch;
    survey->patches = side * side;
    if (kind->size % survey->patch != 0 || survey->patches > FSFM_PATCHES_MAX)
        return fsfm_fail(
            err, FSFM_ERR_ARG,
            "%s: images have %d pixels a side, expected a multiple of 16 or 14 of at most %d patches",
            fsfm_dataset_folder(survey->dataset), kind->size, FSFM_PATCHES_MAX);
    return FSFM_OK;
}

int64_t fsfm_mask_survey_index(const fsfm_mask_survey *survey, int64_t i)
{
    const int64_t count = fsfm_dataset_describe(survey->dataset)->count;
    return count / survey->samples * i + count % survey->samples * i / survey->samples;
}

const uint16_t *fsfm_mask_survey_bits(const fsfm_mask_survey *survey, const fsfm_stored_sample *sample)
{
    return survey->patch == 16 ? sample->regions_p16 : sample->regions_p14;
}

int fsfm_mask_survey_draw(const fsfm_mask_survey *survey, const fsfm_mask_cell *cell, const uint16_t *bits,
                          int64_t index, int64_t draw, uint8_t *mask, uint8_t *region)
{
    fsfm_random random = fsfm_random_stream(survey->seed, FSFM_RANDOM_MASK, (uint32_t)draw, (uint64_t)index);
    return fsfm_mask_draw(cell->strategy, survey->patches, cell->budget, bits, FSFM_REGION_NONE, &random,
                          mask, region);
}

/* What one thread counts and reads into. */
typedef struct {
    fsfm_stored_sample sample;
    fsfm_mask_statistics *statistics; /* (cells) */
} worker;

typedef struct {
    const fsfm_mask_survey *survey;
    worker *workers;
    pthread_mutex_t lock;
    int64_t failed_at; /* the first sample that failed so far; samples behind it are skipped */
    fsfm_error err;
} survey_run;

static int64_t first_failure(survey_run *run)
{
    pthread_mutex_lock(&run->lock);
    const int64_t i = run->failed_at;
    pthread_mutex_unlock(&run->lock);
    return i;
}

static void note_failure(survey_run *run, int64_t i, const fsfm_error *err)
{
    pthread_mutex_lock(&run->lock);
    if (i < run->failed_at) {
        run->failed_at = i;
        run->err = *err;
    }
    pthread_mutex_unlock(&run->lock);
}

static void survey_sample(void *context, int64_t i, int thread)
{
    survey_run *run = context;
    const fsfm_mask_survey *survey = run->survey;
    worker *me = &run->workers[thread];
    const int64_t index = fsfm_mask_survey_index(survey, i);
    fsfm_error err;
    if (i > first_failure(run)) return;
    if (fsfm_dataset_read(survey->dataset, index, NULL, &me->sample, &err) != FSFM_OK) {
        note_failure(run, i, &err);
        return;
    }
    const uint16_t *bits = fsfm_mask_survey_bits(survey, &me->sample);
    for (int c = 0; c < survey->cell_count; c++)
        for (int64_t draw = 0; draw < survey->draws; draw++) {
            uint8_t mask[FSFM_PATCHES_MAX], region[FSFM_PATCHES_MAX];
            const int covered =
                fsfm_mask_survey_draw(survey, &survey->cells[c], bits, index, draw, mask, region);
            fsfm_mask_statistics_add(&me->statistics[c], survey->patches, bits, mask, covered);
        }
}

static void free_workers(worker *workers, int threads)
{
    for (int thread = 0; workers && thread < threads; thread++) {
        fsfm_stored_sample_free(&workers[thread].sample);
        free(workers[thread].statistics);
    }
    free(workers);
}

static worker *make_workers(const fsfm_mask_survey *survey, int threads)
{
    worker *workers = calloc((size_t)threads, sizeof *workers);
    bool is_complete = workers != NULL;
    for (int thread = 0; is_complete && thread < threads; thread++) {
        workers[thread].statistics = calloc((size_t)survey->cell_count, sizeof(fsfm_mask_statistics));
        is_complete = workers[thread].statistics != NULL;
    }
    if (is_complete) return workers;
    free_workers(workers, threads);
    return NULL;
}

fsfm_status fsfm_mask_survey_run(fsfm_mask_survey *survey, int threads, fsfm_error *err)
{
    survey_run run = {.survey = survey, .failed_at = INT64_MAX};
    fsfm_thread_pool *pool = NULL;
    fsfm_status st = FSFM_OK;
    pthread_mutex_init(&run.lock, NULL);
    if (!(run.workers = make_workers(survey, threads)))
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the statistics of %d masks a sample",
                       survey->cell_count);
    if (st == FSFM_OK) st = fsfm_thread_pool_start(threads, &pool, err);
    if (st == FSFM_OK) {
        fsfm_thread_pool_run(pool, survey->samples, survey_sample, &run);
        for (int thread = 0; thread < threads; thread++)
            for (int c = 0; c < survey->cell_count; c++)
                fsfm_mask_statistics_merge(&survey->cells[c].statistics, &run.workers[thread].statistics[c]);
        if (run.failed_at != INT64_MAX) {
            *err = run.err;
            st = err->status;
        }
    }
    fsfm_thread_pool_stop(&pool);
    free_workers(run.workers, threads);
    pthread_mutex_destroy(&run.lock);
    return st;
}
