/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep/sweep_plots.c - the pictures of a sweep's report. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/number.h"
#include "io/chart.h"
#include "io/file.h"
#include "jobs/mask/mask_survey.h"
#include "jobs/settings.h"
#include "jobs/settings/settings_places.h"
#include "jobs/sweep/sweep_report.h"

enum { SERIES_TEXT = 96 };

/* A picture of one swept key: its values along x, and a line for each choice of the others. */
typedef struct {
    const fsfm_sweep_report *report;
    int key;
    int label_count;
    const char **labels; /* (runs); the values of the key, in the order in which they are drawn */
    int series_count;
    int *series_first; /* (runs); a run of each line */
    int *label_of;     /* (runs) */
    int *series_of;    /* (runs) */
    double *value;     /* (runs); of one point */
    bool is_merged;    /* too many lines: one over all */
} plot;

static int compare_labels(const void *a, const void *b)
{
    double x, y;
    const char *left = *(const char *const *)a, *right = *(const char *const *)b;
    if (!fsfm_number_real(left, &x) || !fsfm_number_real(right, &y)) return 0;
    return (x > y) - (x < y);
}

/* Numbers in their order, words in the sweep's. */
static void find_labels(plot *p)
{
    const fsfm_sweep *sweep = p->report->sweep;
    bool is_numeric = true;
    double number;
    for (int run = 0; run < sweep->run_count; run++) {
        const char *value = sweep->run[run].value[p->key];
        int label = 0;
        if (sweep->run[run].refusal) continue;
        while (label < p->label_count && strcmp(p->labels[label], value) != 0) label++;
        if (label == p->label_count) p->labels[p->label_count++] = value;
        is_numeric = is_numeric && fsfm_number_real(value, &number);
    }
    if (is_numeric) qsort(p->labels, (size_t)p->label_count, sizeof *p->labels, compare_labels);
    for (int run = 0; run < sweep->run_count; run++)
        while (!sweep->run[run].refusal &&
               strcmp(p->labels[p->label_of[run]], sweep->run[run].value[p->key]) != 0)
            p->label_of[run]++;
}

/* Lines differ in keys other than this one and the seed. */
static bool is_same_series(const plot *p, int a, int b)
{
    const fsfm_sweep *sweep = p->report->sweep;
    for (int i = 0; i < sweep->key_count; i++)
        if (i != p->key && i != p->report->seed_key && strcmp(sweep->run[a].value[i], sweep->run[b].value[i]))
            return false;
    return true;
}

static void find_series(plot *p)
{
    const int runs = p->report->sweep->run_count;
    for (int run = 0; run < runs; run++) {
        int series = 0;
        if (p->report->sweep->run[run].refusal) continue;
        while (series < p->series_count && !is_same_series(p, p->series_first[series], run)) series++;
        if (series == p->series_count) p->series_first[p->series_count++] = run;
        p->series_of[run] = series;
    }
    p->is_merged = p->series_count > FSFM_CHART_SERIES_MAX;
    if (!p->is_merged) return;
    p->series_count = 1;
    for (int run = 0; run < runs; run++) p->series_of[run] = 0;
}

/* "frp 0.6": the other keys' values. */
static const char *name_series(const plot *p, int series, char out[SERIES_TEXT])
{
    const fsfm_sweep *sweep = p->report->sweep;
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < sweep->key_count && !p->is_merged && used < SERIES_TEXT; i++)
        if (i != p->key && i != p->report->seed_key)
            used += (size_t)snprintf(out + used, SERIES_TEXT - used, "%s%s", used ? " " : "",
                                     sweep->run[p->series_first[series]].value[i]);
    return out;
}

static fsfm_status fill_chart(const plot *p, fsfm_chart *chart, fsfm_error *err)
{
    char name[SERIES_TEXT];
    for (int series = 0; series < p->series_count; series++) {
        fsfm_chart_add_series(chart, name_series(p, series, name));
        for (int label = 0; label < p->label_count; label++) {
            int count = 0;
            double mean, sd;
            for (int run = 0; run < p->report->sweep->run_count; run++) {
                const double value = p->report->run[run].metric.value;
                if (p->series_of[run] != series || p->label_of[run] != label || !isfinite(value)) continue;
                p->value[count++] = value;
                FSFM_TRY(fsfm_chart_add_dot(chart, series, label, value, err));
            }
            fsfm_mean_and_spread(p->value, count, &mean, &sd);
            fsfm_chart_set(chart, series, label, mean, sd);
        }
    }
    return FSFM_OK;
}

static fsfm_status picture_path(const fsfm_sweep *sweep, const char *what, char path[FSFM_SWEEP_PATH],
                                fsfm_error *err)
{
    char name[FSFM_TEXT_SIZE];
    snprintf(name, sizeof name, "%s-%s.png", sweep->name, what);
    return fsfm_path_join(path, FSFM_SWEEP_PATH, sweep->folder, name, err);
}

static fsfm_status draw_plot(plot *p, fsfm_log *log, fsfm_error *err)
{
    const fsfm_sweep *sweep = p->report->sweep;
    const char *key = sweep->key[p->key]->name;
    char path[FSFM_SWEEP_PATH], title[128], y_title[160];
    fsfm_chart *chart = NULL;
    find_labels(p);
    if (p->label_count < 2) return FSFM_OK;
    find_series(p);
    const bool has_seeds = p->report->seed_key >= 0 && p->report->seed_key != p->key;
    snprintf(title, sizeof title, "%.60s: %s", sweep->name, p->report->metric);
    snprintf(y_title, sizeof y_title, "%s%s", p->report->metric,
             p->is_merged ? ", mean and deviation over all runs"
             : has_seeds  ? ", mean and deviation over seeds"
                          : "");
    FSFM_TRY(picture_path(sweep, key, path, err));
    FSFM_TRY(fsfm_chart_create(title, key, y_title, p->label_count, p->labels, &chart, err));
    fsfm_status st = fill_chart(p, chart, err);
    if (st == FSFM_OK) st = fsfm_chart_write(chart, path, err);
    if (st == FSFM_OK) fsfm_log_line(log, "picture   %s", path);
    fsfm_chart_free(&chart);
    return st;
}

fsfm_status fsfm_sweep_report_plots(const fsfm_sweep_report *report, fsfm_log *log, fsfm_error *err)
{
    const size_t runs = (size_t)report->sweep->run_count;
    fsfm_status st = FSFM_OK;
    if (report->run[report->run_order[0]].rank == 0) return FSFM_OK; /* there is nothing to draw */
    for (int key = 0; st == FSFM_OK && key < report->sweep->key_count; key++) {
        plot p = {.report = report, .key = key};
        p.labels = calloc(runs, sizeof *p.labels);
        p.series_first = calloc(runs, sizeof *p.series_first);
        p.label_of = calloc(runs, sizeof *p.label_of);
        p.series_of = calloc(runs, sizeof *p.series_of);
        p.value = calloc(runs, sizeof *p.value);
        if (p.labels && p.series_first && p.label_of && p.series_of && p.value)
            st = draw_plot(&p, log, err);
        else
            st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a plot");
        free(p.value);
        free(p.series_of);
        free(p.label_of);
        free(p.series_first);
        free((void *)p.labels);
    }
    return st;
}

/* Strategies and ratios among the runs, each pair once. Without regions in the data random alone can be
 * drawn.
 */
static fsfm_status collect_cells(const fsfm_sweep *sweep, fsfm_settings *settings, fsfm_mask_survey *survey,
                                 fsfm_error *err)
{
    survey->cells = calloc((size_t)sweep->run_count, sizeof *survey->cells);
    if (!survey->cells) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for masks");
    for (int run = 0; run < sweep->run_count; run++) {
        if (sweep->run[run].refusal) continue;
        FSFM_TRY(fsfm_settings_load_text(sweep->run[run].id, sweep->run[run].config, settings, err));
        const fsfm_mask_options *mask = &settings->mask;
        int cell = 0;
        if (fsfm_mask_needs_regions(mask->strategy) && !survey->has_regions) continue;
        while (cell < survey->cell_count &&
               (survey->cells[cell].strategy != mask->strategy || survey->cells[cell].ratio != mask->ratio))
            cell++;
        if (cell < survey->cell_count) continue;
        survey->cells[survey->cell_count++] =
            (fsfm_mask_cell){.strategy = mask->strategy,
                             .ratio = mask->ratio,
                             .budget = fsfm_mask_budget(survey->patches, mask->ratio)};
    }
    return FSFM_OK;
}

/* The data of the first run whose data can be opened: one run's may be what is wrong with it. */
static fsfm_status open_data(const fsfm_sweep *sweep, fsfm_settings *settings, fsfm_dataset **out,
                             fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    for (int run = 0; run < sweep->run_count; run++) {
        if (sweep->run[run].refusal) continue;
        FSFM_TRY(fsfm_settings_load_text(sweep->run[run].id, sweep->run[run].config, settings, err));
        const bool is_mixed = settings->data.sources.count > 0;
        const char *data = is_mixed ? settings->data.sources.item[0].path : settings->data.path;
        if ((st = fsfm_dataset_open(data, out, err)) == FSFM_OK) break;
    }
    return st;
}

static fsfm_status draw_masks(const fsfm_sweep *sweep, fsfm_settings *settings, char path[FSFM_SWEEP_PATH],
                              fsfm_error *err)
{
    fsfm_mask_survey survey = {.draws = 1};
    FSFM_TRY(picture_path(sweep, "masks", path, err));
    FSFM_TRY(open_data(sweep, settings, &survey.dataset, err));
    survey.samples = fsfm_dataset_describe(survey.dataset)->count;
    survey.seed = (uint64_t)settings->run.seed;
    fsfm_status st = fsfm_mask_survey_describe(&survey, err);
    if (st == FSFM_OK) st = collect_cells(sweep, settings, &survey, err);
    if (st == FSFM_OK && (survey.samples == 0 || survey.cell_count == 0))
        st = fsfm_fail(err, FSFM_ERR_FORMAT, "%s has no samples that these strategies can mask",
                       fsfm_dataset_folder(survey.dataset));
    if (st == FSFM_OK) st = fsfm_mask_survey_sheet(&survey, path, err);
    free(survey.cells);
    fsfm_dataset_close(&survey.dataset);
    return st;
}

fsfm_status fsfm_sweep_report_masks(const fsfm_sweep_report *report, fsfm_log *log, fsfm_error *err)
{
    char path[FSFM_SWEEP_PATH];
    fsfm_settings *settings = malloc(sizeof *settings);
    fsfm_error trouble = {FSFM_OK, ""};
    if (!settings) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for settings");
    if (draw_masks(report->sweep, settings, path, &trouble) == FSFM_OK)
        fsfm_log_line(log, "picture   %s", path);
    else
        fsfm_log_line(log, "no contact sheet of masks: %s", trouble.message);
    free(settings);
    return FSFM_OK;
}
