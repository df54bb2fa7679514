/* SPDX-License-Identifier: Apache-2.0
 * mpi/train_health.c - run.health: what is said of ranks that are slower than most before the first step, and
 * whether the run ends because of them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "mpi/health_measure.h"
#include "mpi/train_state.h"

/* "rank 3 (node07): products 41.2 GFLOP/s, the median of 8 ranks is 102 GFLOP/s" */
static void describe(const fsfm_train *train, const fsfm_health_outlier *outlier, char *out,
                     size_t size_bytes)
{
    const char *unit = fsfm_health_part_unit(outlier->part);
    snprintf(out, size_bytes, "rank %d (%s): %s %.3g %s, the median of %d ranks is %.3g %s", outlier->rank,
             train->places[outlier->rank].host, fsfm_health_part_name(outlier->part), outlier->rate, unit,
             train->ranks, outlier->median, unit);
}

/* What depends on the page cache is no reason. */
static const fsfm_health_outlier *reason_to_stop(const fsfm_health_report *report)
{
    for (int i = 0; i < report->count; i++)
        if (report->outliers[i].part != FSFM_HEALTH_READING) return &report->outliers[i];
    return NULL;
}

static void tell_medians(fsfm_train *train, const fsfm_health_report *report)
{
    char line[256] = "";
    size_t used = 0;
    for (int part = 0; part < FSFM_HEALTH_PARTS && used < sizeof line; part++)
        if (!isnan(report->median[part]))
            used += (size_t)snprintf(line + used, sizeof line - used, "%s%s %.3g %s", used ? ", " : "",
                                     fsfm_health_part_name((fsfm_health_part)part), report->median[part],
                                     fsfm_health_part_unit((fsfm_health_part)part));
    fsfm_log_line(train->log, "health    %d ranks, the median: %s", train->ranks, line);
}

static void tell(fsfm_train *train, const fsfm_health_report *report)
{
    if (report->crowded >= 0)
        fsfm_log_line(train->log, "health    not looked at: ranks on %s have more threads than processors",
                      train->places[report->crowded].host);
    else
        tell_medians(train, report);
    for (int i = 0; i < report->count; i++) {
        char line[256];
        describe(train, &report->outliers[i], line, sizeof line);
        fsfm_log_line(train->log, "slow      %s", line);
        fsfm_train_record_outlier(train, &report->outliers[i]);
    }
}

fsfm_status fsfm_train_check_health(fsfm_train *train, fsfm_error *err)
{
    const fsfm_train_job *job = train->job;
    fsfm_health_place place = {train->comm, train->dev, train->data.sets[0]};
    fsfm_health_report report;
    fsfm_status st = FSFM_OK;
    if (job->health == FSFM_HEALTH_OFF || train->ranks == 1) return FSFM_OK;
    FSFM_TRY(fsfm_health_find(train->comm, job->measure ? job->measure : fsfm_health_measure,
                              job->measure ? job->measure_context : &place, &report, err));
    tell(train, &report);
    const fsfm_health_outlier *reason = reason_to_stop(&report);
    if (reason && job->health == FSFM_HEALTH_STOP) {
        char line[256];
        describe(train, reason, line, sizeof line);
        st = fsfm_fail(err, FSFM_ERR_DEVICE,
                       "run.health=stop: %s; leave its node out, or go on with run.health=warn", line);
    }
    fsfm_health_report_free(&report);
    return st;
}
