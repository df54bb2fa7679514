/* SPDX-License-Identifier: Apache-2.0
 * tests/support/small_dataset.h - a packed dataset of made-up samples, each a function of its index. */
#ifndef FSFM_TESTS_SUPPORT_SMALL_DATASET_H
#define FSFM_TESTS_SUPPORT_SMALL_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "io/dataset.h"

typedef struct {
    int64_t count, per_shard;
    int size; /* pixels; a multiple of 16 and of 14 has packed region bits of both */
    fsfm_encoding encoding;
    bool has_regions;
    int look; /* datasets of another look have other samples */
} small_dataset;

/* Writes shards and dataset.yaml into folder, which exists; fails the test where it cannot. */
void small_dataset_write(const small_dataset *plan, const char *folder);
/* Sample index as a reader without augmentation gives it: pixels (size, size, 3), map (size, size). */
void small_dataset_image(const small_dataset *plan, int64_t index, uint8_t *pixels);
void small_dataset_map(const small_dataset *plan, int64_t index, uint8_t *map);
/* Flips one bit of the stored image of sample index. */
void small_dataset_damage(const small_dataset *plan, const char *folder, int64_t index);
#endif
