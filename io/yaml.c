/* SPDX-License-Identifier: Apache-2.0 */
#include "io/yaml.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "core/base/number.h"
#include "io/file.h"

enum { DEPTH_MAX = 64 };

struct fsfm_yaml {
    fsfm_yaml_node *root;
};

/* One document on its way from libyaml's events to a tree. */
typedef struct {
    yaml_parser_t parser;
    const char *name; /* in messages */
    const char *text;
    size_t size_bytes;
    fsfm_error *err;
} builder;

static fsfm_status fail_at(builder *b, const yaml_mark_t *mark, const char *what)
{
    return fsfm_fail(b->err, FSFM_ERR_FORMAT, "%s:%zu:%zu: %s", b->name, mark->line + 1, mark->column + 1,
                     what);
}

static fsfm_status fail_memory(builder *b)
{
    return fsfm_fail(b->err, FSFM_ERR_MEMORY, "%s: out of memory", b->name);
}

/* libyaml gives no line for bytes that it cannot decode, only their offset. */
static yaml_mark_t mark_of_offset(const builder *b, size_t offset)
{
    yaml_mark_t mark = {0, 0, 0};
    for (const char *c = b->text; c < b->text + (offset < b->size_bytes ? offset : b->size_bytes); c++) {
        mark.column = *c == '\n' ? 0 : mark.column + 1;
        mark.line += *c == '\n';
    }
    return mark;
}

/* The next event; the caller deletes it. */
static fsfm_status next_event(builder *b, yaml_event_t *event)
{
    if (yaml_parser_parse(&b->parser, event)) return FSFM_OK;
    memset(event, 0, sizeof *event);
    if (b->parser.error == YAML_MEMORY_ERROR) return fail_memory(b);
    const bool is_reader = b->parser.error == YAML_READER_ERROR;
    const yaml_mark_t mark = is_reader ? mark_of_offset(b, b->parser.problem_offset) : b->parser.problem_mark;
    return fail_at(b, &mark, b->parser.problem ? b->parser.problem : "not YAML");
}

static void free_node(fsfm_yaml_node *node)
{
    if (!node) return;
    for (int i = 0; i < node->count; i++) {
        if (node->keys) free_node(node->keys[i]);
        free_node(node->values[i]);
    }
    free(node->keys);
    free(node->values);
    free((char *)node->text);
    free(node);
}

/* Appends an empty entry to a list or map. Room doubles when count reaches a power of two. */
static bool grow(fsfm_yaml_node *node)
{
    const size_t count = (size_t)node->count;
    if ((count & (count - 1)) == 0) {
        const size_t room = count ? 2 * count : 1;
        fsfm_yaml_node **values = realloc(node->values, room * sizeof *values);
        if (!values) return false;
        node->values = values;
        if (node->kind == FSFM_YAML_MAP) {
            fsfm_yaml_node **keys = realloc(node->keys, room * sizeof *keys);
            if (!keys) return false;
            node->keys = keys;
            node->keys[count] = NULL;
        }
    }
    if (node->keys) node->keys[count] = NULL;
    node->values[count] = NULL;
    node->count++;
    return true;
}

static fsfm_status build_node(builder *b, const yaml_event_t *event, int depth, fsfm_yaml_node **out);

static fsfm_status build_list(builder *b, int depth, fsfm_yaml_node *node)
{
    for (;;) {
        yaml_event_t event;
        FSFM_TRY(next_event(b, &event));
        const bool is_end = event.type == YAML_SEQUENCE_END_EVENT;
        fsfm_status st = FSFM_OK;
        if (!is_end)
            st = grow(node) ? build_node(b, &event, depth, &node->values[node->count - 1]) : fail_memory(b);
        yaml_event_delete(&event);
        if (is_end || st != FSFM_OK) return st;
    }
}

/* Builds the key of the new, last entry of a map and checks it. */
static fsfm_status build_key(builder *b, const yaml_event_t *event, int depth, fsfm_yaml_node *node)
{
    const int last = node->count - 1;
    if (event->type != YAML_SCALAR_EVENT && event->type != YAML_ALIAS_EVENT)
        return fail_at(b, &event->start_mark, "a key must be a word, not a list or map");
    FSFM_TRY(build_node(b, event, depth, &node->keys[last]));
    for (int i = 0; i < last; i++)
        if (strcmp(node->keys[i]->text, node->keys[last]->text) == 0) {
            char what[160];
            snprintf(what, sizeof what, "key '%.60s' stands twice in this map, first in line %d",
                     node->keys[i]->text, node->keys[i]->line);
            return fail_at(b, &event->start_mark, what);
        }
    return FSFM_OK;
}

static fsfm_status build_map(builder *b, int depth, fsfm_yaml_node *node)
{
    for (;;) {
        yaml_event_t event;
        FSFM_TRY(next_event(b, &event));
        const bool is_end = event.type == YAML_MAPPING_END_EVENT;
        fsfm_status st = FSFM_OK;
        if (!is_end) st = grow(node) ? build_key(b, &event, depth, node) : fail_memory(b);
        yaml_event_delete(&event);
        if (is_end || st != FSFM_OK) return st;
        FSFM_TRY(next_event(b, &event));
        st = build_node(b, &event, depth, &node->values[node->count - 1]);
        yaml_event_delete(&event);
        FSFM_TRY(st);
    }
}

static fsfm_status build_scalar(builder *b, const yaml_event_t *event, fsfm_yaml_node *node)
{
    const char *text = (const char *)event->data.scalar.value;
    if (strlen(text) != event->data.scalar.length)
        return fail_at(b, &event->start_mark, "text with a zero character in it");
    node->text = strdup(text);
    return node->text ? FSFM_OK : fail_memory(b);
}

/* What an event has that a plain document does not: NULL if nothing. */
static const char *unwanted(const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_ALIAS_EVENT) return "aliases (*name) are not supported";
    if (event->type == YAML_SCALAR_EVENT)
        anchor = event->data.scalar.anchor, tag = event->data.scalar.tag;
    else if (event->type == YAML_SEQUENCE_START_EVENT)
        anchor = event->data.sequence_start.anchor, tag = event->data.sequence_start.tag;
    else
        anchor = event->data.mapping_start.anchor, tag = event->data.mapping_start.tag;
    return anchor ? "anchors (&name) are not supported" : tag ? "tags (!name) are not supported" : NULL;
}

/* Builds the node that begins with event. What was built stays in *out on failure, too, for free_node(). */
static fsfm_status build_node(builder *b, const yaml_event_t *event, int depth, fsfm_yaml_node **out)
{
    const char *what = unwanted(event);
    if (what) return fail_at(b, &event->start_mark, what);
    if (depth > DEPTH_MAX)
        return fail_at(b, &event->start_mark, "lists and maps are nested too deep (64 levels)");
    fsfm_yaml_node *node = calloc(1, sizeof *node);
    if (!node) return fail_memory(b);
    *out = node;
    node->line = (int)event->start_mark.line + 1;
    node->column = (int)event->start_mark.column + 1;
    if (event->type == YAML_SCALAR_EVENT) {
        node->kind = FSFM_YAML_SCALAR;
        return build_scalar(b, event, node);
    }
    node->kind = event->type == YAML_SEQUENCE_START_EVENT ? FSFM_YAML_LIST : FSFM_YAML_MAP;
    return node->kind == FSFM_YAML_LIST ? build_list(b, depth + 1, node) : build_map(b, depth + 1, node);
}

/* A file without a document, or with an empty one, is an empty map. */
static fsfm_status make_empty(builder *b, fsfm_yaml_node **root)
{
    free_node(*root);
    *root = calloc(1, sizeof **root);
    if (!*root) return fail_memory(b);
    (*root)->kind = FSFM_YAML_MAP;
    (*root)->line = (*root)->column = 1;
    return FSFM_OK;
}

/* Stream start, at most one document, stream end. */
static fsfm_status build_stream(builder *b, fsfm_yaml_node **root)
{
    int documents = 0;
    for (bool is_end = false; !is_end;) {
        yaml_event_t event;
        fsfm_status st = FSFM_OK;
        FSFM_TRY(next_event(b, &event));
        switch (event.type) {
        case YAML_STREAM_END_EVENT: is_end = true; break;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT: break;
        case YAML_DOCUMENT_START_EVENT:
            if (++documents > 1) st = fail_at(b, &event.start_mark, "a second document begins; expected one");
            break;
        default: st = build_node(b, &event, 1, root); break;
        }
        yaml_event_delete(&event);
        FSFM_TRY(st);
    }
    if (!*root || ((*root)->kind == FSFM_YAML_SCALAR && !*(*root)->text)) return make_empty(b, root);
    return FSFM_OK;
}

fsfm_status fsfm_yaml_parse(const char *name, const char *text, size_t size_bytes, fsfm_yaml **out,
                            fsfm_error *err)
{
    builder b = {.name = name, .text = text, .size_bytes = size_bytes, .err = err};
    *out = NULL;
    fsfm_yaml *yaml = calloc(1, sizeof *yaml);
    if (!yaml) return fail_memory(&b);
    if (!yaml_parser_initialize(&b.parser)) {
        free(yaml);
        return fail_memory(&b);
    }
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, size_bytes);
    const fsfm_status st = build_stream(&b, &yaml->root);
    yaml_parser_delete(&b.parser);
    if (st != FSFM_OK)
        fsfm_yaml_free(&yaml);
    else
        *out = yaml;
    return st;
}

fsfm_status fsfm_yaml_read(const char *path, fsfm_yaml **out, fsfm_error *err)
{
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    *out = NULL;
    FSFM_TRY(fsfm_file_read(path, &bytes, &size_bytes, err));
    const fsfm_status st = fsfm_yaml_parse(path, (const char *)bytes, size_bytes, out, err);
    free(bytes);
    return st;
}

void fsfm_yaml_free(fsfm_yaml **yaml)
{
    if (!yaml || !*yaml) return;
    free_node((*yaml)->root);
    free(*yaml);
    *yaml = NULL;
}

const fsfm_yaml_node *fsfm_yaml_root(const fsfm_yaml *yaml)
{
    return yaml->root;
}

const fsfm_yaml_node *fsfm_yaml_get(const fsfm_yaml_node *map, const char *key)
{
    if (!map || map->kind != FSFM_YAML_MAP) return NULL;
    for (int i = 0; i < map->count; i++)
        if (strcmp(map->keys[i]->text, key) == 0) return map->values[i];
    return NULL;
}

static fsfm_status fail_number(const fsfm_yaml_node *node, const char *expected, fsfm_error *err)
{
    if (node->kind != FSFM_YAML_SCALAR)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "line %d, column %d: expected %s, found a %s", node->line,
                         node->column, expected, node->kind == FSFM_YAML_LIST ? "list" : "map");
    return fsfm_fail(err, FSFM_ERR_FORMAT, "line %d, column %d: expected %s, found '%.60s'", node->line,
                     node->column, expected, node->text);
}

fsfm_status fsfm_yaml_int(const fsfm_yaml_node *node, int64_t *out, fsfm_error *err)
{
    if (node->kind == FSFM_YAML_SCALAR && fsfm_number_int(node->text, out)) return FSFM_OK;
    return fail_number(node, "a whole number", err);
}

fsfm_status fsfm_yaml_real(const fsfm_yaml_node *node, double *out, fsfm_error *err)
{
    if (node->kind == FSFM_YAML_SCALAR && fsfm_number_real(node->text, out)) return FSFM_OK;
    return fail_number(node, "a number", err);
}
