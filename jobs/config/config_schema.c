/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/config/config_schema.h"

#include <string.h>

#include "core/base/json.h"
#include "core/base/number.h"
#include "jobs/settings.h"

enum { WORD_SIZE = 64 };

/* Whole numbers without an exponent, as editors show them. */
static void write_number(fsfm_json *json, const char *key, double value)
{
    if (value == (double)(int64_t)value)
        fsfm_json_int(json, key, (int64_t)value);
    else
        fsfm_json_real(json, key, value);
}

static void write_range(fsfm_json *json, const char *type, const fsfm_option *option)
{
    fsfm_json_text(json, "type", type);
    write_number(json, "minimum", option->min);
    if (option->max < 0x1p63) write_number(json, "maximum", option->max);
}

/* {"anyOf": [{"const": "auto"}, what begins here]}; end with write_auto_end(). */
static void write_auto_begin(fsfm_json *json)
{
    fsfm_json_list_begin(json, "anyOf");
    fsfm_json_object_begin(json, NULL);
    fsfm_json_text(json, "const", "auto");
    fsfm_json_object_end(json);
    fsfm_json_object_begin(json, NULL);
}

static void write_auto_end(fsfm_json *json)
{
    fsfm_json_object_end(json);
    fsfm_json_list_end(json);
}

static void write_choices(fsfm_json *json, const fsfm_option *option)
{
    fsfm_json_list_begin(json, "enum");
    for (int i = 0; option->choices[i]; i++) fsfm_json_text(json, NULL, option->choices[i]);
    fsfm_json_list_end(json);
}

static void write_rgb(fsfm_json *json, const fsfm_option *option)
{
    write_auto_begin(json);
    fsfm_json_text(json, "type", "array");
    fsfm_json_object_begin(json, "items");
    write_range(json, "number", option);
    fsfm_json_object_end(json);
    fsfm_json_int(json, "minItems", 3);
    fsfm_json_int(json, "maxItems", 3);
    write_auto_end(json);
}

static void write_text_type(fsfm_json *json, int min_length)
{
    fsfm_json_text(json, "type", "string");
    if (min_length) fsfm_json_int(json, "minLength", min_length);
    fsfm_json_int(json, "maxLength", FSFM_TEXT_SIZE - 1);
}

static void write_sources(fsfm_json *json)
{
    fsfm_json_text(json, "type", "array");
    fsfm_json_int(json, "maxItems", FSFM_SOURCES_MAX);
    fsfm_json_object_begin(json, "items");
    fsfm_json_text(json, "type", "object");
    fsfm_json_object_begin(json, "properties");
    fsfm_json_object_begin(json, "path");
    write_text_type(json, 1);
    fsfm_json_object_end(json);
    fsfm_json_object_begin(json, "weight");
    fsfm_json_text(json, "type", "number");
    fsfm_json_int(json, "exclusiveMinimum", 0);
    fsfm_json_int(json, "default", 1);
    fsfm_json_object_end(json);
    fsfm_json_object_end(json);
    fsfm_json_list_begin(json, "required");
    fsfm_json_text(json, NULL, "path");
    fsfm_json_list_end(json);
    fsfm_json_bool(json, "additionalProperties", false);
    fsfm_json_object_end(json);
}

static void write_type(fsfm_json *json, const fsfm_option *option)
{
    switch (option->type) {
    case FSFM_OPTION_BOOL: fsfm_json_text(json, "type", "boolean"); break;
    case FSFM_OPTION_INT: write_range(json, "integer", option); break;
    case FSFM_OPTION_INT_OR_AUTO:
        write_auto_begin(json);
        write_range(json, "integer", option);
        write_auto_end(json);
        break;
    case FSFM_OPTION_REAL: write_range(json, "number", option); break;
    case FSFM_OPTION_RGB_OR_AUTO: write_rgb(json, option); break;
    case FSFM_OPTION_TEXT: write_text_type(json, 0); break;
    case FSFM_OPTION_CHOICE: write_choices(json, option); break;
    case FSFM_OPTION_SOURCES: write_sources(json); break;
    }
}

static void write_default(fsfm_json *json, const fsfm_option *option)
{
    double value;
    if (option->type == FSFM_OPTION_SOURCES) {
        fsfm_json_list_begin(json, "default");
        fsfm_json_list_end(json);
    } else if (option->type == FSFM_OPTION_BOOL) {
        fsfm_json_bool(json, "default", strcmp(option->fallback, "true") == 0);
    } else if (option->type != FSFM_OPTION_TEXT && fsfm_number_real(option->fallback, &value)) {
        write_number(json, "default", value);
    } else {
        fsfm_json_text(json, "default", option->fallback);
    }
}

static void write_option(fsfm_json *json, const char *word, const fsfm_option *option)
{
    char description[512];
    snprintf(description, sizeof description, "%s%s%s%s", option->meaning, *option->unit ? " (" : "",
             option->unit, *option->unit ? ")" : "");
    fsfm_json_object_begin(json, word);
    fsfm_json_text(json, "description", description);
    write_type(json, option);
    write_default(json, option);
    fsfm_json_object_end(json);
}

/* A section's object stays open until its last key. */
static void section_begin(fsfm_json *json, const char *word)
{
    fsfm_json_object_begin(json, word);
    fsfm_json_text(json, "type", "object");
    fsfm_json_bool(json, "additionalProperties", false);
    fsfm_json_object_begin(json, "properties");
}

static void section_end(fsfm_json *json)
{
    fsfm_json_object_end(json);
    fsfm_json_object_end(json);
}

static int depth_of(const char *key)
{
    int depth = 0;
    for (; (key = strchr(key, '.')); key++) depth++;
    return depth;
}

/* Sections that both keys are in. */
static int depth_in_common(const char *a, const char *b)
{
    int depth = 0;
    for (; *a && *a == *b; a++, b++) depth += *a == '.';
    return depth;
}

/* Closes the sections of the key before that key is not in, opens those that it is in; returns key's last
 * word. */
static const char *change_sections(fsfm_json *json, const char *before, const char *key)
{
    const int common = depth_in_common(before, key);
    for (int depth = depth_of(before); depth > common; depth--) section_end(json);
    int depth = 0;
    for (const char *dot; (dot = strchr(key, '.')); key = dot + 1) {
        char word[WORD_SIZE];
        snprintf(word, sizeof word, "%.*s", (int)(dot - key), key);
        if (depth++ >= common) section_begin(json, word);
    }
    return key;
}

void fsfm_config_schema(FILE *stream)
{
    fsfm_json json = {stream, false};
    const char *before = "";
    fsfm_json_object_begin(&json, NULL);
    fsfm_json_text(&json, "$schema", "https://json-schema.org/draft/2020-12/schema");
    fsfm_json_text(&json, "title", "fsfm configuration");
    fsfm_json_text(&json, "type", "object");
    fsfm_json_bool(&json, "additionalProperties", false);
    fsfm_json_object_begin(&json, "properties");
    for (int part = 0; part < fsfm_settings_part_count; part++)
        for (int row = 0; row < *fsfm_settings_parts[part].count; row++) {
            const fsfm_option *option = &fsfm_settings_parts[part].table[row];
            write_option(&json, change_sections(&json, before, option->name), option);
            before = option->name;
        }
    for (int depth = depth_of(before); depth > 0; depth--) section_end(&json);
    fsfm_json_object_end(&json);
    fsfm_json_object_end(&json);
    fputc('\n', stream);
}
