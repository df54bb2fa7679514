/* SPDX-License-Identifier: Apache-2.0
 * jobs/plan/report.h - a forecast for people, and for programs. */
#ifndef FSFM_JOBS_PLAN_REPORT_H
#define FSFM_JOBS_PLAN_REPORT_H

#include "jobs/plan/forecast.h"

void fsfm_forecast_print_text(const fsfm_forecast *forecast);
void fsfm_forecast_print_json(const fsfm_forecast *forecast);

/* What stands behind every figure that has a time in it. */
#define FSFM_FORECAST_BASIS "model, not measured"
/* Bytes of all ranks, where they share this machine. */
double fsfm_forecast_all_ranks_bytes(const fsfm_forecast *forecast);
/* Of the products' peak: a GPU's, or what the library reached here; NAN where no time is known. */
double fsfm_forecast_peak_share(const fsfm_forecast *forecast);
#endif
