/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sweep/sweep_id.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/checksum.h"

static const fsfm_settings_part *part_of(const fsfm_option *option)
{
    for (int i = 0; i < fsfm_settings_part_count; i++) {
        const fsfm_settings_part *part = &fsfm_settings_parts[i];
        if (option >= part->table && option < part->table + *part->count) return part;
    }
    return NULL;
}

const char *fsfm_settings_value(const fsfm_settings *settings, const fsfm_option *option, char *out)
{
    const fsfm_settings_part *part = part_of(option);
    FSFM_ASSERT(part);
    return fsfm_option_format(option, (const char *)settings + part->offset, out, FSFM_VALUE_BYTES);
}

/* Keys that may change on resume and yet make another run of it. */
static bool is_part_of_run(const fsfm_option *option, int swept_count, const fsfm_option *const *swept)
{
    if (!option->may_change || strcmp(option->name, "data.path") == 0 ||
        strcmp(option->name, "train.max_steps") == 0)
        return true;
    for (int i = 0; i < swept_count; i++)
        if (swept[i] == option) return true;
    return false;
}

static void write_keys(FILE *stream, const fsfm_settings *settings, const fsfm_settings *defaults,
                       int swept_count, const fsfm_option *const *swept, char *value, char *fallback)
{
    fputs("fsfm-run-1\n", stream);
    for (int i = 0; i < fsfm_settings_part_count; i++)
        for (int row = 0; row < *fsfm_settings_parts[i].count; row++) {
            const fsfm_option *option = &fsfm_settings_parts[i].table[row];
            if (!is_part_of_run(option, swept_count, swept)) continue;
            fsfm_settings_value(settings, option, value);
            if (strcmp(value, fsfm_settings_value(defaults, option, fallback)) != 0)
                fprintf(stream, "%s=%s\n", option->name, value);
        }
}

static void set_id(const char *text, size_t size_bytes, char id[FSFM_RUN_ID_BYTES])
{
    snprintf(id, FSFM_RUN_ID_BYTES, "%012" PRIx64, fsfm_checksum(text, size_bytes) >> 16);
}

fsfm_status fsfm_sweep_id(const fsfm_settings *settings, int swept_count, const fsfm_option *const *swept,
                          char id[FSFM_RUN_ID_BYTES], fsfm_error *err)
{
    char *text = NULL, *value = malloc(FSFM_VALUE_BYTES), *fallback = malloc(FSFM_VALUE_BYTES);
    size_t size_bytes = 0;
    fsfm_settings *defaults = calloc(1, sizeof *defaults);
    FILE *stream = open_memstream(&text, &size_bytes);
    bool is_good = value && fallback && defaults && stream;
    if (is_good) {
        for (int i = 0; i < fsfm_settings_part_count; i++)
            fsfm_options_defaults(fsfm_settings_parts[i].table, *fsfm_settings_parts[i].count,
                                  (char *)defaults + fsfm_settings_parts[i].offset);
        write_keys(stream, settings, defaults, swept_count, swept, value, fallback);
        is_good = !ferror(stream);
    }
    if (stream && fclose(stream) != 0) is_good = false;
    if (is_good) set_id(text, size_bytes, id);
    free(text);
    free(defaults);
    free(fallback);
    free(value);
    return is_good ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "out of memory for a run's id");
}

fsfm_status fsfm_sweep_id_of_words(const fsfm_settings_word *words, int count, char id[FSFM_RUN_ID_BYTES],
                                   fsfm_error *err)
{
    char *text = NULL;
    size_t size_bytes = 0;
    FILE *stream = open_memstream(&text, &size_bytes);
    if (!stream) return fsfm_fail(err, FSFM_ERR_MEMORY, "out of memory for a run's id");
    fputs("fsfm-refused-1\n", stream);
    for (int i = 0; i < count; i++) fprintf(stream, "%s=%s\n", words[i].key, words[i].value);
    const bool is_good = fclose(stream) == 0;
    if (is_good) set_id(text, size_bytes, id);
    free(text);
    return is_good ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "out of memory for a run's id");
}
