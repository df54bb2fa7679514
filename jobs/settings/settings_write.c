/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/yaml.h"
#include "jobs/settings.h"
#include "jobs/settings/settings_places.h"

/* Room for any value as text: all sources, every character escaped. */
enum { VALUE_SIZE = FSFM_SOURCES_MAX * (2 * FSFM_TEXT_SIZE + 64) };

/* The lines "section:" of key that the key before it did not open yet; returns the key's last word. */
static const char *write_sections(FILE *stream, const char *before, const char *key, int *indent)
{
    const char *word = key;
    bool is_open = true;
    *indent = 0;
    for (const char *dot; (dot = strchr(word, '.')); word = dot + 1, *indent += 2) {
        const size_t length = (size_t)(dot - key) + 1;
        is_open = is_open && strncmp(before, key, length) == 0;
        if (!is_open) fprintf(stream, "%*s%.*s:\n", *indent, "", (int)(dot - word), word);
    }
    return word;
}

static void write_options(FILE *stream, const fsfm_settings *settings, char *value, char *quoted)
{
    const char *before = "";
    for (int part = 0; part < fsfm_settings_part_count; part++) {
        const fsfm_settings_part *p = &fsfm_settings_parts[part];
        for (int row = 0; row < *p->count; row++) {
            const fsfm_option *option = &p->table[row];
            int indent;
            const char *word = write_sections(stream, before, option->name, &indent);
            fsfm_option_format(option, (const char *)settings + p->offset, value, VALUE_SIZE);
            if (option->type == FSFM_OPTION_TEXT) fsfm_yaml_quote(value, quoted, VALUE_SIZE);
            fprintf(stream, "%*s%s: %s\n", indent, "", word,
                    option->type == FSFM_OPTION_TEXT ? quoted : value);
            before = option->name;
        }
    }
}

fsfm_status fsfm_settings_write(const fsfm_settings *settings, char **yaml, fsfm_error *err)
{
    char *value = malloc(VALUE_SIZE), *quoted = malloc(VALUE_SIZE);
    size_t size_bytes = 0;
    *yaml = NULL;
    FILE *stream = open_memstream(yaml, &size_bytes);
    bool is_good = value && quoted && stream;
    if (is_good) {
        write_options(stream, settings, value, quoted);
        is_good = !ferror(stream);
    }
    if (stream && fclose(stream) != 0) is_good = false;
    free(quoted);
    free(value);
    if (is_good) return FSFM_OK;
    free(*yaml);
    *yaml = NULL;
    return fsfm_fail(err, FSFM_ERR_MEMORY, "out of memory for the configuration as text");
}

static bool may_change(const fsfm_option *option, const fsfm_settings *settings)
{
    const bool is_exact = settings->train.reduction == FSFM_REDUCTION_EXACT;
    return option->may_change && !(is_exact && strcmp(option->name, "train.micro_batch") == 0);
}

static const char *or_empty(const char *text)
{
    return *text ? text : "(empty)";
}

/* value and old_value: VALUE_SIZE bytes each. */
static fsfm_status compare(const fsfm_settings *settings, const fsfm_settings *old, char *value,
                           char *old_value, fsfm_error *err)
{
    for (int part = 0; part < fsfm_settings_part_count; part++) {
        const fsfm_settings_part *p = &fsfm_settings_parts[part];
        for (int row = 0; row < *p->count; row++) {
            const fsfm_option *option = &p->table[row];
            if (may_change(option, settings)) continue;
            fsfm_option_format(option, (const char *)settings + p->offset, value, VALUE_SIZE);
            fsfm_option_format(option, (const char *)old + p->offset, old_value, VALUE_SIZE);
            if (strcmp(value, old_value) == 0) continue;
            return fsfm_fail(
                err, FSFM_ERR_ARG,
                "%s: expected %.100s, with which this run was started, found %.100s: it cannot be changed on "
                "resume (another run.dir starts a new run)",
                option->name, or_empty(old_value), or_empty(value));
        }
    }
    return FSFM_OK;
}

fsfm_status fsfm_settings_compare(const fsfm_settings *settings, const char *old_yaml, fsfm_error *err)
{
    fsfm_settings *old = malloc(sizeof *old);
    char *value = malloc(VALUE_SIZE), *old_value = malloc(VALUE_SIZE);
    fsfm_status st = FSFM_OK;
    if (!old || !value || !old_value)
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "out of memory for comparing configurations");
    else if ((st = fsfm_settings_load_text("the run's configuration", old_yaml, old, err)) == FSFM_OK)
        st = compare(settings, old, value, old_value, err);
    free(old_value);
    free(value);
    free(old);
    return st;
}
