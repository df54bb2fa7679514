/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep/table.h - cells of text, printed as aligned columns. */
#ifndef FSFM_JOBS_SWEEP_TABLE_H
#define FSFM_JOBS_SWEEP_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#include "core/base/status.h"

typedef struct {
    int columns, count;
    char **cell;     /* (count), row by row */
    bool is_cut_off; /* there was no memory for a cell */
} fsfm_table;

void fsfm_table_add(fsfm_table *table, const char *fmt, ...) FSFM_PRINTF(2, 3);
/* Left-aligned, two spaces between columns, none behind the last. */
FSFM_MUST_USE
fsfm_status fsfm_table_print(const fsfm_table *table, FILE *stream, fsfm_error *err);
void fsfm_table_free(fsfm_table *table);
#endif
