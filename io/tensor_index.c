/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tensor_index.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

fsfm_status fsfm_tensor_index_add(fsfm_tensor_index *index, const fsfm_tensor_entry *entry, fsfm_error *err)
{
    if (index->count == index->room) {
        const int64_t room = index->room ? 2 * index->room : 64;
        fsfm_tensor_entry *grown = realloc(index->entries, (size_t)room * sizeof *grown);
        if (!grown) {
            free(entry->text);
            return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a list of %lld tensors", (long long)room);
        }
        index->entries = grown;
        index->room = room;
    }
    index->entries[index->count++] = *entry;
    return FSFM_OK;
}

static int compare_entries(const void *a, const void *b)
{
    const fsfm_tensor_entry *x = a, *y = b;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return strcmp(x->info.name, y->info.name);
}

void fsfm_tensor_index_sort(fsfm_tensor_index *index)
{
    if (index->count > 0)
        qsort(index->entries, (size_t)index->count, sizeof *index->entries, compare_entries);
}

const fsfm_tensor_entry *fsfm_tensor_index_find(const fsfm_tensor_index *index, fsfm_tensor_entry_kind kind,
                                                const char *name)
{
    fsfm_tensor_entry key = {.kind = kind};
    const size_t length = strlen(name);
    if (index->count == 0 || length >= sizeof key.info.name) return NULL;
    memcpy(key.info.name, name, length + 1);
    return bsearch(&key, index->entries, (size_t)index->count, sizeof key, compare_entries);
}

/* Names and texts go in with their final 0, so that no two lists run together to the same bytes. */
static void hash_entry(XXH3_state_t *state, const fsfm_tensor_entry *entry)
{
    const int32_t head[2] = {(int32_t)entry->kind, (int32_t)entry->info.axes};
    XXH3_64bits_update(state, head, sizeof head);
    XXH3_64bits_update(state, entry->info.name, strlen(entry->info.name) + 1);
    switch (entry->kind) {
    case FSFM_ENTRY_TENSOR:
        XXH3_64bits_update(state, entry->info.shape, (size_t)entry->info.axes * sizeof entry->info.shape[0]);
        XXH3_64bits_update(state, &entry->xxh3, sizeof entry->xxh3);
        break;
    case FSFM_ENTRY_INT: XXH3_64bits_update(state, &entry->value_int, sizeof entry->value_int); break;
    case FSFM_ENTRY_REAL: XXH3_64bits_update(state, &entry->value_real, sizeof entry->value_real); break;
    case FSFM_ENTRY_TEXT: XXH3_64bits_update(state, entry->text, strlen(entry->text) + 1); break;
    }
}

fsfm_status fsfm_tensor_index_hash(const fsfm_tensor_index *index, const char *format, uint64_t *out,
                                   fsfm_error *err)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a checksum");
    XXH3_64bits_reset(state);
    XXH3_64bits_update(state, format, strlen(format) + 1);
    for (int64_t i = 0; i < index->count; i++) hash_entry(state, &index->entries[i]);
    *out = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return FSFM_OK;
}

void fsfm_tensor_index_free(fsfm_tensor_index *index)
{
    for (int64_t i = 0; i < index->count; i++) free(index->entries[i].text);
    free(index->entries);
    *index = (fsfm_tensor_index){0};
}
