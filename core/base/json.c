/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/json.h"

#include <inttypes.h>
#include <math.h>

static void write_text(fsfm_json *json, const char *text)
{
    fputc('"', json->stream);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(json->stream, "\\%c", *c);
        else if (*c < 0x20)
            fprintf(json->stream, "\\u%04x", *c);
        else
            fputc(*c, json->stream);
    }
    fputc('"', json->stream);
}

static void begin_value(fsfm_json *json, const char *key)
{
    if (json->needs_comma) fputs(", ", json->stream);
    json->needs_comma = true;
    if (!key) return;
    write_text(json, key);
    fputs(": ", json->stream);
}

void fsfm_json_object_begin(fsfm_json *json, const char *key)
{
    begin_value(json, key);
    fputc('{', json->stream);
    json->needs_comma = false;
}

void fsfm_json_object_end(fsfm_json *json)
{
    fputc('}', json->stream);
    json->needs_comma = true;
}

void fsfm_json_list_begin(fsfm_json *json, const char *key)
{
    begin_value(json, key);
    fputc('[', json->stream);
    json->needs_comma = false;
}

void fsfm_json_list_end(fsfm_json *json)
{
    fputc(']', json->stream);
    json->needs_comma = true;
}

void fsfm_json_text(fsfm_json *json, const char *key, const char *text)
{
    begin_value(json, key);
    if (text)
        write_text(json, text);
    else
        fputs("null", json->stream);
}

void fsfm_json_int(fsfm_json *json, const char *key, int64_t value)
{
    begin_value(json, key);
    fprintf(json->stream, "%" PRId64, value);
}

void fsfm_json_bool(fsfm_json *json, const char *key, bool value)
{
    begin_value(json, key);
    fputs(value ? "true" : "false", json->stream);
}

void fsfm_json_real(fsfm_json *json, const char *key, double value)
{
    begin_value(json, key);
    if (isfinite(value))
        fprintf(json->stream, "%.17g", value);
    else
        fputs("null", json->stream);
}
