/* SPDX-License-Identifier: Apache-2.0
 * io/shard.h - one HDF5 shard of a packed dataset, format fsfm-shard-1 (DESIGN.md, "Data: HDF5 shards").
 *
 * A shard is written once, from front to back, under a temporary name. For reading, HDF5 is asked once where
 * the arrays lie (fsfm_shard_layout, plain data); samples are then read with pread by any number of threads.
 */
#ifndef FSFM_IO_SHARD_H
#define FSFM_IO_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"

#define FSFM_SHARD_FORMAT "fsfm-shard-1"

typedef enum { FSFM_ENCODING_RAW, FSFM_ENCODING_JPEG } fsfm_encoding;

enum {
    FSFM_REGIONS_P16 = 196,
    FSFM_REGIONS_P14 = 256
}; /* patches of a 224 image; (size / 16)^2, (size / 14)^2 */

/* What every sample of a shard looks like. */
typedef struct {
    int size; /* images are size x size */
    fsfm_encoding encoding;
    char label_scheme[64]; /* "lapa11", ...: of the maps before they became lapa11; "" without maps */
    bool has_regions;      /* regions_p16, regions_p14 (each where it divides size), maps */
    bool has_labels;       /* label, group, domain, frame */
} fsfm_shard_kind;

/* One sample for writing, borrowed. */
typedef struct {
    const char *id;
    const uint8_t *image; /* (size, size, 3), or a JPEG file */
    uint64_t image_bytes;
    const uint16_t *regions_p16, *regions_p14;
    const uint8_t *map_deflated; /* zlib stream of the (size, size) lapa11 labels */
    uint64_t map_bytes;
    int8_t label; /* -1 none */
    const char *group, *domain;
    int32_t frame; /* -1 none */
} fsfm_shard_sample;

/* Exact sums over the pixels that a reader will decode. */
typedef struct {
    uint64_t pixels, sum[3], sum_of_squares[3];
} fsfm_pixel_sums;

typedef struct fsfm_shard_writer fsfm_shard_writer;
/* Begins path under a temporary name. count_max: most samples that can come (sizes the small columns in
 * memory; images wait in a nameless file beside path until the last sample is known). */
FSFM_MUST_USE
fsfm_status fsfm_shard_writer_open(const char *path, const fsfm_shard_kind *kind, int64_t count_max,
                                   fsfm_shard_writer **out, fsfm_error *err);
FSFM_MUST_USE
fsfm_status fsfm_shard_writer_add(fsfm_shard_writer *writer, const fsfm_shard_sample *sample,
                                  fsfm_error *err);
/* Adds sums, the hash of the plan that it was packed by and its part of the quarantine list ("path: reason"
 * lines) as attributes and datasets, fsyncs and renames. Ends the writer in every case; on failure nothing is
 * left at path. */
FSFM_MUST_USE
fsfm_status fsfm_shard_writer_finish(fsfm_shard_writer **writer, const fsfm_pixel_sums *sums,
                                     uint64_t plan_xxh3, const char *const *quarantine,
                                     int64_t quarantine_count, fsfm_error *err);
void fsfm_shard_writer_abandon(fsfm_shard_writer **writer); /* accepts NULL; removes the temporary file */

/* The small tables of a shard in memory: a sample then takes one read for each large part only. */
typedef struct {
    uint64_t *image_offset, *map_offset; /* (count + 1); NULL where absent */
    uint64_t *xxh3, *xxh3_meta;          /* (count) */
    int8_t *label;                       /* (count); NULL where absent */
} fsfm_shard_tables;

/* Where things lie in the file; offsets in bytes, 0 where a dataset is absent. Plain data. */
typedef struct {
    fsfm_shard_kind kind;
    int64_t count;
    uint64_t file_bytes;
    uint64_t images;       /* raw: (count, size, size, 3) u8 */
    uint64_t image_bytes;  /* jpeg: u8 */
    uint64_t image_offset; /* jpeg: (count + 1) u64 */
    uint64_t regions_p16, regions_p14;
    uint64_t map_bytes, map_offset;
    uint64_t image_bytes_length, map_bytes_length; /* of those datasets */
    uint64_t xxh3, xxh3_meta;                      /* (count) u64 */
    uint64_t label, frame;                         /* (count) i8, i32 */
    const fsfm_shard_tables *tables; /* borrowed; NULL (as read_layout leaves it): in the file only */
} fsfm_shard_layout;

/* Opens path with HDF5 (under the one lock around HDF5), checks format, version, shapes, types, and that no
 * dataset reaches past the end of the file, and closes it again. Messages name the file and the broken rule.
 */
FSFM_MUST_USE
fsfm_status fsfm_shard_read_layout(const char *path, fsfm_shard_layout *out, fsfm_error *err);

/* Loads the tables through the open descriptor fd. The caller owns them and may let layout->tables point to
 * them. */
uint64_t fsfm_shard_tables_bytes(const fsfm_shard_layout *layout);
FSFM_MUST_USE
fsfm_status fsfm_shard_tables_load(int fd, const fsfm_shard_layout *layout, fsfm_shard_tables *out,
                                   fsfm_error *err);
void fsfm_shard_tables_free(fsfm_shard_tables *tables);

/* The parts that only packing and people need. */
typedef struct {
    fsfm_pixel_sums sums;
    uint64_t plan_xxh3;
    char **quarantine; /* owned */
    int64_t quarantine_count;
} fsfm_shard_record;
FSFM_MUST_USE
fsfm_status fsfm_shard_read_record(const char *path, fsfm_shard_record *out, fsfm_error *err);
void fsfm_shard_record_free(fsfm_shard_record *record);
/* Ids of samples [first, first + count); owned strings in out. which: "id", "group" or "domain". */
FSFM_MUST_USE
fsfm_status fsfm_shard_read_strings(const char *path, const char *which, int64_t first, int64_t count,
                                    char **out, fsfm_error *err);

/* A sample as stored, read by pread into buffers that grow as needed. One per thread. */
typedef struct {
    uint8_t *image; /* raw pixels or JPEG file */
    uint64_t image_bytes, image_room;
    uint8_t *meta; /* regions_p16, regions_p14, deflated map, label, in this order: what xxh3_meta covers */
    uint64_t meta_bytes, meta_room;
    const uint16_t *regions_p16, *regions_p14; /* into meta; NULL where absent */
    const uint8_t *map_deflated;
    uint64_t map_bytes;
    int8_t label;
} fsfm_stored_sample;

/* Reads sample index through the open descriptor fd and compares both checksums. image_into: for raw shards,
 * where the pixels go (NULL: into out->image). FSFM_ERR_FORMAT if a checksum does not match or lengths make
 * no sense; FSFM_ERR_IO if the file cannot be read. */
FSFM_MUST_USE
fsfm_status fsfm_shard_pread(int fd, const fsfm_shard_layout *layout, int64_t index, uint8_t *image_into,
                             fsfm_stored_sample *out, fsfm_error *err);
void fsfm_stored_sample_free(fsfm_stored_sample *sample);

/* Bytes of a file. */
typedef struct {
    uint64_t offset, size_bytes;
} fsfm_extent;

/* What fsfm_shard_pread() reads of a sample beside the small tables: its image, then as far as they exist its
 * regions_p16, regions_p14 and map. */
typedef struct {
    int fd; /* borrowed */
    int count;
    fsfm_extent part[4];
} fsfm_stored_place;
FSFM_MUST_USE
fsfm_status fsfm_shard_locate(int fd, const fsfm_shard_layout *layout, int64_t index, fsfm_stored_place *out,
                              fsfm_error *err);

/* xxh3 over everything in the shard that has one of its own: reads all samples. bad gets up to bad_max
 * indices whose checksum does not match; *bad_count counts all. */
FSFM_MUST_USE
fsfm_status fsfm_shard_verify(const char *path, int64_t *bad, int64_t bad_max, int64_t *bad_count,
                              fsfm_error *err);
/* XXH3-64 of all xxh3 and xxh3_meta entries and ids in order (labelled: then groups, domains and frames;
 * strings with their ending 0): a shard's entry in dataset.yaml. */
FSFM_MUST_USE
fsfm_status fsfm_shard_checksum(const char *path, uint64_t *out, fsfm_error *err);

/* The one lock around HDF5, as not every build of it is thread-safe; also switches HDF5's own printing off.
 */
void fsfm_hdf5_lock(void);
void fsfm_hdf5_unlock(void);
#endif
