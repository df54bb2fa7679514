/* SPDX-License-Identifier: Apache-2.0
 * io/shard_columns.h - a shard while it is written: the large parts in spools, the small ones in memory.
 * Internal to io/. */
#ifndef FSFM_IO_SHARD_COLUMNS_H
#define FSFM_IO_SHARD_COLUMNS_H

#include "io/shard.h"
#include "io/shard_spool.h"

struct fsfm_shard_writer {
    fsfm_shard_kind kind;
    char *path, *folder, *temporary; /* owned */
    int64_t count, count_max;
    int64_t patches_p16, patches_p14; /* 0: no such dataset */
    fsfm_shard_spool images, maps;
    uint64_t *image_offset, *map_offset; /* (count_max + 1) */
    uint64_t *xxh3, *xxh3_meta;          /* (count_max) */
    uint16_t *regions_p16, *regions_p14; /* (count_max, patches) */
    int8_t *label;
    int32_t *frame;
    char **id, **group, **domain; /* owned strings */
    uint8_t *meta;                /* what xxh3_meta of the newest sample covers */
    uint64_t meta_room;
};

/* What a shard has beside its samples. */
typedef struct {
    const fsfm_pixel_sums *sums;
    uint64_t plan_xxh3;
    const char *const *quarantine;
    int64_t quarantine_count;
} fsfm_shard_extras;

/* Writes writer->temporary, whole and synced. */
FSFM_MUST_USE
fsfm_status fsfm_shard_store(const fsfm_shard_writer *writer, const fsfm_shard_extras *extras,
                             fsfm_error *err);
#endif
