/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep/sweep_report_text.c - a sweep's report as table, CSV and JSON. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/number.h"
#include "io/file.h"
#include "jobs/sweep/sweep_list.h"
#include "jobs/sweep/sweep_report.h"
#include "jobs/sweep/table.h"

/* Quoted where a comma, a quote or a line's end would be taken for CSV's own. */
static void put_text(FILE *stream, const char *text)
{
    const bool is_plain = text[strcspn(text, ",\"\r\n")] == '\0';
    if (!is_plain) fputc('"', stream);
    for (const char *c = text; *c; c++) fprintf(stream, "%s%c", *c == '"' ? "\"" : "", *c);
    if (!is_plain) fputc('"', stream);
}

static void put_number(FILE *stream, double value)
{
    char text[32];
    fprintf(stream, ",%s", isfinite(value) ? fsfm_number_format(value, text) : "");
}

static void put_rank(FILE *stream, const char *before, int rank)
{
    if (rank)
        fprintf(stream, "%s%d", before, rank);
    else
        fputs(before, stream);
}

static void put_head(FILE *stream, const fsfm_sweep_report *report)
{
    fputs("rank,id,state", stream);
    for (int i = 0; i < report->sweep->key_count; i++) fprintf(stream, ",%s", report->sweep->key[i]->name);
    fprintf(stream,
            ",%s,from,group_rank,group_mean,group_sd,group_done,group_runs,steps,exit_code,reason,folder\n",
            report->metric);
}

static void put_run(FILE *stream, const fsfm_sweep_report *report, int number)
{
    const fsfm_sweep_run *run = &report->sweep->run[number];
    const fsfm_report_run *found = &report->run[number];
    const fsfm_report_group *group = &report->group[found->group];
    put_rank(stream, "", found->rank);
    fprintf(stream, ",%s,%s", run->id, fsfm_run_state_name(found->status.state));
    for (int i = 0; i < report->sweep->key_count; i++) {
        fputc(',', stream);
        put_text(stream, run->value[i]);
    }
    put_number(stream, found->metric.value);
    fprintf(stream, ",%s", isfinite(found->metric.value) ? found->metric.kind : "");
    put_rank(stream, ",", group->rank);
    put_number(stream, group->mean);
    put_number(stream, group->sd);
    fprintf(stream, ",%d,%d,%" PRId64 ",", group->done, group->count, fsfm_run_steps(run->folder));
    if (found->status.state == FSFM_RUN_FAILED) fprintf(stream, "%d", found->status.exit_code);
    fputc(',', stream);
    put_text(stream, found->status.reason);
    fputc(',', stream);
    put_text(stream, run->folder);
    fputc('\n', stream);
}

fsfm_status fsfm_sweep_report_csv(const fsfm_sweep_report *report, char path[FSFM_SWEEP_PATH],
                                  fsfm_error *err)
{
    char name[FSFM_TEXT_SIZE], *text = NULL;
    size_t size_bytes = 0;
    snprintf(name, sizeof name, "%s.csv", report->sweep->name);
    FSFM_TRY(fsfm_path_join(path, FSFM_SWEEP_PATH, report->sweep->folder, name, err));
    FSFM_TRY(fsfm_folder_make(report->sweep->folder, err));
    FILE *stream = open_memstream(&text, &size_bytes);
    if (!stream) return fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory", path);
    put_head(stream, report);
    for (int i = 0; i < report->sweep->run_count; i++) put_run(stream, report, report->run_order[i]);
    const bool is_good = !ferror(stream);
    fsfm_status st = fclose(stream) == 0 && is_good ? fsfm_file_write(path, text, size_bytes, err)
                                                    : fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory", path);
    free(text);
    return st;
}

/* "-" where there is none. */
static void add_number(fsfm_table *table, double value)
{
    if (isfinite(value))
        fsfm_table_add(table, "%.6g", value);
    else
        fsfm_table_add(table, "-");
}

/* A line a group: its rank, its values, its runs' mean and spread. */
static fsfm_status print_ranking(const fsfm_sweep_report *report, fsfm_error *err)
{
    const fsfm_sweep *sweep = report->sweep;
    const bool has_seeds = report->seed_key >= 0;
    fsfm_table table = {.columns = sweep->key_count + (has_seeds ? 4 : 3)};
    fsfm_table_add(&table, "rank");
    for (int i = 0; i < sweep->key_count; i++)
        if (i != report->seed_key) fsfm_table_add(&table, "%s", sweep->key[i]->name);
    fsfm_table_add(&table, "%s", report->metric);
    if (has_seeds) {
        fsfm_table_add(&table, "sd");
        fsfm_table_add(&table, "seeds");
    }
    fsfm_table_add(&table, has_seeds ? "best run" : "run");
    for (int place = 0; place < report->group_count; place++) {
        const fsfm_report_group *group = &report->group[report->group_order[place]];
        int best = group->first;
        for (int i = sweep->run_count - 1; i >= 0; i--)
            if (report->run[report->run_order[i]].group == report->group_order[place])
                best = report->run_order[i];
        if (group->rank)
            fsfm_table_add(&table, "%d", group->rank);
        else
            fsfm_table_add(&table, "-");
        for (int i = 0; i < sweep->key_count; i++)
            if (i != report->seed_key) fsfm_table_add(&table, "%s", sweep->run[group->first].value[i]);
        add_number(&table, group->mean);
        if (has_seeds) {
            add_number(&table, group->sd);
            fsfm_table_add(&table, "%d of %d", group->done, group->count);
        }
        fsfm_table_add(&table, "%s", group->rank ? sweep->run[best].id : "-");
    }
    const fsfm_status st = fsfm_table_print(&table, stdout, err);
    fsfm_table_free(&table);
    return st;
}

/* Runs that are not done, and why. */
static void print_rest(const fsfm_sweep_report *report, fsfm_run_state state)
{
    char text[512];
    bool has_head = false;
    for (int i = 0; i < report->sweep->run_count; i++) {
        const fsfm_run_status *status = &report->run[i].status;
        if (status->state != state) continue;
        if (!has_head) printf("\n%s\n", fsfm_run_state_name(state));
        has_head = true;
        printf("  %s  %s%s%s\n", report->sweep->run[i].id,
               fsfm_sweep_describe(report->sweep, i, text, sizeof text), *status->reason ? ": " : "",
               status->reason);
    }
}

fsfm_status fsfm_sweep_report_table(const fsfm_sweep_report *report, fsfm_error *err)
{
    fsfm_run_status *status = malloc((size_t)report->sweep->run_count * sizeof *status);
    char text[256];
    if (!status) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a report");
    for (int i = 0; i < report->sweep->run_count; i++) status[i] = report->run[i].status;
    printf(
        "%s: %s\nranked by %s, %s first: the last evaluation of a run that evaluates, else the mean over the "
        "last tenth of its train records\n\n",
        report->sweep->file, fsfm_sweep_summary(report->sweep, status, text), report->metric,
        fsfm_metric_is_better_high(report->metric) ? "highest" : "lowest");
    free(status);
    FSFM_TRY(print_ranking(report, err));
    for (int state = FSFM_RUN_FAILED; state >= 0; state--) print_rest(report, (fsfm_run_state)state);
    return FSFM_OK;
}

static void json_group(fsfm_json *json, const fsfm_sweep_report *report, int number)
{
    const fsfm_report_group *group = &report->group[number];
    fsfm_json_object_begin(json, NULL);
    if (group->rank) fsfm_json_int(json, "rank", group->rank);
    fsfm_json_real(json, "mean", group->mean);
    fsfm_json_real(json, "sd", group->sd);
    fsfm_json_int(json, "done", group->done);
    fsfm_json_list_begin(json, "runs");
    for (int i = 0; i < report->sweep->run_count; i++)
        if (report->run[i].group == number) fsfm_json_text(json, NULL, report->sweep->run[i].id);
    fsfm_json_list_end(json);
    fsfm_json_object_end(json);
}

static void json_run(fsfm_json *json, const fsfm_sweep_report *report, int number)
{
    const fsfm_report_run *run = &report->run[number];
    fsfm_json_object_begin(json, NULL);
    if (run->rank) fsfm_json_int(json, "rank", run->rank);
    fsfm_json_text(json, "id", report->sweep->run[number].id);
    fsfm_json_text(json, "folder", report->sweep->run[number].folder);
    fsfm_sweep_json_values(json, report->sweep, number);
    fsfm_json_text(json, "state", fsfm_run_state_name(run->status.state));
    fsfm_json_real(json, "value", run->metric.value);
    fsfm_json_text(json, "from", isfinite(run->metric.value) ? run->metric.kind : NULL);
    fsfm_json_int(json, "steps", fsfm_run_steps(report->sweep->run[number].folder));
    if (run->status.state == FSFM_RUN_FAILED) fsfm_json_int(json, "exit_code", run->status.exit_code);
    fsfm_json_text(json, "reason", run->status.reason[0] ? run->status.reason : NULL);
    fsfm_json_object_end(json);
}

void fsfm_sweep_report_json(const fsfm_sweep_report *report, const char *csv)
{
    fsfm_json json = {.stream = stdout};
    fsfm_json_object_begin(&json, NULL);
    fsfm_json_text(&json, "sweep", report->sweep->file);
    fsfm_json_text(&json, "folder", report->sweep->folder);
    fsfm_json_text(&json, "csv", csv);
    fsfm_json_text(&json, "metric", report->metric);
    fsfm_json_list_begin(&json, "groups");
    for (int i = 0; i < report->group_count; i++) json_group(&json, report, report->group_order[i]);
    fsfm_json_list_end(&json);
    fsfm_json_list_begin(&json, "runs");
    for (int i = 0; i < report->sweep->run_count; i++) json_run(&json, report, report->run_order[i]);
    fsfm_json_list_end(&json);
    fsfm_json_object_end(&json);
    putchar('\n');
}
