/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/pack/label_scheme.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mask/regions.h"
#include "io/file.h"
#include "io/yaml.h"

static const char *const lapa_names[FSFM_LABELS] = {
    "background", "skin",      "left_brow",   "right_brow", "left_eye", "right_eye",
    "nose",       "upper_lip", "inner_mouth", "lower_lip",  "hair",
};

const char *fsfm_lapa_label_name(int label)
{
    return label >= 0 && label < FSFM_LABELS ? lapa_names[label] : NULL;
}

/* CelebAMask-HQ's order: background skin nose eye_g l_eye r_eye l_brow r_brow l_ear r_ear mouth u_lip l_lip
 * hair hat ear_r neck_l neck cloth. Ears and glasses count as skin; what is worn, and the neck, as
 * background. */
static const uint8_t celebamaskhq[] = {0, 1, 6, 1, 4, 5, 2, 3, 1, 1, 8, 7, 9, 10, 0, 0, 0, 0, 0};

static void set_table(fsfm_label_scheme *out, const char *name, const uint8_t *labels, int count)
{
    memset(out, 0, sizeof *out);
    memset(out->to_lapa, FSFM_LABEL_OUTSIDE, sizeof out->to_lapa);
    snprintf(out->name, sizeof out->name, "%s", name);
    for (int value = 0; value < count; value++) out->to_lapa[value] = labels ? labels[value] : (uint8_t)value;
}

/* A number or a name; -1 if it is neither. */
static int parse_label(const char *text)
{
    char *end;
    const long number = strtol(text, &end, 10);
    if (end != text && *end == '\0') return number >= 0 && number < FSFM_LABELS ? (int)number : -1;
    for (int label = 0; label < FSFM_LABELS; label++)
        if (strcmp(text, lapa_names[label]) == 0) return label;
    return -1;
}

static fsfm_status read_entry(const char *path, const fsfm_yaml_node *key, const fsfm_yaml_node *value,
                              fsfm_label_scheme *out, fsfm_error *err)
{
    char *end;
    const long from = strtol(key->text, &end, 10);
    if (end == key->text || *end != '\0' || from < 0 || from > 255)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: map: expected a value from 0 to 255, found '%s'", path,
                         key->line, key->column, key->text);
    const int label = value->kind == FSFM_YAML_SCALAR ? parse_label(value->text) : -1;
    if (label < 0)
        return fsfm_fail(
            err, FSFM_ERR_ARG,
            "%s:%d:%d: map: %ld: expected a number from 0 to 10 or a name (background, skin, left_brow, "
            "right_brow, left_eye, right_eye, nose, upper_lip, inner_mouth, lower_lip, hair), found '%s'",
            path, value->line, value->column, from, value->text ? value->text : "a list or map");
    if (out->to_lapa[from] != FSFM_LABEL_OUTSIDE)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: map: %ld stands there twice", path, key->line,
                         key->column, from);
    out->to_lapa[from] = (uint8_t)label;
    return FSFM_OK;
}

static fsfm_status read_scheme(const char *path, const fsfm_yaml_node *root, fsfm_label_scheme *out,
                               fsfm_error *err)
{
    const fsfm_yaml_node *name = fsfm_yaml_get(root, "name"), *map = fsfm_yaml_get(root, "map");
    for (int i = 0; root->kind == FSFM_YAML_MAP && i < root->count; i++)
        if (strcmp(root->keys[i]->text, "name") != 0 && strcmp(root->keys[i]->text, "map") != 0)
            return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: %s: unknown key, a label scheme has name and map",
                             path, root->keys[i]->line, root->keys[i]->column, root->keys[i]->text);
    if (!name || name->kind != FSFM_YAML_SCALAR || !*name->text || strlen(name->text) >= sizeof out->name)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s: name: expected a text of 1 to %zu bytes", path,
                         sizeof out->name - 1);
    if (!map || map->kind != FSFM_YAML_MAP || map->count == 0)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s: map: expected a map {VALUE: LABEL, ...}", path);
    set_table(out, name->text, NULL, 0);
    for (int i = 0; i < map->count; i++) FSFM_TRY(read_entry(path, map->keys[i], map->values[i], out, err));
    return FSFM_OK;
}

fsfm_status fsfm_label_scheme_load(const char *name_or_file, fsfm_label_scheme *out, fsfm_error *err)
{
    fsfm_yaml *yaml = NULL;
    const size_t length = strlen(name_or_file);
    if (strcmp(name_or_file, "lapa11") == 0) {
        set_table(out, "lapa11", NULL, FSFM_LABELS);
        return FSFM_OK;
    }
    if (strcmp(name_or_file, "celebamaskhq19") == 0) {
        set_table(out, "celebamaskhq19", celebamaskhq, (int)sizeof celebamaskhq);
        return FSFM_OK;
    }
    const bool looks_like_file = length > 5 && strcmp(name_or_file + length - 5, ".yaml") == 0;
    if (!looks_like_file && !fsfm_file_exists(name_or_file))
        return fsfm_fail(err, FSFM_ERR_ARG,
                         "--labels: expected lapa11, celebamaskhq19 or a YAML file, found '%s'",
                         name_or_file);
    fsfm_status st = fsfm_yaml_read(name_or_file, &yaml, err);
    if (st == FSFM_OK) st = read_scheme(name_or_file, fsfm_yaml_root(yaml), out, err);
    if (st == FSFM_ERR_FORMAT) st = err ? (err->status = FSFM_ERR_ARG) : FSFM_ERR_ARG; /* the user wrote it */
    fsfm_yaml_free(&yaml);
    return st;
}

int64_t fsfm_label_scheme_apply(const fsfm_label_scheme *scheme, uint8_t *map, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (scheme->to_lapa[map[i]] == FSFM_LABEL_OUTSIDE) return i;
        map[i] = scheme->to_lapa[map[i]];
    }
    return -1;
}
