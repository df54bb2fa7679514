/* SPDX-License-Identifier: Apache-2.0
 * jobs/settings.h - a configuration: YAML file and key=value overrides -> each library's option struct. */
#ifndef FSFM_JOBS_SETTINGS_H
#define FSFM_JOBS_SETTINGS_H

#include "core/device/device.h"
#include "core/mask/mask_options.h"
#include "core/model/model_options.h"
#include "io/data_options.h"
#include "mpi/train_loop.h"
#include "mpi/train_options.h"

/* The keys `run.*`. */
typedef struct {
    char dir[FSFM_TEXT_SIZE];
    int64_t seed;
    fsfm_device_kind device;
    int64_t threads;       /* FSFM_AUTO: processors of the node / ranks on it */
    double hang_timeout_s; /* 0: off */
    fsfm_health_mode health;
} fsfm_run_options;

typedef struct {
    fsfm_run_options run;
    fsfm_model_options model;
    fsfm_data_options data;
    fsfm_mask_options mask;
    fsfm_train_options train;
} fsfm_settings;

/* One library's part: its table and where its struct lies in fsfm_settings. */
typedef struct {
    const fsfm_option *table;
    const int *count; /* rows of the table */
    size_t offset;
} fsfm_settings_part;
extern const fsfm_settings_part fsfm_settings_parts[]; /* in the order in which they are listed */
extern const int fsfm_settings_part_count;

/* The training job that settings describe; borrows them. What a command may add (folder, texts, callbacks) is
 * empty. */
fsfm_train_job fsfm_settings_job(const fsfm_settings *settings);

/* Finds a key; NULL if there is none. *owner gets the struct within settings. nearest, where not NULL, gets
 * the known key most like it. */
const fsfm_option *fsfm_settings_find(fsfm_settings *settings, const char *key, void **owner,
                                      const char **nearest);

/* Reads file (a path, or the name of one in configs/ beside the program: "pretrain_vit_b16"), applies
 * overrides ("key=value") in order, resolves the preset and checks combinations. Errors are FSFM_ERR_ARG and
 * read "FILE:LINE:COLUMN: key: expected ..., found ..." or "argument N: key: ...", an unknown key names the
 * nearest one. warning gets one line about what is allowed but odd (warm-up >= epochs), else "". */
FSFM_MUST_USE
fsfm_status fsfm_settings_load(const char *file, int override_count, char *const *overrides,
                               fsfm_settings *out, char warning[256], fsfm_error *err);
/* An option of a command that stands for a key. */
typedef struct {
    const char *option, *key, *value; /* "--preset", "model.preset", "vit_s16" */
} fsfm_settings_word;
/* As fsfm_settings_load(), with words between the file and the overrides: each is a known key's value from
 * elsewhere, and option, which names the place ("sweep.yaml:4:16: mask.ratio"), begins its messages. */
FSFM_MUST_USE
fsfm_status fsfm_settings_load_words(const char *file, const fsfm_settings_word *words, int word_count,
                                     int override_count, char *const *overrides, fsfm_settings *out,
                                     char warning[256], fsfm_error *err);
/* The same without a file: the defaults, changed by words. Errors read "--preset: expected ..., found ...".
 */
FSFM_MUST_USE
fsfm_status fsfm_settings_from_options(const fsfm_settings_word *words, int count, fsfm_settings *out,
                                       fsfm_error *err);
/* The resolved configuration as YAML, every key with its value; an owned string. Reading it gives the same
 * settings. */
FSFM_MUST_USE
fsfm_status fsfm_settings_write(const fsfm_settings *settings, char **yaml, fsfm_error *err);
/* Compares with a configuration written by fsfm_settings_write(): FSFM_ERR_ARG naming key, old and new value
 * if a key differs that may not change on resume. reduction exact: train.micro_batch may not change either.
 */
FSFM_MUST_USE
fsfm_status fsfm_settings_compare(const fsfm_settings *settings, const char *old_yaml, fsfm_error *err);
#endif
