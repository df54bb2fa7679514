/* SPDX-License-Identifier: Apache-2.0
 * jobs/pack/pack.h - the parts of `fsfm pack`: find the sources, plan the shards, do one shard. Internal to
 * jobs/.
 */
#ifndef FSFM_JOBS_PACK_H
#define FSFM_JOBS_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/log.h"
#include "core/base/thread_pool.h"
#include "io/shard.h"
#include "jobs/pack/label_scheme.h"
#include "mpi/comm.h"

enum { PACK_PATH_SIZE = 4096, PACK_JPEG_QUALITY = 95 };

typedef struct {
    const char *in, *out;
    fsfm_encoding encoding;
    fsfm_label_scheme scheme;
    int64_t shard_mib, size;
    double max_bad;
} pack_options;

typedef enum { PACK_MAP_NONE, PACK_MAP_NPY, PACK_MAP_PNG } pack_map_kind;

/* One image file. Plain data: texts are offsets into the list's text, so that a list crosses ranks by copy.
 */
typedef struct {
    uint64_t path;      /* relative to the root */
    uint32_t id_length; /* the path without its extension */
    uint32_t map_kind;
    uint64_t map;           /* relative to the maps' root; 0 where there is none */
    uint64_t group, domain; /* labelled sets */
    uint64_t image_bytes, map_bytes;
    int32_t frame;
    int8_t label;
    uint8_t is_duplicate; /* another source has the same id */
} pack_source;

typedef struct {
    char root[PACK_PATH_SIZE];      /* where paths start */
    char maps_root[PACK_PATH_SIZE]; /* "" without maps */
    bool has_maps, has_labels;
    char note[256]; /* something odd that a person should know; "" */
    pack_source *sources;
    int64_t count, room;
    char *text; /* offset 0 holds "" */
    uint64_t text_bytes, text_room;
} pack_list;

/* Texts and sources. */
FSFM_MUST_USE
fsfm_status pack_list_text(pack_list *list, const char *text, size_t length, uint64_t *at, fsfm_error *err);
FSFM_MUST_USE
fsfm_status pack_list_add(pack_list *list, const char *path, fsfm_error *err);
void pack_list_free(pack_list *list);
/* In byte order of id; marks the second and later of those with one id. */
void pack_list_sort(pack_list *list);
static inline const char *pack_text(const pack_list *list, uint64_t at)
{
    return list->text + at;
}

/* Finds images (and maps) below a folder, or reads a CSV; domain: for labelled sets that do not say. Gives a
 * sorted list without file sizes. */
FSFM_MUST_USE
fsfm_status pack_scan(const char *in, const char *domain, pack_list *out, fsfm_error *err);
FSFM_MUST_USE
fsfm_status pack_scan_csv(const char *path, const char *domain, pack_list *out, fsfm_error *err);
/* Labels by class folders where all images lie in such. */
FSFM_MUST_USE
fsfm_status pack_label_by_folder(pack_list *list, const char *domain, fsfm_error *err);
/* A group (domain, group) whose samples have both labels is an error naming it. */
FSFM_MUST_USE
fsfm_status pack_check_groups(const pack_list *list, fsfm_error *err);

/* Sources [first, first + count) become one file. */
typedef struct {
    int64_t first, count;
    uint64_t source_bytes; /* raw: pixels; jpeg: files */
    uint64_t plan_xxh3;    /* over options and its part of the list */
    int64_t newest_ns;     /* when the last of its sources changed, Unix time */
    bool is_done;          /* a shard of this plan is there already */
} pack_shard;

typedef struct {
    const pack_options *options;
    pack_list list;
    fsfm_shard_kind kind;
    pack_shard *shards;
    int64_t shard_count;
} pack_plan;

/* Collective: rank 0 scans, all learn the list, share the look at file sizes and find the shards that are
 * done. */
FSFM_MUST_USE
fsfm_status pack_plan_make(fsfm_comm *comm, const pack_options *options, pack_plan *out, fsfm_error *err);
void pack_plan_free(pack_plan *plan);
FSFM_MUST_USE
fsfm_status pack_shard_path(const pack_options *options, int64_t shard, char out[PACK_PATH_SIZE],
                            fsfm_error *err);
/* root/path, or path alone where it is absolute; fails where that is too long. */
FSFM_MUST_USE
fsfm_status pack_file_path(const char *root, const char *path, char out[PACK_PATH_SIZE]);
/* About how much a shard takes on disk. */
uint64_t pack_shard_bytes(const pack_plan *plan, const pack_shard *shard);

/* One sample, made from its files. */
typedef struct {
    char *reason; /* of quarantine, owned; NULL: good */
    uint8_t *image, *map_deflated;
    uint64_t image_bytes, map_bytes;
    uint16_t *regions_p16, *regions_p14;
    fsfm_pixel_sums sums;
} pack_product;

/* Any thread. A bad file gives a reason; the status is for our own want of memory alone. */
FSFM_MUST_USE
fsfm_status pack_sample(const pack_plan *plan, const pack_source *source, pack_product *out, fsfm_error *err);
void pack_product_free(pack_product *product);

/* Called as samples are done. */
typedef void (*pack_progress_fn)(void *context, int64_t samples);
FSFM_MUST_USE
fsfm_status pack_one_shard(const pack_plan *plan, int64_t shard, fsfm_thread_pool *pool,
                           pack_progress_fn progress, void *context, fsfm_error *err);

/* Rank 0, before the first shard: says what will be written; makes the folder, removes what a stopped pack
 * left, checks the free space of the disk. */
void pack_announce(const pack_plan *plan, fsfm_log *log);
FSFM_MUST_USE
fsfm_status pack_prepare(const pack_plan *plan, int ranks, fsfm_error *err);
/* Rank 0, after the last shard: dataset.yaml, and what is to be said. Fails where no sample is good, and (the
 * dataset is written then) where too many are bad. */
FSFM_MUST_USE
fsfm_status pack_finish(const pack_plan *plan, fsfm_log *log, fsfm_error *err);
#endif
