/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep/sweep_file.h - SWEEP.yaml as it stands there: keys and their values, with places. */
#ifndef FSFM_JOBS_SWEEP_SWEEP_FILE_H
#define FSFM_JOBS_SWEEP_SWEEP_FILE_H

#include "core/base/status.h"
#include "io/yaml.h"

/* One key with what was given for it. */
typedef struct {
    char *key, *place;          /* "mask.ratio", "FILE:4:3: mask.ratio" */
    const fsfm_yaml_node *node; /* a value; of a grid: a list of values */
} fsfm_sweep_entry;

typedef struct {
    int count;
    fsfm_sweep_entry *entry;
} fsfm_sweep_entries;

typedef struct {
    fsfm_yaml *yaml; /* owns the nodes */
    const char *file;
    char *base;              /* resolved: beside the sweep's file, or else as it stands */
    const char *metric;      /* "loss" if none is given */
    fsfm_sweep_entries set;  /* for all runs */
    fsfm_sweep_entries grid; /* count 0: a list */
    int list_count;
    fsfm_sweep_entries *list; /* (list_count) */
    int *list_line;
} fsfm_sweep_file;

/* file is borrowed. All keys in it are known, and every one stands once in a run; values are unchecked. */
FSFM_MUST_USE
fsfm_status fsfm_sweep_file_read(const char *file, fsfm_sweep_file *out, fsfm_error *err);
void fsfm_sweep_file_free(fsfm_sweep_file *file); /* accepts zeros */
/* A value as one line of YAML flow text: what key=value would have behind the sign. Owned. */
FSFM_MUST_USE
fsfm_status fsfm_sweep_value_text(const fsfm_yaml_node *node, char **out, fsfm_error *err);
#endif
