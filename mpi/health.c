/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/health.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/median.h"

static const struct {
    const char *name, *unit;
    double least; /* share of the median */
} parts[FSFM_HEALTH_PARTS] = {
    {"products", "GFLOP/s", 0.8},
    {"memory", "GB/s", 0.7},
    {"reading", "samples/s", 0.25},
    {"exchange", "GB/s", 0.5},
};

const char *fsfm_health_part_name(fsfm_health_part part)
{
    return parts[part].name;
}

const char *fsfm_health_part_unit(fsfm_health_part part)
{
    return parts[part].unit;
}

void fsfm_health_report_free(fsfm_health_report *report)
{
    free(report->outliers);
    *report = (fsfm_health_report){.crowded = -1};
}

/* Of the ranks that have the figure. sorted: scratch (ranks). */
static double median_of(const fsfm_health_rates *all, int ranks, int part, double *sorted)
{
    int count = 0;
    for (int r = 0; r < ranks; r++)
        if (!isnan(all[r].rate[part])) sorted[count++] = all[r].rate[part];
    return count > 0 ? fsfm_median(sorted, count) : NAN;
}

static void judge_part(const fsfm_health_rates *all, int ranks, int part, fsfm_health_report *out)
{
    const double median = out->median[part];
    for (int r = 0; r < ranks; r++)
        if (all[r].rate[part] < parts[part].least * median)
            out->outliers[out->count++] =
                (fsfm_health_outlier){r, (fsfm_health_part)part, all[r].rate[part], median};
}

fsfm_status fsfm_health_judge(const fsfm_health_rates *all, int ranks, fsfm_health_report *out,
                              fsfm_error *err)
{
    double *sorted = calloc((size_t)ranks, sizeof *sorted);
    *out = (fsfm_health_report){.crowded = -1};
    out->outliers = calloc((size_t)ranks * FSFM_HEALTH_PARTS, sizeof *out->outliers);
    if (!sorted || !out->outliers) {
        free(sorted);
        fsfm_health_report_free(out);
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the rates of %d ranks", ranks);
    }
    for (int r = ranks - 1; r >= 0; r--)
        if (all[r].is_crowded) out->crowded = r;
    for (int part = 0; part < FSFM_HEALTH_PARTS; part++) {
        out->median[part] = median_of(all, ranks, part, sorted);
        if (out->crowded < 0) judge_part(all, ranks, part, out);
    }
    free(sorted);
    return FSFM_OK;
}

static fsfm_status measure_all(fsfm_comm *comm, fsfm_health_measure_fn measure, void *context, int round,
                               fsfm_health_rates *all, fsfm_error *err)
{
    fsfm_health_rates mine;
    memset(&mine, 0, sizeof mine); /* all bytes travel */
    FSFM_TRY(fsfm_comm_agree(comm, measure(context, round, &mine, err), err));
    fsfm_comm_gather_all(comm, &mine, (int64_t)sizeof mine, all);
    return FSFM_OK;
}

static void keep_better(fsfm_health_rates *all, const fsfm_health_rates *again, int ranks)
{
    for (int r = 0; r < ranks; r++)
        for (int part = 0; part < FSFM_HEALTH_PARTS; part++)
            all[r].rate[part] = fmax(all[r].rate[part], again[r].rate[part]);
}

fsfm_status fsfm_health_find(fsfm_comm *comm, fsfm_health_measure_fn measure, void *context,
                             fsfm_health_report *out, fsfm_error *err)
{
    const int ranks = fsfm_comm_size(comm);
    fsfm_health_rates *all = calloc(2 * (size_t)ranks, sizeof *all), *again = all + ranks;
    fsfm_status st =
        all ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the rates of %d ranks", ranks);
    *out = (fsfm_health_report){.crowded = -1};
    st = fsfm_comm_agree(comm, st, err);
    if (st == FSFM_OK) st = measure_all(comm, measure, context, 0, all, err);
    if (st == FSFM_OK) st = fsfm_comm_agree(comm, fsfm_health_judge(all, ranks, out, err), err);
    if (st == FSFM_OK && out->count > 0) {
        fsfm_health_report_free(out);
        st = measure_all(comm, measure, context, 1, again, err);
        keep_better(all, again, ranks);
        if (st == FSFM_OK) st = fsfm_comm_agree(comm, fsfm_health_judge(all, ranks, out, err), err);
    }
    if (st != FSFM_OK) fsfm_health_report_free(out);
    free(all);
    return st;
}
