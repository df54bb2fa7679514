/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/settings.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "jobs/nearest.h"
#include "jobs/settings/settings_places.h"

#define MEMBER(name) offsetof(fsfm_run_options, name)

static const char *const device_names[] = {"auto", "cpu", "cuda", NULL};
static const char *const health_names[] = {"warn", "stop", "off", NULL}; /* as fsfm_health_mode */

static const fsfm_option run_table[] = {
    {"run.dir", FSFM_OPTION_TEXT, MEMBER(dir), "", 0, 0, NULL, "",
     "folder of the run: log, checkpoints, pictures; a run in it goes on", true},
    {"run.seed", FSFM_OPTION_INT, MEMBER(seed), "0", 0, 0x1p63, NULL, "",
     "seed of the weights, the order of the samples, the masks and the views", false},
    {"run.device", FSFM_OPTION_CHOICE, MEMBER(device), "auto", 0, 0, device_names, "",
     "what computes; auto: a GPU if there is one", true},
    {"run.threads", FSFM_OPTION_INT_OR_AUTO, MEMBER(threads), "auto", 1, 1024, NULL, "",
     "threads of a rank; auto: the node's processors over the ranks on it", true},
    {"run.hang_timeout_s", FSFM_OPTION_REAL, MEMBER(hang_timeout_s), "1800", 0, 1e9, NULL, "seconds",
     "end the run, and name the rank it waits for, when nothing has gone on for so long; 0: never", true},
    {"run.health", FSFM_OPTION_CHOICE, MEMBER(health), "warn", 0, 0, health_names, "",
     "ranks that are slower at the start than most: name them, end the run before its first step, or do not "
     "look",
     true},
};
static const int run_count = sizeof run_table / sizeof *run_table;

const fsfm_settings_part fsfm_settings_parts[] = {
    {run_table, &run_count, offsetof(fsfm_settings, run)},
    {fsfm_data_options_table, &fsfm_data_options_count, offsetof(fsfm_settings, data)},
    {fsfm_mask_options_table, &fsfm_mask_options_count, offsetof(fsfm_settings, mask)},
    {fsfm_model_options_table, &fsfm_model_options_count, offsetof(fsfm_settings, model)},
    {fsfm_train_options_table, &fsfm_train_options_count, offsetof(fsfm_settings, train)},
};
const int fsfm_settings_part_count = sizeof fsfm_settings_parts / sizeof *fsfm_settings_parts;

int fsfm_settings_number(const char *key, const fsfm_option **option, size_t *owner_offset)
{
    int number = 0;
    for (int part = 0; part < fsfm_settings_part_count; part++)
        for (int row = 0; row < *fsfm_settings_parts[part].count; row++, number++) {
            if (strcmp(fsfm_settings_parts[part].table[row].name, key) != 0) continue;
            if (option) *option = &fsfm_settings_parts[part].table[row];
            if (owner_offset) *owner_offset = fsfm_settings_parts[part].offset;
            return number;
        }
    return -1;
}

static const char *last_word(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

/* A key in the wrong section, or in none, is as near as one with a letter wrong; so is a section without a
 * key. */
static int distance_to(const char *key, const char *known)
{
    const int whole = fsfm_edit_distance(key, known);
    int best = fsfm_edit_distance(last_word(key), last_word(known)) + 1;
    if (!strchr(key, '.')) {
        char section[64];
        snprintf(section, sizeof section, "%.*s", (int)strcspn(known, "."), known);
        const int to_section = fsfm_edit_distance(key, section) + 1;
        if (to_section < best) best = to_section;
    }
    return 64 * (whole < best ? whole : best) + whole; /* ties: by the whole key */
}

static const char *nearest_key(const char *key)
{
    const char *nearest = NULL;
    int best = INT_MAX;
    for (int part = 0; part < fsfm_settings_part_count; part++)
        for (int row = 0; row < *fsfm_settings_parts[part].count; row++) {
            const char *known = fsfm_settings_parts[part].table[row].name;
            const int distance = distance_to(key, known);
            if (distance < best) {
                best = distance;
                nearest = known;
            }
        }
    return nearest;
}

const fsfm_option *fsfm_settings_find(fsfm_settings *settings, const char *key, void **owner,
                                      const char **nearest)
{
    const fsfm_option *option = NULL;
    size_t offset = 0;
    const int number = fsfm_settings_number(key, &option, &offset);
    if (nearest) *nearest = number >= 0 ? option->name : nearest_key(key);
    if (number < 0) return NULL;
    if (owner) *owner = (char *)settings + offset;
    return option;
}

fsfm_train_job fsfm_settings_job(const fsfm_settings *settings)
{
    return (fsfm_train_job){
        .model = &settings->model,
        .data = &settings->data,
        .mask = &settings->mask,
        .train = &settings->train,
        .seed = (uint64_t)settings->run.seed,
        .device = settings->run.device,
        .threads = settings->run.threads,
        .hang_timeout_s = settings->run.hang_timeout_s,
        .health = settings->run.health,
        .revision = "",
    };
}
