/* SPDX-License-Identifier: Apache-2.0
 * jobs/mask.c - `fsfm mask`: what masking does to a dataset's faces, as a contact sheet and as statistics. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/thread_pool.h"
#include "jobs/command.h"
#include "jobs/mask/mask_survey.h"

enum { LIST_MAX = 32 };

static const fsfm_option *find_key(const char *name)
{
    for (int i = 0; i < fsfm_mask_options_count; i++)
        if (strcmp(fsfm_mask_options_table[i].name, name) == 0) return &fsfm_mask_options_table[i];
    return NULL;
}

/* "a,b": each word as a value of a configuration key, with its range and message. */
static fsfm_status parse_list(const char *option, const char *text, const char *key,
                              fsfm_mask_options *values, int *count, fsfm_error *err)
{
    char *copy = strdup(text), *rest = copy;
    fsfm_status st =
        copy ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for the value of %s", option);
    *count = 0;
    for (const char *word; st == FSFM_OK && (word = strsep(&rest, ","));) {
        if (*count == LIST_MAX)
            st = fsfm_fail(err, FSFM_ERR_ARG, "%s: expected at most %d values", option, LIST_MAX);
        else if (fsfm_option_set(find_key(key), &values[(*count)++], word, err) != FSFM_OK)
            st = fsfm_context(err, "%s", option);
    }
    free(copy);
    return st;
}

/* Strategies x ratios. Without regions only random can be drawn. */
static fsfm_status make_cells(const fsfm_arguments *arguments, fsfm_mask_survey *survey, fsfm_error *err)
{
    fsfm_mask_options strategies[LIST_MAX], ratios[LIST_MAX];
    int strategy_count = 0, ratio_count = 0;
    const char *all = survey->has_regions ? "random,fasking_i,frp,crfr_r,crfr_p" : "random";
    FSFM_TRY(parse_list("--strategy", fsfm_arguments_get(arguments, "--strategy", all), "mask.strategy",
                        strategies, &strategy_count, err));
    FSFM_TRY(parse_list("--ratio", fsfm_arguments_get(arguments, "--ratio", "0.75"), "mask.ratio", ratios,
                        &ratio_count, err));
    for (int i = 0; i < strategy_count; i++)
        if (fsfm_mask_needs_regions(strategies[i].strategy) && !survey->has_regions)
            return fsfm_fail(err, FSFM_ERR_ARG,
                             "--strategy: '%s' needs facial regions, but %s was packed without parsing maps; "
                             "expected 'random' here",
                             fsfm_mask_strategy_names[strategies[i].strategy],
                             fsfm_dataset_folder(survey->dataset));
    survey->cell_count = strategy_count * ratio_count;
    survey->cells = calloc((size_t)survey->cell_count, sizeof *survey->cells);
    if (!survey->cells)
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %d statistics", survey->cell_count);
    for (int c = 0; c < survey->cell_count; c++) {
        survey->cells[c].strategy = strategies[c / ratio_count].strategy;
        survey->cells[c].ratio = ratios[c % ratio_count].ratio;
        survey->cells[c].budget = fsfm_mask_budget(survey->patches, survey->cells[c].ratio);
    }
    return FSFM_OK;
}

static fsfm_status prepare(const fsfm_arguments *arguments, fsfm_mask_survey *survey, fsfm_error *err)
{
    int64_t seed = 0;
    const int64_t count = fsfm_dataset_describe(survey->dataset)->count;
    if (count == 0)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: has no samples", fsfm_dataset_folder(survey->dataset));
    FSFM_TRY(fsfm_mask_survey_describe(survey, err));
    FSFM_TRY(fsfm_arguments_int(arguments, "--samples", count, 1, count, &survey->samples, err));
    FSFM_TRY(fsfm_arguments_int(arguments, "--draws", 1, 1, UINT32_MAX, &survey->draws, err));
    FSFM_TRY(fsfm_arguments_int(arguments, "--seed", 0, 0, INT64_MAX, &seed, err));
    survey->seed = (uint64_t)seed;
    return make_cells(arguments, survey, err);
}

static void print_json(const fsfm_mask_survey *survey)
{
    fsfm_json json = {.stream = stdout};
    fsfm_json_object_begin(&json, NULL);
    fsfm_json_list_begin(&json, "cells");
    for (int c = 0; c < survey->cell_count; c++) {
        const fsfm_mask_cell *cell = &survey->cells[c];
        fsfm_json_object_begin(&json, NULL);
        fsfm_json_text(&json, "strategy", fsfm_mask_strategy_names[cell->strategy]);
        fsfm_json_real(&json, "ratio", cell->ratio);
        fsfm_json_int(&json, "samples", survey->samples);
        fsfm_json_int(&json, "draws", survey->draws);
        fsfm_json_int(&json, "removed_min", cell->statistics.removed_min);
        fsfm_json_int(&json, "removed_max", cell->statistics.removed_max);
        fsfm_json_object_begin(&json, "groups");
        for (int g = 0; survey->has_regions && g < FSFM_REGIONS; g++) {
            fsfm_json_object_begin(&json, fsfm_region_name(g));
            fsfm_json_real(&json, "masked_share", fsfm_mask_masked_share(&cell->statistics, g));
            fsfm_json_real(&json, "covered_share", fsfm_mask_covered_share(&cell->statistics, g));
            fsfm_json_object_end(&json);
        }
        fsfm_json_object_end(&json);
        fsfm_json_object_end(&json);
    }
    fsfm_json_list_end(&json);
    fsfm_json_object_end(&json);
    putchar('\n');
}

/* "91 (17)": percent of the group's patches that were removed, and of the draws in which it was covered. */
static void print_group(const fsfm_mask_statistics *statistics, int g)
{
    const double masked = fsfm_mask_masked_share(statistics, g),
                 covered = fsfm_mask_covered_share(statistics, g);
    char text[40] = "-";
    if (isfinite(masked) && covered > 0.0)
        snprintf(text, sizeof text, "%.1f (%.1f)", 100.0 * masked, 100.0 * covered);
    else if (isfinite(masked))
        snprintf(text, sizeof text, "%.1f", 100.0 * masked);
    printf("  %-12s", text);
}

static void print_table(const fsfm_mask_survey *survey)
{
    printf("%" PRId64 " samples, %" PRId64 " draw%s each, %d patches of %d x %d pixels\n", survey->samples,
           survey->draws, survey->draws == 1 ? "" : "s", survey->patches, survey->patch, survey->patch);
    if (survey->has_regions)
        printf("percent of each region's patches that is removed (of the draws in which the region is the "
               "covered one)\n");
    printf("%-10s %6s %8s", "strategy", "ratio", "removed");
    for (int g = 0; survey->has_regions && g < FSFM_REGIONS; g++) printf("  %-12s", fsfm_region_name(g));
    printf("\n");
    for (int c = 0; c < survey->cell_count; c++) {
        const fsfm_mask_cell *cell = &survey->cells[c];
        char removed[32];
        if (cell->statistics.removed_min == cell->statistics.removed_max)
            snprintf(removed, sizeof removed, "%d", cell->statistics.removed_min);
        else
            snprintf(removed, sizeof removed, "%d-%d", cell->statistics.removed_min,
                     cell->statistics.removed_max);
        printf("%-10s %6g %8s", fsfm_mask_strategy_names[cell->strategy], cell->ratio, removed);
        for (int g = 0; survey->has_regions && g < FSFM_REGIONS; g++) print_group(&cell->statistics, g);
        printf("\n");
    }
}

static fsfm_status run_survey(const fsfm_arguments *arguments, fsfm_mask_survey *survey, fsfm_error *err)
{
    const char *out = fsfm_arguments_get(arguments, "--out", NULL);
    const bool as_json = fsfm_arguments_has(arguments, "--json");
    FSFM_TRY(prepare(arguments, survey, err));
    if (out) FSFM_TRY(fsfm_mask_survey_sheet(survey, out, err));
    FSFM_TRY(fsfm_mask_survey_run(survey, fsfm_processors_available(), err));
    if (as_json)
        print_json(survey);
    else
        print_table(survey);
    if (out && !as_json) printf("contact sheet: %s\n", out);
    if (fflush(stdout) != 0 || ferror(stdout))
        return fsfm_fail(err, FSFM_ERR_IO, "standard output cannot be written");
    return FSFM_OK;
}

static int run(int argc, char **argv, fsfm_error *err)
{
    static const char *const valued[] = {"--out",   "--strategy", "--ratio", "--samples",
                                         "--draws", "--seed",     NULL};
    static const char *const flags[] = {"--json", NULL};
    fsfm_arguments arguments;
    fsfm_mask_survey survey = {0};
    fsfm_status st = fsfm_arguments_parse(argc, argv, valued, flags, &arguments, err);
    if (st == FSFM_OK && arguments.word_count != 1)
        st = fsfm_fail(err, FSFM_ERR_ARG, "mask: expected one DATASET, found %d words", arguments.word_count);
    if (st == FSFM_OK) st = fsfm_dataset_open(arguments.words[0], &survey.dataset, err);
    if (st == FSFM_OK) st = run_survey(&arguments, &survey, err);
    fsfm_dataset_close(&survey.dataset);
    free(survey.cells);
    return fsfm_exit_code(st);
}

const fsfm_command fsfm_command_mask = {
    .name = "mask",
    .usage = "mask DATASET [--out SHEET.png] [--strategy a,b] [--ratio x,y] [--samples N] [--draws K] "
             "[--seed S] [--json]",
    .summary = "show what the masking strategies remove from a dataset's faces",
    .help =
        "DATASET          a packed dataset (fsfm pack)\n"
        "--out SHEET.png  contact sheet: up to six faces, their regions, and each strategy's mask; removed\n"
        "                 patches are grey, those of the covered region coloured\n"
        "--strategy a,b   of random, fasking_i, frp, crfr_r, crfr_p (default: all; without maps random)\n"
        "--ratio x,y      shares of removed patches (default 0.75)\n"
        "--samples N      statistics over N samples, spread evenly over the dataset (default: all)\n"
        "--draws K        masks drawn of each sample (default 1)\n"
        "--seed S         of the masks (default 0)\n"
        "--json           print the statistics as JSON, not as a table\n",
    .run = run,
};
