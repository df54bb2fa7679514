/* SPDX-License-Identifier: Apache-2.0
 * jobs/sweep/sweep_expand.c - from SWEEP.yaml to the list of its runs, all of them checked. */
#include "jobs/sweep/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "jobs/settings.h"
#include "jobs/sweep/sweep_file.h"
#include "jobs/sweep/sweep_id.h"

enum { PLACE_BYTES = FSFM_SWEEP_PATH + 192 };

/* A sweep on its way from the file to the list. */
typedef struct {
    fsfm_sweep_file file;
    fsfm_sweep *sweep;
    int override_count;
    char *const *overrides;
    fsfm_settings *settings; /* of the run at hand */
    fsfm_settings *shared;   /* what runs have without anything of their own; NULL until a run cannot be */
    fsfm_error shared_err;   /* why not even that can be */
    char *value;             /* FSFM_VALUE_BYTES */
    char *warning;           /* of the first run that has one */
} expansion;

static fsfm_status fail_memory(const expansion *x, fsfm_error *err)
{
    return fsfm_fail(err, FSFM_ERR_MEMORY, "%s: out of memory", x->file.file);
}

/* The same key again is fine: runs of a list may have the same keys. */
static fsfm_status add_swept(expansion *x, const fsfm_sweep_entry *entry, fsfm_error *err)
{
    fsfm_sweep *sweep = x->sweep;
    const fsfm_option *option = fsfm_settings_find(NULL, entry->key, NULL, NULL);
    for (int i = 0; i < sweep->key_count; i++)
        if (sweep->key[i] == option) return FSFM_OK;
    if (strcmp(entry->key, "run.dir") == 0)
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "%s: expected another key: every run has a folder of its own below run.dir",
                         entry->place);
    if (sweep->key_count == FSFM_SWEEP_KEYS_MAX)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s: expected at most %d keys that differ between runs",
                         entry->place, FSFM_SWEEP_KEYS_MAX);
    for (int i = 0; i < x->override_count; i++) {
        const size_t length = strcspn(x->overrides[i], "=");
        if (strlen(entry->key) == length && strncmp(entry->key, x->overrides[i], length) == 0)
            return fsfm_fail(
                err, FSFM_ERR_ARG,
                "argument %d: %s: expected a key that all runs share, found one that is swept (%s:%d)", i + 1,
                entry->key, x->file.file, entry->node->line);
    }
    sweep->key[sweep->key_count++] = option;
    return FSFM_OK;
}

static fsfm_status collect_keys(expansion *x, fsfm_error *err)
{
    for (int i = 0; i < x->file.grid.count; i++) FSFM_TRY(add_swept(x, &x->file.grid.entry[i], err));
    for (int run = 0; run < x->file.list_count; run++)
        for (int i = 0; i < x->file.list[run].count; i++)
            FSFM_TRY(add_swept(x, &x->file.list[run].entry[i], err));
    return FSFM_OK;
}

static fsfm_status count_runs(expansion *x, fsfm_error *err)
{
    int64_t count = x->file.list_count;
    for (int i = 0; i < x->file.grid.count; i++) {
        count = (i ? count : 1) * x->file.grid.entry[i].node->count;
        if (count > FSFM_SWEEP_RUNS_MAX)
            return fsfm_fail(err, FSFM_ERR_ARG, "%s: expected at most %d runs, found %lld or more",
                             x->file.grid.entry[i].place, FSFM_SWEEP_RUNS_MAX, (long long)count);
    }
    x->sweep->run = calloc((size_t)count, sizeof *x->sweep->run);
    if (!x->sweep->run) return fail_memory(x, err);
    x->sweep->run_count = (int)count;
    return FSFM_OK;
}

/* Which value of key number axis a run of the grid has: the last key changes fastest. */
static int grid_index(const fsfm_sweep_file *file, int run, int axis)
{
    for (int i = file->grid.count - 1; i > axis; i--) run /= file->grid.entry[i].node->count;
    return run % file->grid.entry[axis].node->count;
}

/* The words of a run: those for all, then its own. place: PLACE_BYTES for each. */
typedef struct {
    int count, shared_count;
    fsfm_settings_word *word;
    char (*place)[PLACE_BYTES];
} run_words;

static fsfm_status add_word(run_words *words, const char *file, const char *key, const fsfm_yaml_node *node,
                            fsfm_error *err)
{
    char *value = NULL;
    FSFM_TRY(fsfm_sweep_value_text(node, &value, err));
    char *place = words->place[words->count];
    snprintf(place, PLACE_BYTES, "%s:%d:%d: %s", file, node->line, node->column, key);
    words->word[words->count++] = (fsfm_settings_word){.option = place, .key = key, .value = value};
    return FSFM_OK;
}

static fsfm_status make_words(const expansion *x, int run, run_words *words, fsfm_error *err)
{
    const fsfm_sweep_entries *set = &x->file.set, *grid = &x->file.grid;
    const fsfm_sweep_entries *own = grid->count ? grid : &x->file.list[run];
    const size_t room = (size_t)set->count + (size_t)own->count;
    words->word = calloc(room + 1, sizeof *words->word);
    words->place = calloc(room + 1, sizeof *words->place);
    if (!words->word || !words->place) return fail_memory(x, err);
    for (int i = 0; i < set->count; i++)
        FSFM_TRY(add_word(words, x->file.file, set->entry[i].key, set->entry[i].node, err));
    words->shared_count = words->count;
    for (int i = 0; i < own->count; i++) {
        const fsfm_yaml_node *node = own->entry[i].node;
        if (grid->count) node = node->values[grid_index(&x->file, run, i)];
        FSFM_TRY(add_word(words, x->file.file, own->entry[i].key, node, err));
    }
    return FSFM_OK;
}

static void free_words(run_words *words)
{
    for (int i = 0; i < words->count; i++) free((char *)words->word[i].value);
    free(words->word);
    free(words->place);
}

/* The folder above all runs is that of the first. A run that is no sweep's may not be in it. */
static fsfm_status take_folder(expansion *x, fsfm_error *err)
{
    char path[FSFM_SWEEP_PATH];
    const char *folder = x->settings->run.dir;
    if (x->sweep->folder) return FSFM_OK;
    if (!*folder)
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "run.dir: expected the folder of the sweep's runs, found nothing");
    FSFM_TRY(fsfm_path_join(path, sizeof path, folder, "state.json", err));
    if (fsfm_file_exists(path))
        return fsfm_fail(
            err, FSFM_ERR_ARG,
            "run.dir: expected a folder for the sweep's runs, found one that is a run itself (%s)", path);
    if (strlen(folder) + FSFM_RUN_ID_BYTES >= FSFM_TEXT_SIZE)
        return fsfm_fail(err, FSFM_ERR_ARG, "run.dir: expected a shorter path, found one of %zu bytes",
                         strlen(folder));
    x->sweep->folder = strdup(folder);
    return x->sweep->folder ? FSFM_OK : fail_memory(x, err);
}

/* What remains of the settings at hand: values, id, folder, configuration. */
static fsfm_status fill_run(expansion *x, fsfm_sweep_run *run, fsfm_error *err)
{
    fsfm_sweep *sweep = x->sweep;
    char path[FSFM_SWEEP_PATH];
    FSFM_TRY(take_folder(x, err));
    for (int i = 0; i < sweep->key_count; i++) {
        run->value[i] = strdup(fsfm_settings_value(x->settings, sweep->key[i], x->value));
        if (!run->value[i]) return fail_memory(x, err);
    }
    FSFM_TRY(fsfm_sweep_id(x->settings, sweep->key_count, sweep->key, run->id, err));
    FSFM_TRY(fsfm_path_join(path, sizeof path, sweep->folder, run->id, err));
    run->folder = strdup(path);
    if (!run->folder) return fail_memory(x, err);
    snprintf(x->settings->run.dir, sizeof x->settings->run.dir, "%s", run->folder);
    return fsfm_settings_write(x->settings, &run->config, err);
}

/* Whether what all runs share is at fault, which then is the sweep's mistake and no run's. */
static fsfm_status check_shared(expansion *x, const run_words *words, const fsfm_error *of_run,
                                bool *is_at_fault, fsfm_error *err)
{
    char warning[256];
    if (!x->shared) {
        x->shared = malloc(sizeof *x->shared);
        if (!x->shared) return fail_memory(x, err);
        if (fsfm_settings_load_words(x->file.base, words->word, words->shared_count, x->override_count,
                                     x->overrides, x->shared, warning, &x->shared_err) == FSFM_OK)
            x->shared_err.message[0] = '\0';
    }
    *is_at_fault = strcmp(x->shared_err.message, of_run->message) == 0;
    return FSFM_OK;
}

/* Of each swept key what the run was given, else what it shares. */
static fsfm_status fill_refused(expansion *x, const run_words *words, const fsfm_error *why,
                                fsfm_sweep_run *run, fsfm_error *err)
{
    const fsfm_sweep *sweep = x->sweep;
    for (int i = 0; i < sweep->key_count; i++) {
        const char *value = fsfm_settings_value(x->shared, sweep->key[i], x->value);
        for (int k = words->shared_count; k < words->count; k++)
            if (strcmp(words->word[k].key, sweep->key[i]->name) == 0) value = words->word[k].value;
        run->value[i] = strdup(value);
        if (!run->value[i]) return fail_memory(x, err);
    }
    run->refusal = strdup(why->message);
    if (!run->refusal) return fail_memory(x, err);
    return fsfm_sweep_id_of_words(words->word, words->count, run->id, err);
}

/* err is why the run cannot be, and stays where that is no fault of its own. */
static fsfm_status refuse_run(expansion *x, const run_words *words, fsfm_sweep_run *run, fsfm_error *err)
{
    const fsfm_error why = *err;
    bool is_at_fault = false;
    FSFM_TRY(check_shared(x, words, &why, &is_at_fault, err));
    if (!is_at_fault) return fill_refused(x, words, &why, run, err);
    *err = why;
    return why.status;
}

static fsfm_status expand_run(expansion *x, int run, fsfm_error *err)
{
    run_words words = {0};
    char warning[256] = "";
    x->sweep->run[run].line = x->file.list_count ? x->file.list_line[run] : 0;
    fsfm_status st = make_words(x, run, &words, err);
    if (st == FSFM_OK)
        st = fsfm_settings_load_words(x->file.base, words.word, words.count, x->override_count, x->overrides,
                                      x->settings, warning, err);
    if (st == FSFM_OK)
        st = fill_run(x, &x->sweep->run[run], err);
    else if (st == FSFM_ERR_ARG)
        st = refuse_run(x, &words, &x->sweep->run[run], err);
    if (warning[0] && !x->warning[0]) snprintf(x->warning, 256, "%s", warning);
    free_words(&words);
    return st;
}

/* Two runs of a grid are one where a list has a value twice, in whatever spelling. */
static fsfm_status fail_twice(const expansion *x, int first, int second, fsfm_error *err)
{
    const fsfm_sweep_file *file = &x->file;
    for (int axis = 0; axis < file->grid.count; axis++) {
        const int a = grid_index(file, first, axis), b = grid_index(file, second, axis);
        const fsfm_sweep_entry *entry = &file->grid.entry[axis];
        if (a == b) continue;
        const fsfm_yaml_node *node = entry->node->values[b];
        return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: %s: expected different values, found %s twice",
                         file->file, node->line, node->column, entry->key, x->sweep->run[second].value[axis]);
    }
    return fsfm_fail(err, FSFM_ERR_ARG,
                     "%s:%d:1: run %d: expected different runs, found run %d (line %d) again", file->file,
                     x->sweep->run[second].line, second + 1, first + 1, x->sweep->run[first].line);
}

/* Those that cannot be have their folders' names, though nothing is ever there. None can be: no sweep. */
static fsfm_status place_refused(expansion *x, fsfm_error *err)
{
    fsfm_sweep *sweep = x->sweep;
    char path[FSFM_SWEEP_PATH];
    if (!sweep->folder) return fsfm_fail(err, FSFM_ERR_ARG, "%s", sweep->run[0].refusal);
    for (int run = 0; run < sweep->run_count; run++) {
        if (!sweep->run[run].refusal) continue;
        FSFM_TRY(fsfm_path_join(path, sizeof path, sweep->folder, sweep->run[run].id, err));
        sweep->run[run].folder = strdup(path);
        if (!sweep->run[run].folder) return fail_memory(x, err);
    }
    return FSFM_OK;
}

static fsfm_status expand(expansion *x, fsfm_error *err)
{
    fsfm_sweep *sweep = x->sweep;
    FSFM_TRY(collect_keys(x, err));
    FSFM_TRY(count_runs(x, err));
    for (int run = 0; run < sweep->run_count; run++) {
        FSFM_TRY(expand_run(x, run, err));
        for (int before = 0; before < run; before++)
            if (strcmp(sweep->run[before].id, sweep->run[run].id) == 0)
                return fail_twice(x, before, run, err);
    }
    return place_refused(x, err);
}

/* "configs/sweeps/masking.yaml": "masking". */
static char *name_of(const char *file)
{
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file, *dot = strrchr(name, '.');
    return strndup(name, dot && dot > name ? (size_t)(dot - name) : strlen(name));
}

fsfm_status fsfm_sweep_load(const char *file, int override_count, char *const *overrides, fsfm_sweep *out,
                            char warning[256], fsfm_error *err)
{
    expansion x = {
        .sweep = out, .override_count = override_count, .overrides = overrides, .warning = warning};
    warning[0] = '\0';
    *out = (fsfm_sweep){0};
    FSFM_TRY(fsfm_sweep_file_read(file, &x.file, err));
    out->file = strdup(file);
    out->base = strdup(x.file.base);
    out->name = name_of(file);
    snprintf(out->metric, sizeof out->metric, "%s", x.file.metric);
    x.settings = malloc(sizeof *x.settings);
    x.value = malloc(FSFM_VALUE_BYTES);
    fsfm_status st = FSFM_OK;
    if (!out->file || !out->base || !out->name || !x.settings || !x.value) st = fail_memory(&x, err);
    if (st == FSFM_OK) st = expand(&x, err);
    if (st != FSFM_OK) fsfm_sweep_free(out);
    free(x.value);
    free(x.shared);
    free(x.settings);
    fsfm_sweep_file_free(&x.file);
    return st;
}

void fsfm_sweep_free(fsfm_sweep *sweep)
{
    for (int run = 0; run < sweep->run_count; run++) {
        for (int i = 0; i < sweep->key_count; i++) free(sweep->run[run].value[i]);
        free(sweep->run[run].folder);
        free(sweep->run[run].config);
        free(sweep->run[run].refusal);
    }
    free(sweep->run);
    free(sweep->folder);
    free(sweep->name);
    free(sweep->base);
    free(sweep->file);
    *sweep = (fsfm_sweep){0};
}

fsfm_status fsfm_sweep_find(const fsfm_sweep *sweep, const char *text, int *out, fsfm_error *err)
{
    int found = -1, count = 0;
    for (int run = 0; *text && run < sweep->run_count; run++)
        if (strncmp(sweep->run[run].id, text, strlen(text)) == 0) {
            found = run;
            count++;
        }
    *out = found;
    if (count == 1) return FSFM_OK;
    if (count > 1)
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "--run: expected the id of one run, found '%.40s', which %d begin with", text,
                         count);
    return fsfm_fail(
        err, FSFM_ERR_ARG,
        "--run: expected the id of a run of %s, found '%.40s' (ids change with what a run computes: "
        "was the sweep or its base edited?)",
        sweep->file, text);
}

const char *fsfm_sweep_describe(const fsfm_sweep *sweep, int run, char *out, size_t size_bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < sweep->key_count && used < size_bytes; i++)
        used += (size_t)snprintf(out + used, size_bytes - used, "%s%s=%s", i ? " " : "", sweep->key[i]->name,
                                 sweep->run[run].value[i]);
    return out;
}
