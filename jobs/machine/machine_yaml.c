/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/machine/machine_yaml.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/number.h"
#include "jobs/nearest.h"

enum { KEYS_MAX = 32, NAME_SIZE = 96 };

static const char *expectation(fsfm_machine_kind kind)
{
    switch (kind) {
    case FSFM_MACHINE_TEXT: return "a text of at most 95 bytes";
    case FSFM_MACHINE_REAL: return "a number above 0";
    case FSFM_MACHINE_SHARE: return "a number above 0 and at most 1";
    case FSFM_MACHINE_WHOLE: return "a whole number of at least 1";
    case FSFM_MACHINE_ENTRIES: break;
    }
    return "a list of maps";
}

static bool set(const fsfm_machine_key *key, const fsfm_yaml_node *node, void *owner)
{
    char *at = (char *)owner + key->offset;
    double value = 0;
    if (key->kind == FSFM_MACHINE_ENTRIES) return node->kind == FSFM_YAML_LIST;
    if (node->kind != FSFM_YAML_SCALAR) return false;
    if (key->kind == FSFM_MACHINE_TEXT) {
        if (!*node->text || strlen(node->text) >= NAME_SIZE) return false;
        memcpy(at, node->text, strlen(node->text) + 1);
        return true;
    }
    if (!fsfm_number_real(node->text, &value) || !(value > 0)) return false;
    if (key->kind == FSFM_MACHINE_SHARE && value > 1) return false;
    if (key->kind == FSFM_MACHINE_WHOLE && (value != floor(value) || value > 1e6)) return false;
    memcpy(at, &value, sizeof value);
    return true;
}

static fsfm_status fail_value(const char *file, const fsfm_machine_key *key, const fsfm_yaml_node *node,
                              fsfm_error *err)
{
    const char *kind = node->kind == FSFM_YAML_LIST ? "a list" : "a map";
    if (node->kind == FSFM_YAML_SCALAR)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: %s: expected %s, found '%.60s'", file, node->line,
                         node->column, key->name, expectation(key->kind), node->text);
    return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: %s: expected %s, found %s", file, node->line, node->column,
                     key->name, expectation(key->kind), kind);
}

static fsfm_status fail_unknown(const char *file, const fsfm_yaml_node *word, const fsfm_machine_key *keys,
                                int count, fsfm_error *err)
{
    const char *names[KEYS_MAX + 1] = {NULL};
    for (int i = 0; i < count; i++) names[i] = keys[i].name;
    return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: %.60s: unknown key; nearest known key: %s", file,
                     word->line, word->column, word->text, fsfm_nearest_word(word->text, names));
}

fsfm_status fsfm_machine_map_read(const char *file, const fsfm_yaml_node *map, const fsfm_machine_key *keys,
                                  int count, void *owner, fsfm_error *err)
{
    FSFM_ASSERT(count <= KEYS_MAX);
    if (map->kind != FSFM_YAML_MAP)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: expected a map of keys and values", file, map->line,
                         map->column);
    for (int i = 0; i < map->count; i++) {
        int row = 0;
        while (row < count && strcmp(keys[row].name, map->keys[i]->text) != 0) row++;
        if (row == count) return fail_unknown(file, map->keys[i], keys, count, err);
        if (!set(&keys[row], map->values[i], owner)) return fail_value(file, &keys[row], map->values[i], err);
    }
    for (int row = 0; row < count; row++)
        if (!keys[row].is_optional && !fsfm_yaml_get(map, keys[row].name))
            return fsfm_fail(err, FSFM_ERR_ARG, "%s:%d:%d: %s is missing: expected %s", file, map->line,
                             map->column, keys[row].name, expectation(keys[row].kind));
    return FSFM_OK;
}
