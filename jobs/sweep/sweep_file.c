/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sweep/sweep_file.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/number.h"
#include "io/file.h"
#include "jobs/nearest.h"
#include "jobs/settings.h"
#include "jobs/sweep/sweep.h"

enum { KEY_BYTES = 128 };

static const char *const words[] = {"base", "grid", "runs", "set", "metric", NULL};

static const char *kind_name(const fsfm_yaml_node *node)
{
    return node->kind == FSFM_YAML_LIST ? "a list" : node->kind == FSFM_YAML_MAP ? "a map" : "text";
}

/* "FILE:L:C: what: expected EXPECTED, found 'text'" */
static fsfm_status fail_found(const fsfm_sweep_file *file, const fsfm_yaml_node *node, const char *what,
                              const char *expected, fsfm_error *err)
{
    const bool has_text = node->kind == FSFM_YAML_SCALAR && *node->text;
    const char *empty = node->kind == FSFM_YAML_SCALAR ? "nothing"
                        : node->count > 0              ? kind_name(node)
                        : node->kind == FSFM_YAML_LIST ? "an empty list"
                                                       : "an empty map";
    return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: %s: expected %s, found %s%.60s%s", file->file, node->line,
                     node->column, what, expected, has_text ? "'" : "", has_text ? node->text : empty,
                     has_text ? "'" : "");
}

static fsfm_status fail_memory(const fsfm_sweep_file *file, fsfm_error *err)
{
    return fsfm_fail(err, FSFM_ERR_MEMORY, "%s: out of memory", file->file);
}

static fsfm_status check_key(const fsfm_sweep_file *file, const char *key, const fsfm_yaml_node *word,
                             fsfm_error *err)
{
    const char *nearest = NULL;
    if (!fsfm_settings_find(NULL, key, NULL, &nearest))
        return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: %s: unknown key; nearest known key: %s", file->file,
                         word->line, word->column, key, nearest);
    return FSFM_OK;
}

/* Appends key; "a.b: 1" beside "a: {b: 1}" is found here, the same word twice by the reader of YAML. */
static fsfm_status add_entry(const fsfm_sweep_file *file, fsfm_sweep_entries *entries, const char *key,
                             const fsfm_yaml_node *value, fsfm_error *err)
{
    char place[FSFM_SWEEP_PATH + KEY_BYTES + 32];
    for (int i = 0; i < entries->count; i++)
        if (strcmp(entries->entry[i].key, key) == 0)
            return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: %s: set twice, first in line %d", file->file,
                             value->line, value->column, key, entries->entry[i].node->line);
    fsfm_sweep_entry *grown = realloc(entries->entry, ((size_t)entries->count + 1) * sizeof *entries->entry);
    if (!grown) return fail_memory(file, err);
    entries->entry = grown;
    snprintf(place, sizeof place, "%s:%d:%d: %s", file->file, value->line, value->column, key);
    fsfm_sweep_entry *entry = &entries->entry[entries->count++];
    *entry = (fsfm_sweep_entry){.key = strdup(key), .place = strdup(place), .node = value};
    return entry->key && entry->place ? FSFM_OK : fail_memory(file, err);
}

/* The keys below prefix ("" or "mask."), which is a section where it is no key. */
static fsfm_status add_entries(const fsfm_sweep_file *file, fsfm_sweep_entries *entries, const char *prefix,
                               const fsfm_yaml_node *map, fsfm_error *err)
{
    for (int i = 0; i < map->count; i++) {
        char key[KEY_BYTES], below[KEY_BYTES + 1];
        const fsfm_yaml_node *value = map->values[i];
        snprintf(key, sizeof key, "%s%s", prefix, map->keys[i]->text);
        const bool is_key = fsfm_settings_find(NULL, key, NULL, NULL) != NULL;
        if (!is_key && value->kind == FSFM_YAML_MAP && value->count > 0) {
            snprintf(below, sizeof below, "%s.", key);
            FSFM_TRY(add_entries(file, entries, below, value, err));
            continue;
        }
        FSFM_TRY(check_key(file, key, map->keys[i], err));
        FSFM_TRY(add_entry(file, entries, key, value, err));
    }
    return FSFM_OK;
}

static fsfm_status read_grid(fsfm_sweep_file *file, const fsfm_yaml_node *node, fsfm_error *err)
{
    static const char expected[] = "keys with lists of values ({mask.ratio: [0.6, 0.75]})";
    if (node->kind != FSFM_YAML_MAP || node->count == 0) return fail_found(file, node, "grid", expected, err);
    FSFM_TRY(add_entries(file, &file->grid, "", node, err));
    for (int i = 0; i < file->grid.count; i++) {
        const fsfm_yaml_node *values = file->grid.entry[i].node;
        if (values->kind == FSFM_YAML_LIST && values->count == 0)
            return fsfm_fail(err, FSFM_ERR_ARG, "%s: expected a list of values, found an empty one",
                             file->grid.entry[i].place);
        if (values->kind != FSFM_YAML_LIST)
            return fail_found(file, values, file->grid.entry[i].key, "a list of values", err);
    }
    return FSFM_OK;
}

static fsfm_status read_list(fsfm_sweep_file *file, const fsfm_yaml_node *node, fsfm_error *err)
{
    static const char expected[] = "a list of runs ([{mask.ratio: 0.6}, {mask.ratio: 0.75}])";
    if (node->kind != FSFM_YAML_LIST || node->count == 0)
        return fail_found(file, node, "runs", expected, err);
    if (node->count > FSFM_SWEEP_RUNS_MAX)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: runs: expected at most %d runs, found %d", file->file,
                         node->line, node->column, FSFM_SWEEP_RUNS_MAX, node->count);
    file->list = calloc((size_t)node->count, sizeof *file->list);
    file->list_line = calloc((size_t)node->count, sizeof *file->list_line);
    if (!file->list || !file->list_line) return fail_memory(file, err);
    file->list_count = node->count;
    for (int i = 0; i < node->count; i++) {
        const fsfm_yaml_node *run = node->values[i];
        char what[32];
        snprintf(what, sizeof what, "run %d", i + 1);
        if (run->kind != FSFM_YAML_MAP)
            return fail_found(file, run, what, "keys with values ({mask.ratio: 0.6})", err);
        file->list_line[i] = run->line;
        FSFM_TRY(add_entries(file, &file->list[i], "", run, err));
    }
    return FSFM_OK;
}

/* FILE, seen from the sweep's folder; where there is none, from the working folder. */
static fsfm_status find_base(fsfm_sweep_file *file, const fsfm_yaml_node *node, fsfm_error *err)
{
    char beside[FSFM_SWEEP_PATH];
    const char *slash = strrchr(file->file, '/');
    if (!node || node->kind != FSFM_YAML_SCALAR || !*node->text) {
        const fsfm_yaml_node *at = node ? node : fsfm_yaml_root(file->yaml);
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "%s:%d:%d: base: expected the configuration that all runs begin with", file->file,
                         at->line, at->column);
    }
    const int length =
        slash && node->text[0] != '/'
            ? snprintf(beside, sizeof beside, "%.*s%s", (int)(slash + 1 - file->file), file->file, node->text)
            : snprintf(beside, sizeof beside, "%s", node->text);
    const bool is_beside = length < (int)sizeof beside && fsfm_file_exists(beside);
    file->base = strdup(is_beside ? beside : node->text);
    if (!file->base) return fail_memory(file, err);
    fsfm_yaml *yaml = NULL;
    const fsfm_status st = fsfm_yaml_read(file->base, &yaml, err);
    fsfm_yaml_free(&yaml);
    if (st == FSFM_OK || st == FSFM_ERR_MEMORY) return st;
    err->status = FSFM_ERR_ARG;
    return fsfm_context(err, "%s:%d:%d: base", file->file, node->line, node->column);
}

static fsfm_status read_metric(fsfm_sweep_file *file, const fsfm_yaml_node *node, fsfm_error *err)
{
    file->metric = "loss";
    if (!node) return FSFM_OK;
    if (node->kind != FSFM_YAML_SCALAR) return fail_found(file, node, "metric", "a name", err);
    file->metric = node->text;
    if (fsfm_sweep_check_metric(node->text, err) == FSFM_OK) return FSFM_OK;
    return fsfm_context(err, "%s:%d:%d: metric", file->file, node->line, node->column);
}

static fsfm_status read_root(fsfm_sweep_file *file, fsfm_error *err)
{
    const fsfm_yaml_node *root = fsfm_yaml_root(file->yaml);
    if (root->kind != FSFM_YAML_MAP) return fail_found(file, root, "a sweep", "base, then grid or runs", err);
    for (int i = 0; i < root->count; i++) {
        const fsfm_yaml_node *word = root->keys[i];
        bool is_known = false;
        for (int k = 0; words[k]; k++) is_known = is_known || strcmp(words[k], word->text) == 0;
        if (!is_known)
            return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: %s: unknown key; nearest known key: %s",
                             file->file, word->line, word->column, word->text,
                             fsfm_nearest_word(word->text, words));
    }
    const fsfm_yaml_node *grid = fsfm_yaml_get(root, "grid"), *runs = fsfm_yaml_get(root, "runs"),
                         *set = fsfm_yaml_get(root, "set");
    FSFM_TRY(find_base(file, fsfm_yaml_get(root, "base"), err));
    if (grid && runs)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: expected grid or runs, found both", file->file,
                         runs->line, runs->column);
    if (!grid && !runs)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: expected grid or runs, found neither", file->file,
                         root->line, root->column);
    if (set && set->kind != FSFM_YAML_MAP)
        return fail_found(file, set, "set", "keys with values for all runs ({train.epochs: 100})", err);
    if (set) FSFM_TRY(add_entries(file, &file->set, "", set, err));
    FSFM_TRY(grid ? read_grid(file, grid, err) : read_list(file, runs, err));
    return read_metric(file, fsfm_yaml_get(root, "metric"), err);
}

fsfm_status fsfm_sweep_file_read(const char *file, fsfm_sweep_file *out, fsfm_error *err)
{
    *out = (fsfm_sweep_file){.file = file};
    fsfm_status st = fsfm_yaml_read(file, &out->yaml, err);
    if (st != FSFM_OK) return st == FSFM_ERR_MEMORY ? st : (err->status = FSFM_ERR_ARG);
    st = read_root(out, err);
    if (st != FSFM_OK) fsfm_sweep_file_free(out);
    return st;
}

static void free_entries(fsfm_sweep_entries *entries)
{
    for (int i = 0; i < entries->count; i++) {
        free(entries->entry[i].key);
        free(entries->entry[i].place);
    }
    free(entries->entry);
}

void fsfm_sweep_file_free(fsfm_sweep_file *file)
{
    free_entries(&file->set);
    free_entries(&file->grid);
    for (int i = 0; i < file->list_count; i++) free_entries(&file->list[i]);
    free(file->list);
    free(file->list_line);
    free(file->base);
    fsfm_yaml_free(&file->yaml);
    *file = (fsfm_sweep_file){0};
}

/* Within a list or map texts are quoted where YAML needs it. */
static void write_node(FILE *stream, const fsfm_yaml_node *node)
{
    char quoted[2 * FSFM_TEXT_SIZE + 8];
    double number;
    const bool is_list = node->kind == FSFM_YAML_LIST;
    if (node->kind == FSFM_YAML_SCALAR) {
        fputs(fsfm_number_real(node->text, &number) ? node->text
                                                    : fsfm_yaml_quote(node->text, quoted, sizeof quoted),
              stream);
        return;
    }
    fputc(is_list ? '[' : '{', stream);
    for (int i = 0; i < node->count; i++) {
        if (i) fputs(", ", stream);
        if (!is_list) fprintf(stream, "%s: ", fsfm_yaml_quote(node->keys[i]->text, quoted, sizeof quoted));
        write_node(stream, node->values[i]);
    }
    fputc(is_list ? ']' : '}', stream);
}

fsfm_status fsfm_sweep_value_text(const fsfm_yaml_node *node, char **out, fsfm_error *err)
{
    size_t size_bytes = 0;
    *out = NULL;
    if (node->kind == FSFM_YAML_SCALAR) {
        *out = strdup(node->text);
    } else {
        FILE *stream = open_memstream(out, &size_bytes);
        if (stream) write_node(stream, node);
        if (stream && fclose(stream) != 0) {
            free(*out);
            *out = NULL;
        }
    }
    return *out ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "out of memory for a value");
}
