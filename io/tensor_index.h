/* SPDX-License-Identifier: Apache-2.0
 * io/tensor_index.h - what a tensor file holds, in memory: shared by its writer and its reader. */
#ifndef FSFM_IO_TENSOR_INDEX_H
#define FSFM_IO_TENSOR_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "io/tensor_file.h"

/* Texts are datasets in this group, as attributes are limited to 64 KiB. */
#define FSFM_TENSOR_TEXT_GROUP "text/"

typedef enum { FSFM_ENTRY_TENSOR, FSFM_ENTRY_INT, FSFM_ENTRY_REAL, FSFM_ENTRY_TEXT } fsfm_tensor_entry_kind;

typedef struct {
    fsfm_tensor_entry_kind kind;
    fsfm_tensor_info info; /* axes and shape: of tensors */
    uint64_t offset;       /* tensor: of its first byte in the file */
    uint64_t size_bytes;   /* tensor */
    uint64_t xxh3;         /* tensor */
    int64_t value_int;
    double value_real;
    char *text; /* owned */
} fsfm_tensor_entry;

typedef struct {
    fsfm_tensor_entry *entries;
    int64_t count, room;
} fsfm_tensor_index;

/* Copies *entry to the end; takes entry->text over, also on failure. */
FSFM_MUST_USE
fsfm_status fsfm_tensor_index_add(fsfm_tensor_index *index, const fsfm_tensor_entry *entry, fsfm_error *err);
/* Puts the entries in order of kind (tensors first), then of name. */
void fsfm_tensor_index_sort(fsfm_tensor_index *index);
/* In a sorted index; NULL where there is none. */
const fsfm_tensor_entry *fsfm_tensor_index_find(const fsfm_tensor_index *index, fsfm_tensor_entry_kind kind,
                                                const char *name);
/* XXH3-64 over format and everything that a sorted index holds, the checksums of the tensors included: files
 * with the same value hold the same. */
FSFM_MUST_USE
fsfm_status fsfm_tensor_index_hash(const fsfm_tensor_index *index, const char *format, uint64_t *out,
                                   fsfm_error *err);
void fsfm_tensor_index_free(fsfm_tensor_index *index);
#endif
