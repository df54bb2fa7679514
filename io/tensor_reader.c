/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/checksum.h"
#include "io/tensor_catalog.h"
#include "io/tensor_file.h"
#include "io/tensor_index.h"
#include "io/tensor_verify.h"

/* Bytes that are read and hashed at a time: they are still in the cache when they are hashed. */
enum { BLOCK_BYTES = 1 << 18 };

struct fsfm_tensor_reader {
    char *path;
    int fd;
    fsfm_tensor_index index;
    int64_t tensors; /* the first entries of index */
    uint64_t xxh3_meta;
};

static fsfm_status open_regular_file(const char *path, int *fd, fsfm_error *err)
{
    struct stat info;
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0 || fstat(*fd, &info) != 0)
        return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return fsfm_fail(err, FSFM_ERR_IO, "%s: is not a file", path);
    return FSFM_OK;
}

fsfm_status fsfm_tensor_reader_open(const char *path, const char *format, fsfm_tensor_reader **out,
                                    fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    uint64_t found = 0;
    fsfm_tensor_reader *reader = calloc(1, sizeof *reader);
    *out = NULL;
    if (!reader) return fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory to read it", path);
    reader->fd = -1;
    if (!(reader->path = strdup(path)))
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory to read it", path);
    else
        st = open_regular_file(path, &reader->fd, err);
    if (st == FSFM_OK)
        st = fsfm_tensor_catalog_read(path, reader->fd, format, &reader->index, &reader->xxh3_meta, err);
    if (st == FSFM_OK) st = fsfm_tensor_index_hash(&reader->index, format, &found, err);
    if (st == FSFM_OK && found != reader->xxh3_meta)
        st = fsfm_fail(err, FSFM_ERR_FORMAT,
                       "%s: is damaged: the checksum over its attributes, texts and names does not match",
                       path);
    while (reader->tensors < reader->index.count &&
           reader->index.entries[reader->tensors].kind == FSFM_ENTRY_TENSOR)
        reader->tensors++;
    if (st == FSFM_OK)
        *out = reader;
    else
        fsfm_tensor_reader_close(&reader);
    return st;
}

/* Reads a tensor into values, or only through block (BLOCK_BYTES) where values is NULL. *matches: its
 * checksum does. */
static fsfm_status read_hashed(const fsfm_tensor_reader *reader, const fsfm_tensor_entry *entry,
                               float *values, char *block, bool *matches, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    XXH3_state_t *state = XXH3_createState();
    if (!state) return fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory for a checksum", reader->path);
    XXH3_64bits_reset(state);
    for (uint64_t done = 0, n; done < entry->size_bytes && st == FSFM_OK; done += n) {
        n = entry->size_bytes - done < BLOCK_BYTES ? entry->size_bytes - done : BLOCK_BYTES;
        char *into = values ? (char *)values + done : block;
        st = fsfm_tensor_pread(reader->path, reader->fd, into, n, entry->offset + done, err);
        if (st == FSFM_OK) fsfm_checksum_update(state, into, n);
    }
    *matches = st == FSFM_OK && XXH3_64bits_digest(state) == entry->xxh3;
    XXH3_freeState(state);
    return st;
}

static fsfm_status find(const fsfm_tensor_reader *reader, fsfm_tensor_entry_kind kind, const char *what,
                        const char *name, const fsfm_tensor_entry **out, fsfm_error *err)
{
    *out = fsfm_tensor_index_find(&reader->index, kind, name);
    if (*out) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: %s '%s' is missing", reader->path, what, name);
}

fsfm_status fsfm_tensor_reader_get(fsfm_tensor_reader *reader, const char *name, int64_t count, float *values,
                                   fsfm_error *err)
{
    const fsfm_tensor_entry *entry = NULL;
    bool matches = false;
    FSFM_TRY(find(reader, FSFM_ENTRY_TENSOR, "tensor", name, &entry, err));
    const int64_t found = (int64_t)(entry->size_bytes / sizeof *values);
    if (found != count)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: tensor '%s' has %" PRId64 " values, expected %" PRId64,
                         reader->path, name, found, count);
    FSFM_TRY(read_hashed(reader, entry, values, NULL, &matches, err));
    if (!matches)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: tensor '%s' is damaged: its checksum does not match",
                         reader->path, name);
    return FSFM_OK;
}

fsfm_status fsfm_tensor_reader_int(fsfm_tensor_reader *reader, const char *name, int64_t *out,
                                   fsfm_error *err)
{
    const fsfm_tensor_entry *entry = NULL;
    FSFM_TRY(find(reader, FSFM_ENTRY_INT, "whole number", name, &entry, err));
    *out = entry->value_int;
    return FSFM_OK;
}

fsfm_status fsfm_tensor_reader_real(fsfm_tensor_reader *reader, const char *name, double *out,
                                    fsfm_error *err)
{
    const fsfm_tensor_entry *entry = NULL;
    FSFM_TRY(find(reader, FSFM_ENTRY_REAL, "number", name, &entry, err));
    *out = entry->value_real;
    return FSFM_OK;
}

fsfm_status fsfm_tensor_reader_text(fsfm_tensor_reader *reader, const char *name, char **out, fsfm_error *err)
{
    const fsfm_tensor_entry *entry = NULL;
    *out = NULL;
    FSFM_TRY(find(reader, FSFM_ENTRY_TEXT, "text", name, &entry, err));
    if (!(*out = strdup(entry->text)))
        return fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory for text '%s'", reader->path, name);
    return FSFM_OK;
}

int64_t fsfm_tensor_reader_count(const fsfm_tensor_reader *reader)
{
    return reader->tensors;
}

const fsfm_tensor_info *fsfm_tensor_reader_info(const fsfm_tensor_reader *reader, int64_t index)
{
    FSFM_ASSERT(index >= 0 && index < reader->tensors);
    return &reader->index.entries[index].info;
}

void fsfm_tensor_reader_close(fsfm_tensor_reader **reader)
{
    if (!*reader) return;
    if ((*reader)->fd >= 0) close((*reader)->fd);
    fsfm_tensor_index_free(&(*reader)->index);
    free((*reader)->path);
    free(*reader);
    *reader = NULL;
}

/* Names of damaged tensors, comma between, as many as fit. */
static void append_name(char *list, size_t size_bytes, const char *name)
{
    const size_t used = strlen(list);
    const int room = (int)(size_bytes - used);
    if (snprintf(list + used, (size_t)room, "%s%s", used ? ", " : "", name) >= room) list[used] = 0;
}

static fsfm_status verify_tensors(const fsfm_tensor_reader *reader, fsfm_error *err)
{
    char names[256] = "";
    int64_t damaged = 0;
    fsfm_status st = FSFM_OK;
    char *block = malloc(BLOCK_BYTES);
    if (!block) return fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory to check it", reader->path);
    for (int64_t i = 0; i < reader->tensors && st == FSFM_OK; i++) {
        bool matches = false;
        st = read_hashed(reader, &reader->index.entries[i], NULL, block, &matches, err);
        if (st != FSFM_OK || matches) continue;
        damaged++;
        append_name(names, sizeof names, reader->index.entries[i].info.name);
    }
    free(block);
    if (st == FSFM_OK && damaged > 0)
        st =
            fsfm_fail(err, FSFM_ERR_FORMAT,
                      "%s: is damaged: the checksum does not match in %" PRId64 " of %" PRId64 " tensors: %s",
                      reader->path, damaged, reader->tensors, names);
    return st;
}

fsfm_status fsfm_tensor_file_verify(const char *path, const char *format, fsfm_error *err)
{
    fsfm_tensor_reader *reader = NULL;
    FSFM_TRY(fsfm_tensor_reader_open(path, format, &reader, err));
    const fsfm_status st = verify_tensors(reader, err);
    fsfm_tensor_reader_close(&reader);
    return st;
}

fsfm_status fsfm_tensor_file_verify_content(const char *path, const char *format, uint64_t xxh3_meta,
                                            fsfm_error *err)
{
    fsfm_tensor_reader *reader = NULL;
    FSFM_TRY(fsfm_tensor_reader_open(path, format, &reader, err));
    fsfm_status st = verify_tensors(reader, err);
    if (st == FSFM_OK && reader->xxh3_meta != xxh3_meta)
        st = fsfm_fail(err, FSFM_ERR_FORMAT, "%s: its checksum is not that of what was written", path);
    fsfm_tensor_reader_close(&reader);
    return st;
}
