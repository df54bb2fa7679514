/* SPDX-License-Identifier: Apache-2.0
 * io/chart.h - charts of means and spreads over a few named values, written as PNG. */
#ifndef FSFM_IO_CHART_H
#define FSFM_IO_CHART_H

#include "core/base/status.h"

enum { FSFM_CHART_SERIES_MAX = 8 };

typedef struct fsfm_chart fsfm_chart;
/* x_title: what the labels are values of; they stand at even distances. */
FSFM_MUST_USE
fsfm_status fsfm_chart_create(const char *title, const char *x_title, const char *y_title, int label_count,
                              const char *const *labels, fsfm_chart **out, fsfm_error *err);
/* A new line, with a colour of its own; at most FSFM_CHART_SERIES_MAX. "": not in the legend. */
int fsfm_chart_add_series(fsfm_chart *chart, const char *name);
/* Its mean at a label, and how far the bar goes up and down from it (NAN: no bar). NAN: a gap. */
void fsfm_chart_set(fsfm_chart *chart, int series, int label, double mean, double spread);
/* A small dot besides: one of the values behind a mean. */
FSFM_MUST_USE
fsfm_status fsfm_chart_add_dot(fsfm_chart *chart, int series, int label, double value, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_chart_write(const fsfm_chart *chart, const char *path, fsfm_error *err);
void fsfm_chart_free(fsfm_chart **chart); /* accepts NULL in *chart */
#endif
