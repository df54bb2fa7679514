/* SPDX-License-Identifier: Apache-2.0
 * Labelled sets as a table: path,label[,group][,domain][,frame], with or without that head line; paths are
 * relative to the table. Fields may be quoted as usual ("a ""quoted"" one"). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/file.h"
#include "jobs/pack/pack.h"

typedef enum { COLUMN_PATH, COLUMN_LABEL, COLUMN_GROUP, COLUMN_DOMAIN, COLUMN_FRAME, COLUMNS } column;
static const char *const column_names[COLUMNS] = {"path", "label", "group", "domain", "frame"};

enum { FIELDS_MAX = 32 };

typedef struct {
    int count;
    char *field[FIELDS_MAX]; /* into the line */
} row;

/* Ends fields by 0 in place; returns what is behind the line, or NULL with a reason. */
static char *split_line(char *line, row *out, const char **reason)
{
    char *in = line;
    for (out->count = 0;; in++) {
        char *to = in;
        if (out->count == FIELDS_MAX) {
            *reason = "too many fields";
            return NULL;
        }
        out->field[out->count++] = to;
        const bool is_quoted = *in == '"';
        if (is_quoted) {
            for (in++; *in && !(in[0] == '"' && in[1] != '"'); in++) {
                if (*in == '"') in++;
                *to++ = *in;
            }
            if (*in != '"') {
                *reason = "a quote is not closed";
                return NULL;
            }
            in++;
        }
        while (*in && *in != ',' && *in != '\n' && *in != '\r') {
            if (is_quoted) {
                *reason = "text behind a closing quote";
                return NULL;
            }
            *to++ = *in++;
        }
        const char end = *in;
        if (end == '\r' && in[1] == '\n') in++;
        const char last = *in;
        *to = '\0';
        if (end != ',') return last ? in + 1 : in;
    }
}

/* Columns by the names of a head line; false if the line is none. */
static bool read_head(const row *head, int at[COLUMNS])
{
    bool is_head = false;
    for (int f = 0; f < head->count; f++) is_head = is_head || strcasecmp(head->field[f], "path") == 0;
    if (!is_head) return false;
    for (int c = 0; c < COLUMNS; c++) {
        at[c] = -1;
        for (int f = 0; f < head->count; f++)
            if (strcasecmp(head->field[f], column_names[c]) == 0) at[c] = f;
    }
    return true;
}

static const char *cell(const row *r, const int at[COLUMNS], column c)
{
    return at[c] >= 0 && at[c] < r->count ? r->field[at[c]] : "";
}

static bool parse_label(const char *text, int8_t *label)
{
    static const char *const words[] = {"0", "1", "-1", "fake", "real", "spoof", "live", ""};
    static const int8_t labels[] = {0, 1, -1, 0, 1, 0, 1, -1};
    for (size_t i = 0; i < sizeof labels; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *label = labels[i];
            return true;
        }
    return false;
}

static fsfm_status add_row(pack_list *list, const row *r, const int at[COLUMNS], const char *domain,
                           fsfm_error *err)
{
    const char *path = cell(r, at, COLUMN_PATH), *label = cell(r, at, COLUMN_LABEL),
               *group = cell(r, at, COLUMN_GROUP);
    const char *own_domain = cell(r, at, COLUMN_DOMAIN), *frame = cell(r, at, COLUMN_FRAME);
    while (strncmp(path, "./", 2) == 0) path += 2;
    if (!*path) return fsfm_fail(err, FSFM_ERR_FORMAT, "path is empty");
    FSFM_TRY(pack_list_add(list, path, err));
    pack_source *source = &list->sources[list->count - 1];
    if (!parse_label(label, &source->label))
        return fsfm_fail(err, FSFM_ERR_FORMAT,
                         "label: expected 0, 1 or -1 (fake, spoof: 0; real, live: 1), found '%s'", label);
    if (*frame) {
        char *end;
        const long number = strtol(frame, &end, 10);
        if (*end || number < -1 || number > INT32_MAX)
            return fsfm_fail(err, FSFM_ERR_FORMAT, "frame: expected a whole number, found '%s'", frame);
        source->frame = (int32_t)number;
    }
    /* The first folder where no group is given; a file without one stands alone. */
    const char *slash = strchr(path, '/');
    const size_t group_length = *group                  ? strlen(group)
                                : slash && slash > path ? (size_t)(slash - path)
                                                        : source->id_length;
    FSFM_TRY(pack_list_text(list, *group ? group : path, group_length, &source->group, err));
    if (*own_domain) domain = own_domain;
    return pack_list_text(list, domain, strlen(domain), &source->domain, err);
}

static fsfm_status read_rows(char *text, const char *domain, pack_list *out, fsfm_error *err)
{
    int at[COLUMNS] = {0, 1, 2, 3, 4};
    int64_t line = 0;
    for (char *next = text; *next;) {
        row r;
        const char *reason = "";
        line++;
        next = split_line(next, &r, &reason);
        if (!next) return fsfm_fail(err, FSFM_ERR_FORMAT, "line %" PRId64 ": %s", line, reason);
        if (r.count == 1 && !*r.field[0]) continue;
        if (line == 1 && read_head(&r, at)) {
            if (at[COLUMN_LABEL] < 0)
                return fsfm_fail(err, FSFM_ERR_FORMAT, "line 1: there is no column 'label'");
            continue;
        }
        if (r.count < 2)
            return fsfm_fail(err, FSFM_ERR_FORMAT, "line %" PRId64 ": expected path,label", line);
        if (add_row(out, &r, at, domain, err) != FSFM_OK) return fsfm_context(err, "line %" PRId64, line);
    }
    return FSFM_OK;
}

fsfm_status pack_scan_csv(const char *path, const char *domain, pack_list *out, fsfm_error *err)
{
    uint8_t *text = NULL;
    size_t size_bytes = 0;
    const char *slash = strrchr(path, '/');
    if (!slash)
        strcpy(out->root, ".");
    else if (snprintf(out->root, sizeof out->root, "%.*s", slash == path ? 1 : (int)(slash - path), path) >=
             (int)sizeof out->root)
        return fsfm_fail(err, FSFM_ERR_ARG, "%.200s...: path too long", path);
    FSFM_TRY(fsfm_file_read(path, &text, &size_bytes, err));
    fsfm_status st = FSFM_OK;
    if (memchr(text, 0, size_bytes))
        st = fsfm_fail(err, FSFM_ERR_FORMAT, "is no table: it has bytes of value 0");
    const bool has_mark =
        size_bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0; /* some spreadsheets write it */
    if (st == FSFM_OK) st = read_rows((char *)text + (has_mark ? 3 : 0), domain, out, err);
    free(text);
    if (st == FSFM_OK && out->count == 0) st = fsfm_fail(err, FSFM_ERR_FORMAT, "no images in this table");
    if (st != FSFM_OK) return fsfm_context(err, "%s", path);
    out->has_labels = true;
    pack_list_sort(out);
    return FSFM_OK;
}
