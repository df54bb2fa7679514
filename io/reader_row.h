/* SPDX-License-Identifier: Apache-2.0
 * io/reader_row.h - what one thread of a reader does for one row of a batch: read, heal, decode, augment,
 * draw masks. */
#ifndef FSFM_IO_READER_ROW_H
#define FSFM_IO_READER_ROW_H

#include "io/reader.h"

/* A list of damaged samples, in the order in which they were met. */
typedef struct fsfm_bad_node {
    fsfm_bad_sample bad;
    struct fsfm_bad_node *next;
} fsfm_bad_node;
void fsfm_bad_list_free(fsfm_bad_node **list);

/* Where a row goes. */
typedef struct {
    uint8_t *image;                       /* (size, size, 3) */
    uint8_t *mask, *region, *target_mask; /* (patches); NULL where not drawn */
    fsfm_sample_ref *ref;                 /* in: what was asked for; out: what is there */
    fsfm_bad_node **bad;                  /* out: damaged samples that it replaces, an owned list */
} fsfm_row;

/* One thread's buffers. */
typedef struct fsfm_row_maker fsfm_row_maker;
uint64_t fsfm_row_maker_memory_bytes(const fsfm_reader_plan *plan); /* about */
FSFM_MUST_USE
fsfm_status fsfm_row_maker_create(const fsfm_reader_plan *plan, fsfm_row_maker **out, fsfm_error *err);
void fsfm_row_maker_free(fsfm_row_maker **maker); /* accepts NULL */
FSFM_MUST_USE
fsfm_status fsfm_row_make(fsfm_row_maker *maker, const fsfm_row *row, fsfm_error *err);
#endif
