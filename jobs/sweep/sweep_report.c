/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sweep/sweep_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/sweep/sweep_list.h"

void fsfm_mean_and_spread(const double *value, int count, double *mean, double *sd)
{
    double sum = 0.0, squares = 0.0;
    for (int i = 0; i < count; i++) sum += value[i];
    *mean = count > 0 ? sum / count : NAN;
    for (int i = 0; i < count; i++) squares += (value[i] - *mean) * (value[i] - *mean);
    *sd = count > 1 ? sqrt(squares / (count - 1)) : NAN;
}

static bool differ_in_seed_alone(const fsfm_sweep_report *report, int a, int b)
{
    for (int i = 0; i < report->sweep->key_count; i++)
        if (i != report->seed_key &&
            strcmp(report->sweep->run[a].value[i], report->sweep->run[b].value[i]) != 0)
            return false;
    return true;
}

/* Groups stand in the order of their first runs. */
static void make_groups(fsfm_sweep_report *report)
{
    for (int run = 0; run < report->sweep->run_count; run++) {
        int group = 0;
        while (group < report->group_count &&
               (report->seed_key < 0 || !differ_in_seed_alone(report, report->group[group].first, run)))
            group++;
        if (group == report->group_count)
            report->group[report->group_count++] = (fsfm_report_group){.first = run};
        report->group[group].count++;
        report->run[run].group = group;
    }
}

static fsfm_status fill_groups(fsfm_sweep_report *report, fsfm_error *err)
{
    const int count = report->sweep->run_count;
    double *value = malloc((size_t)count * sizeof *value);
    if (!value) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a report");
    for (int group = 0; group < report->group_count; group++) {
        fsfm_report_group *g = &report->group[group];
        for (int run = 0; run < count; run++)
            if (report->run[run].group == group && isfinite(report->run[run].metric.value))
                value[g->done++] = report->run[run].metric.value;
        fsfm_mean_and_spread(value, g->done, &g->mean, &g->sd);
    }
    free(value);
    return FSFM_OK;
}

/* Number of what comes before entry i: better ones, and equal ones before it. */
static int place_of(const double *value, int count, int i, bool is_better_high)
{
    int before = 0;
    for (int j = 0; j < count; j++) {
        const double a = is_better_high ? -value[j] : value[j], b = is_better_high ? -value[i] : value[i];
        const bool is_before = isfinite(a) && isfinite(b)   ? a < b || (a == b && j < i)
                               : isfinite(a) != isfinite(b) ? isfinite(a)
                                                            : j < i;
        before += is_before;
    }
    return before;
}

static fsfm_status rank_all(fsfm_sweep_report *report, fsfm_error *err)
{
    const int runs = report->sweep->run_count;
    const bool is_better_high = fsfm_metric_is_better_high(report->metric);
    double *value = malloc((size_t)runs * sizeof *value);
    if (!value) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a report");
    for (int i = 0; i < runs; i++) value[i] = report->run[i].metric.value;
    for (int i = 0; i < runs; i++) {
        const int place = place_of(value, runs, i, is_better_high);
        report->run_order[place] = i;
        report->run[i].rank = isfinite(value[i]) ? place + 1 : 0;
    }
    for (int i = 0; i < report->group_count; i++) value[i] = report->group[i].mean;
    for (int i = 0; i < report->group_count; i++) {
        const int place = place_of(value, report->group_count, i, is_better_high);
        report->group_order[place] = i;
        report->group[i].rank = isfinite(value[i]) ? place + 1 : 0;
    }
    free(value);
    return FSFM_OK;
}

static fsfm_status look_at_runs(fsfm_sweep_report *report, fsfm_error *err)
{
    fsfm_run_status *status = NULL;
    fsfm_status st = fsfm_sweep_look(report->sweep, false, &status, err);
    for (int i = 0; st == FSFM_OK && i < report->sweep->run_count; i++) {
        report->run[i].status = status[i];
        report->run[i].metric = (fsfm_run_metric){.value = NAN, .kind = ""};
        if (status[i].state == FSFM_RUN_DONE)
            st = fsfm_run_metric_read(report->sweep->run[i].folder, report->metric, &report->run[i].metric,
                                      err);
    }
    free(status);
    return st;
}

fsfm_status fsfm_sweep_report_make(const fsfm_sweep *sweep, const char *metric, fsfm_sweep_report *out,
                                   fsfm_error *err)
{
    const size_t runs = (size_t)sweep->run_count;
    *out = (fsfm_sweep_report){.sweep = sweep, .metric = metric, .seed_key = -1};
    for (int i = 0; i < sweep->key_count; i++)
        if (strcmp(sweep->key[i]->name, "run.seed") == 0) out->seed_key = i;
    out->run = calloc(runs, sizeof *out->run);
    out->group = calloc(runs, sizeof *out->group);
    out->run_order = calloc(runs, sizeof *out->run_order);
    out->group_order = calloc(runs, sizeof *out->group_order);
    fsfm_status st = FSFM_OK;
    if (!out->run || !out->group || !out->run_order || !out->group_order)
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a report of %d runs", sweep->run_count);
    if (st == FSFM_OK) st = look_at_runs(out, err);
    if (st == FSFM_OK) {
        make_groups(out);
        st = fill_groups(out, err);
    }
    if (st == FSFM_OK) st = rank_all(out, err);
    if (st != FSFM_OK) fsfm_sweep_report_free(out);
    return st;
}

void fsfm_sweep_report_free(fsfm_sweep_report *report)
{
    free(report->group_order);
    free(report->run_order);
    free(report->group);
    free(report->run);
    *report = (fsfm_sweep_report){0};
}
