/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "io/shard.h"
#include "io/shard_bytes.h"

uint64_t fsfm_shard_tables_bytes(const fsfm_shard_layout *layout)
{
    const uint64_t n = (uint64_t)layout->count;
    uint64_t bytes = 2 * n * sizeof(uint64_t);
    if (layout->image_offset) bytes += (n + 1) * sizeof(uint64_t);
    if (layout->map_offset) bytes += (n + 1) * sizeof(uint64_t);
    if (layout->label) bytes += n;
    return bytes;
}

/* An absent table (offset 0) stays NULL. */
static fsfm_status load(int fd, uint64_t offset, uint64_t size_bytes, void **out, fsfm_error *err)
{
    *out = NULL;
    if (offset == 0) return FSFM_OK;
    if (!(*out = malloc(size_bytes)))
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a table of %" PRIu64 " bytes", size_bytes);
    return fsfm_pread_all(fd, *out, size_bytes, offset, err);
}

fsfm_status fsfm_shard_tables_load(int fd, const fsfm_shard_layout *layout, fsfm_shard_tables *out,
                                   fsfm_error *err)
{
    const uint64_t n = (uint64_t)layout->count, entry = sizeof(uint64_t);
    void *image_offset = NULL, *map_offset = NULL, *xxh3 = NULL, *xxh3_meta = NULL, *label = NULL;
    fsfm_status st = load(fd, layout->image_offset, (n + 1) * entry, &image_offset, err);
    if (st == FSFM_OK) st = load(fd, layout->map_offset, (n + 1) * entry, &map_offset, err);
    if (st == FSFM_OK) st = load(fd, layout->xxh3, n * entry, &xxh3, err);
    if (st == FSFM_OK) st = load(fd, layout->xxh3_meta, n * entry, &xxh3_meta, err);
    if (st == FSFM_OK) st = load(fd, layout->label, n, &label, err);
    *out = (fsfm_shard_tables){image_offset, map_offset, xxh3, xxh3_meta, label};
    if (st != FSFM_OK) fsfm_shard_tables_free(out);
    return st;
}

void fsfm_shard_tables_free(fsfm_shard_tables *tables)
{
    free(tables->image_offset);
    free(tables->map_offset);
    free(tables->xxh3);
    free(tables->xxh3_meta);
    free(tables->label);
    memset(tables, 0, sizeof *tables);
}
