/* SPDX-License-Identifier: Apache-2.0
 * jobs/machine/machine_yaml.h - maps of positive numbers and texts in the files that describe machines. */
#ifndef FSFM_JOBS_MACHINE_MACHINE_YAML_H
#define FSFM_JOBS_MACHINE_MACHINE_YAML_H

#include <stdbool.h>

#include "io/yaml.h"

typedef enum {
    FSFM_MACHINE_TEXT,   /* char[96] */
    FSFM_MACHINE_REAL,   /* double above 0 */
    FSFM_MACHINE_SHARE,  /* double above 0, at most 1 */
    FSFM_MACHINE_WHOLE,  /* double, a whole number of at least 1 */
    FSFM_MACHINE_ENTRIES /* a list of maps, which the owner reads itself */
} fsfm_machine_kind;

typedef struct {
    const char *name;
    fsfm_machine_kind kind;
    size_t offset; /* of the member in the owner's struct */
    bool is_optional;
} fsfm_machine_key;

/* Fills owner from map. Errors are FSFM_ERR_ARG: "FILE:LINE:COLUMN: key: expected a number above 0, found
 * '-1'", an unknown key names the nearest one, a key that is missing is named after the map's place. */
FSFM_MUST_USE
fsfm_status fsfm_machine_map_read(const char *file, const fsfm_yaml_node *map, const fsfm_machine_key *keys,
                                  int count, void *owner, fsfm_error *err);
#endif
