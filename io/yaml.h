/* SPDX-License-Identifier: Apache-2.0
 * io/yaml.h - YAML documents as trees with the place of every node (libyaml). Also reads JSON. */
#ifndef FSFM_IO_YAML_H
#define FSFM_IO_YAML_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"

typedef enum { FSFM_YAML_SCALAR, FSFM_YAML_LIST, FSFM_YAML_MAP } fsfm_yaml_kind;

typedef struct fsfm_yaml_node fsfm_yaml_node;
struct fsfm_yaml_node {
    fsfm_yaml_kind kind;
    int line, column;        /* from 1 */
    const char *text;        /* scalar: its value; else NULL */
    int count;               /* list, map: entries */
    fsfm_yaml_node **keys;   /* map: scalars */
    fsfm_yaml_node **values; /* list, map */
};

typedef struct fsfm_yaml fsfm_yaml; /* owns a tree */

/* Parses one document. Errors begin with "NAME:LINE:COLUMN: ". Duplicate keys, aliases, tags and a second
 * document are errors; an empty file is an empty map. */
FSFM_MUST_USE
fsfm_status fsfm_yaml_parse(const char *name, const char *text, size_t size_bytes, fsfm_yaml **out,
                            fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_yaml_read(const char *path, fsfm_yaml **out, fsfm_error *err);
void fsfm_yaml_free(fsfm_yaml **yaml);
const fsfm_yaml_node *fsfm_yaml_root(const fsfm_yaml *yaml);
/* The value of key in a map; NULL if there is none or node is not a map. */
const fsfm_yaml_node *fsfm_yaml_get(const fsfm_yaml_node *map, const char *key);
/* Scalars as numbers; errors name line and column, and what was found. */
FSFM_MUST_USE
fsfm_status fsfm_yaml_int(const fsfm_yaml_node *node, int64_t *out, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_yaml_real(const fsfm_yaml_node *node, double *out, fsfm_error *err);
/* Writes text as a YAML scalar (quoted where it must be); returns out. */
const char *fsfm_yaml_quote(const char *text, char *out, size_t size_bytes);
#endif
