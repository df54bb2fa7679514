/* SPDX-License-Identifier: Apache-2.0
 * jobs/config/config_schema.h - the tables of keys as a JSON Schema. */
#ifndef FSFM_JOBS_CONFIG_SCHEMA_H
#define FSFM_JOBS_CONFIG_SCHEMA_H

#include <stdio.h>

/* Writes the schema (draft 2020-12) and a newline. */
void fsfm_config_schema(FILE *stream);
#endif
