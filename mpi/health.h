/* SPDX-License-Identifier: Apache-2.0
 * mpi/health.h - whether all ranks are as fast as each other, looked at before the first step: one slow node
 * makes all wait in every step. Rates are compared with the ranks' median alone, so that no machine has to be
 * known. */
#ifndef FSFM_MPI_HEALTH_H
#define FSFM_MPI_HEALTH_H

#include "mpi/comm.h"

/* What a rank is measured by. A rank is an outlier below this share of the median: products 0.8, memory 0.7,
 * exchange 0.5 (what shares a network is uneven), reading 0.25 (a file that is in the page cache is read many
 * times as fast as one that is not; so reading is told of, but never a reason to stop). */
typedef enum {
    FSFM_HEALTH_PRODUCTS, /* GFLOP/s of a matrix product */
    FSFM_HEALTH_MEMORY,   /* GB/s of a copy, bytes read and written */
    FSFM_HEALTH_READING,  /* samples/s of the dataset */
    FSFM_HEALTH_EXCHANGE, /* GB/s sent to another rank while as much is received; a sum over ranks takes all
                             ranks equally long, and names nobody */
    FSFM_HEALTH_PARTS
} fsfm_health_part;
const char *fsfm_health_part_name(fsfm_health_part part); /* "products" */
const char *fsfm_health_part_unit(fsfm_health_part part); /* "GFLOP/s" */

/* What to do about outliers. */
typedef enum { FSFM_HEALTH_WARN, FSFM_HEALTH_STOP, FSFM_HEALTH_OFF } fsfm_health_mode;

/* One rank. Plain data. */
typedef struct {
    double rate[FSFM_HEALTH_PARTS]; /* NAN: not measured */
    bool is_crowded; /* its threads and those of others share processors: what it measures is chance */
} fsfm_health_rates;

typedef struct {
    int rank;
    fsfm_health_part part;
    double rate, median;
} fsfm_health_outlier;

typedef struct {
    double median[FSFM_HEALTH_PARTS]; /* NAN: of nobody */
    int crowded;                      /* lowest crowded rank, nothing was judged then; -1: none */
    int count;
    fsfm_health_outlier *outliers; /* (count), by part and rank; owned */
} fsfm_health_report;
void fsfm_health_report_free(fsfm_health_report *report);

/* Not collective: medians and outliers of the rates that all ranks have. On failure out is empty. */
FSFM_MUST_USE
fsfm_status fsfm_health_judge(const fsfm_health_rates *all, int ranks, fsfm_health_report *out,
                              fsfm_error *err);

/* Measures this rank, all ranks at the same time; round is 0, then 1. May call what is collective. */
typedef fsfm_status (*fsfm_health_measure_fn)(void *context, int round, fsfm_health_rates *out,
                                              fsfm_error *err);
/* Collective. Where there are outliers all ranks measure once more and the better rate counts, as a short
 * disturbance is no reason to name anybody. All ranks get the same report. */
FSFM_MUST_USE
fsfm_status fsfm_health_find(fsfm_comm *comm, fsfm_health_measure_fn measure, void *context,
                             fsfm_health_report *out, fsfm_error *err);
#endif
