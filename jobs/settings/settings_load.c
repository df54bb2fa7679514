/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/number.h"
#include "io/file.h"
#include "io/yaml.h"
#include "jobs/settings.h"
#include "jobs/settings/configs_find.h"
#include "jobs/settings/settings_places.h"

enum { KEY_SIZE = 128 };

/* What the readers of a configuration pass on. */
typedef struct {
    fsfm_settings *settings;
    fsfm_places places;
    fsfm_error *err;
} loader;

fsfm_status fsfm_places_context(const fsfm_places *places, const char *key, fsfm_error *err)
{
    const int number = fsfm_settings_number(key, NULL, NULL);
    const fsfm_place *place = &places->of_key[number];
    if (place->option) return fsfm_context(err, "%s", place->option);
    if (place->argument) return fsfm_context(err, "argument %d: %s", place->argument, key);
    if (place->line) return fsfm_context(err, "%s:%d:%d: %s", places->file, place->line, place->column, key);
    return fsfm_context(err, "%s: %s", places->file, key); /* a default that does not go with something */
}

const char *fsfm_places_later(const fsfm_places *places, const char *a, const char *b)
{
    const fsfm_place *pa = &places->of_key[fsfm_settings_number(a, NULL, NULL)];
    const fsfm_place *pb = &places->of_key[fsfm_settings_number(b, NULL, NULL)];
    if (pa->argument != pb->argument) return pa->argument > pb->argument ? a : b;
    if (pa->word != pb->word) return pa->word > pb->word ? a : b;
    if (pa->line != pb->line) return pa->line > pb->line ? a : b;
    return pa->column > pb->column ? a : b;
}

static const char *kind_name(const fsfm_yaml_node *node)
{
    return node->kind == FSFM_YAML_LIST ? "a list" : node->kind == FSFM_YAML_MAP ? "a map" : "text";
}

/* One {path, weight}; weight is 1 where it is not given. */
static fsfm_status read_source(const fsfm_yaml_node *node, fsfm_sources *sources, int item, fsfm_error *err)
{
    static const fsfm_option path_option = {.type = FSFM_OPTION_TEXT};
    if (node->kind != FSFM_YAML_MAP)
        return fsfm_fail(err, FSFM_ERR_ARG, "source %d: expected {path, weight}, found %s", item + 1,
                         kind_name(node));
    for (int i = 0; i < node->count; i++)
        if (strcmp(node->keys[i]->text, "path") != 0 && strcmp(node->keys[i]->text, "weight") != 0)
            return fsfm_fail(err, FSFM_ERR_ARG, "source %d: expected path and weight, found '%.60s'",
                             item + 1, node->keys[i]->text);
    const fsfm_yaml_node *path = fsfm_yaml_get(node, "path"), *weight = fsfm_yaml_get(node, "weight");
    if (!path || path->kind != FSFM_YAML_SCALAR || !*path->text)
        return fsfm_fail(err, FSFM_ERR_ARG, "source %d: expected a path, found %s", item + 1,
                         path && path->kind != FSFM_YAML_SCALAR ? kind_name(path) : "none");
    if (fsfm_option_set(&path_option, sources->item[item].path, path->text, err) != FSFM_OK)
        return fsfm_context(err, "source %d: path", item + 1);
    double value = 1.0;
    if (weight &&
        (weight->kind != FSFM_YAML_SCALAR || !fsfm_number_real(weight->text, &value) || !(value > 0)))
        return fsfm_fail(err, FSFM_ERR_ARG, "source %d: expected a weight above 0, found %s%.60s%s", item + 1,
                         weight->text ? "'" : "", weight->text ? weight->text : kind_name(weight),
                         weight->text ? "'" : "");
    sources->item[item].weight = value;
    return FSFM_OK;
}

static fsfm_status read_sources(const fsfm_yaml_node *node, fsfm_sources *sources, fsfm_error *err)
{
    if (node->count > FSFM_SOURCES_MAX)
        return fsfm_fail(err, FSFM_ERR_ARG, "expected at most %d sources, found %d", FSFM_SOURCES_MAX,
                         node->count);
    memset(sources, 0, sizeof *sources);
    for (int i = 0; i < node->count; i++) FSFM_TRY(read_source(node->values[i], sources, i, err));
    sources->count = node->count;
    return FSFM_OK;
}

/* A list of words as one text: "[a, b, c]". */
static fsfm_status set_rgb(const fsfm_option *option, void *owner, const fsfm_yaml_node *node,
                           fsfm_error *err)
{
    char text[256] = "[";
    for (int i = 0; i < node->count; i++) {
        const char *word = node->values[i]->text ? node->values[i]->text : kind_name(node->values[i]);
        const size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%.40s%s", i ? ", " : "", word,
                 i + 1 < node->count ? "" : "]");
    }
    return fsfm_option_set(option, owner, node->count ? text : "[]", err);
}

static fsfm_status set_node(const fsfm_option *option, void *owner, const fsfm_yaml_node *node,
                            fsfm_error *err)
{
    char expected[256];
    if (node->kind == FSFM_YAML_SCALAR) return fsfm_option_set(option, owner, node->text, err);
    if (node->kind == FSFM_YAML_LIST && option->type == FSFM_OPTION_SOURCES)
        return read_sources(node, (fsfm_sources *)((char *)owner + option->offset), err);
    if (node->kind == FSFM_YAML_LIST && option->type == FSFM_OPTION_RGB_OR_AUTO)
        return set_rgb(option, owner, node, err);
    return fsfm_fail(err, FSFM_ERR_ARG, "expected %s, found %s",
                     fsfm_option_expectation(option, expected, sizeof expected), kind_name(node));
}

/* True if known keys begin with key and a dot. */
static bool is_section(const char *key)
{
    const size_t length = strlen(key);
    for (int part = 0; part < fsfm_settings_part_count; part++)
        for (int row = 0; row < *fsfm_settings_parts[part].count; row++) {
            const char *known = fsfm_settings_parts[part].table[row].name;
            if (strncmp(known, key, length) == 0 && known[length] == '.') return true;
        }
    return false;
}

static fsfm_status fail_unknown(const char *key, fsfm_error *err)
{
    const char *nearest = NULL;
    (void)fsfm_settings_find(NULL, key, NULL, &nearest);
    return fsfm_fail(err, FSFM_ERR_ARG, "%s: unknown key; nearest known key: %s", key, nearest);
}

/* One entry of a section that is no key itself: a section, empty or not, or a mistake. */
static fsfm_status check_section(loader *l, const char *key, const fsfm_yaml_node *word,
                                 const fsfm_yaml_node *value)
{
    const char *file = l->places.file;
    if (!is_section(key)) {
        fail_unknown(key, l->err);
        return fsfm_context(l->err, "%s:%d:%d", file, word->line, word->column);
    }
    if (value->kind != FSFM_YAML_SCALAR || *value->text)
        return fsfm_fail(l->err, FSFM_ERR_ARG, "%s:%d:%d: %s: expected keys below it, found %s%.60s%s", file,
                         value->line, value->column, key, value->text ? "'" : "",
                         value->text ? value->text : kind_name(value), value->text ? "'" : "");
    return FSFM_OK;
}

static fsfm_status load_key(loader *l, const char *key, const fsfm_yaml_node *value)
{
    const fsfm_option *option = NULL;
    size_t offset = 0;
    const int number = fsfm_settings_number(key, &option, &offset);
    fsfm_place *place = &l->places.of_key[number];
    const int line_before = place->line;
    *place = (fsfm_place){.line = value->line, .column = value->column};
    if (line_before) { /* "a.b: 1" and "a: {b: 1}" */
        fsfm_fail(l->err, FSFM_ERR_ARG, "set twice, first in line %d", line_before);
        return fsfm_places_context(&l->places, key, l->err);
    }
    if (set_node(option, (char *)l->settings + offset, value, l->err) != FSFM_OK)
        return fsfm_places_context(&l->places, key, l->err);
    return FSFM_OK;
}

/* All keys below prefix ("" or "data."). */
static fsfm_status load_section(loader *l, const char *prefix, const fsfm_yaml_node *map)
{
    for (int i = 0; i < map->count; i++) {
        char key[KEY_SIZE], below[KEY_SIZE + 1];
        const fsfm_yaml_node *value = map->values[i];
        snprintf(key, sizeof key, "%s%s", prefix, map->keys[i]->text);
        if (fsfm_settings_number(key, NULL, NULL) >= 0) {
            FSFM_TRY(load_key(l, key, value));
        } else if (value->kind == FSFM_YAML_MAP && value->count > 0) {
            snprintf(below, sizeof below, "%s.", key);
            FSFM_TRY(load_section(l, below, value));
        } else if (value->kind != FSFM_YAML_MAP || !is_section(key)) {
            FSFM_TRY(check_section(l, key, map->keys[i], value));
        }
    }
    return FSFM_OK;
}

/* The value of an override: a list of sources is YAML, as in the file. */
static fsfm_status set_word(const fsfm_option *option, void *owner, const char *text, fsfm_error *err)
{
    fsfm_yaml *yaml = NULL;
    if (option->type != FSFM_OPTION_SOURCES || *text != '[') return fsfm_option_set(option, owner, text, err);
    fsfm_status st = fsfm_yaml_parse("list", text, strlen(text), &yaml, err);
    if (st != FSFM_OK) return st == FSFM_ERR_MEMORY ? st : (err->status = FSFM_ERR_ARG);
    st = set_node(option, owner, fsfm_yaml_root(yaml), err);
    fsfm_yaml_free(&yaml);
    return st;
}

static fsfm_status load_override(loader *l, int argument, const char *word)
{
    const char *equals = strchr(word, '=');
    char key[KEY_SIZE];
    if (!equals || equals == word)
        return fsfm_fail(l->err, FSFM_ERR_ARG, "argument %d: expected key=value, found '%.60s'", argument,
                         word);
    snprintf(key, sizeof key, "%.*s", (int)(equals - word < KEY_SIZE ? equals - word : KEY_SIZE), word);
    void *owner = NULL;
    const fsfm_option *option = fsfm_settings_find(l->settings, key, &owner, NULL);
    if (!option) {
        fail_unknown(key, l->err);
        return fsfm_context(l->err, "argument %d", argument);
    }
    l->places.of_key[fsfm_settings_number(key, NULL, NULL)] = (fsfm_place){.argument = argument};
    if (set_word(option, owner, equals + 1, l->err) != FSFM_OK)
        return fsfm_places_context(&l->places, key, l->err);
    return FSFM_OK;
}

/* Options of a command, or of a file that is not the configuration, that stand for keys. */
static fsfm_status load_words(loader *l, const fsfm_settings_word *words, int count)
{
    for (int i = 0; i < count; i++) {
        void *owner = NULL;
        const fsfm_option *option = fsfm_settings_find(l->settings, words[i].key, &owner, NULL);
        FSFM_ASSERT(option);
        l->places.of_key[fsfm_settings_number(words[i].key, NULL, NULL)] =
            (fsfm_place){.option = words[i].option, .word = i + 1};
        if (set_word(option, owner, words[i].value, l->err) != FSFM_OK)
            return fsfm_places_context(&l->places, words[i].key, l->err);
    }
    return FSFM_OK;
}

static void set_defaults(loader *l)
{
    int keys = 0;
    memset(l->settings, 0, sizeof *l->settings);
    for (int part = 0; part < fsfm_settings_part_count; part++) {
        const fsfm_settings_part *p = &fsfm_settings_parts[part];
        fsfm_options_defaults(p->table, *p->count, (char *)l->settings + p->offset);
        keys += *p->count;
    }
    FSFM_ASSERT(keys <= FSFM_KEYS_MAX);
}

/* What is laid over a document. */
typedef struct {
    const fsfm_settings_word *words;
    int word_count, override_count;
    char *const *overrides;
} layers;

/* Defaults, then the document, then the words, then the overrides, then the checks. */
static fsfm_status load_all(loader *l, const fsfm_yaml_node *root, const layers *over, char warning[256])
{
    set_defaults(l);
    if (root->kind != FSFM_YAML_MAP)
        return fsfm_fail(l->err, FSFM_ERR_ARG,
                         "%s:%d:%d: expected sections (run, data, model, ...), found %s", l->places.file,
                         root->line, root->column, kind_name(root));
    FSFM_TRY(load_section(l, "", root));
    FSFM_TRY(load_words(l, over->words, over->word_count));
    for (int i = 0; i < over->override_count; i++) FSFM_TRY(load_override(l, i + 1, over->overrides[i]));
    return fsfm_settings_check(&l->places, l->settings, warning, l->err);
}

/* "pretrain_vit_b16", where no such file lies here: that of configs/ beside the program. */
static const char *find_config(const char *file, char found[2 * FSFM_TEXT_SIZE])
{
    fsfm_error err;
    if (strpbrk(file, "/.") || !*file || fsfm_file_exists(file)) return file;
    const bool is_path = fsfm_configs_path("", file, found, 2 * FSFM_TEXT_SIZE, &err) == FSFM_OK;
    return is_path && fsfm_file_exists(found) ? found : file;
}

/* text NULL: reads file, whose trouble is the user's input here. */
static fsfm_status load(const char *file, const char *text, const layers *over, fsfm_settings *out,
                        char warning[256], fsfm_error *err)
{
    char found[2 * FSFM_TEXT_SIZE];
    if (!text) file = find_config(file, found);
    loader l = {.settings = out, .places.file = file, .err = err};
    fsfm_yaml *yaml = NULL;
    warning[0] = '\0';
    fsfm_status st =
        text ? fsfm_yaml_parse(file, text, strlen(text), &yaml, err) : fsfm_yaml_read(file, &yaml, err);
    if (st != FSFM_OK) return st == FSFM_ERR_MEMORY ? st : (err->status = FSFM_ERR_ARG);
    st = load_all(&l, fsfm_yaml_root(yaml), over, warning);
    fsfm_yaml_free(&yaml);
    return st;
}

fsfm_status fsfm_settings_load(const char *file, int override_count, char *const *overrides,
                               fsfm_settings *out, char warning[256], fsfm_error *err)
{
    return load(file, NULL, &(layers){.override_count = override_count, .overrides = overrides}, out, warning,
                err);
}

fsfm_status fsfm_settings_load_words(const char *file, const fsfm_settings_word *words, int word_count,
                                     int override_count, char *const *overrides, fsfm_settings *out,
                                     char warning[256], fsfm_error *err)
{
    const layers over = {words, word_count, override_count, overrides};
    return load(file, NULL, &over, out, warning, err);
}

fsfm_status fsfm_settings_load_text(const char *name, const char *text, fsfm_settings *out, fsfm_error *err)
{
    char warning[256];
    return load(name, text, &(layers){0}, out, warning, err);
}

fsfm_status fsfm_settings_from_options(const fsfm_settings_word *words, int count, fsfm_settings *out,
                                       fsfm_error *err)
{
    loader l = {.settings = out, .places.file = "default", .err = err};
    char warning[256] = "";
    set_defaults(&l);
    FSFM_TRY(load_words(&l, words, count));
    return fsfm_settings_check(&l.places, out, warning, err);
}
