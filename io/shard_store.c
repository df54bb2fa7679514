/* SPDX-License-Identifier: Apache-2.0
 * Makes the HDF5 file of a shard whose samples are all known. HDF5 lays out every dataset at once
 * (contiguous, allocated early) and writes the small ones; images and maps are then copied from the spools to
 * where HDF5 put them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/shard_columns.h"
#include "io/shard_hdf5.h"

enum { SMALL_ROOM = 1 << 20 }; /* for HDF5's own records */

/* One dataset; values NULL: only laid out, its offset wanted. */
typedef struct {
    const char *name;
    hid_t stored, memory;
    int axes;
    hsize_t dims[4];
    const void *values;
    uint64_t *offset; /* may be NULL */
} column;

static fsfm_status write_column(hid_t file, const column *c, fsfm_error *err)
{
    char reason[160];
    fsfm_status st = FSFM_OK;
    const bool is_text = H5Tget_class(c->stored) == H5T_STRING;
    hid_t space = H5Screate_simple(c->axes, c->dims, NULL), properties = H5Pcreate(H5P_DATASET_CREATE);
    hid_t dataset = H5I_INVALID_HID;
    /* HDF5 wants a fill value for strings; elsewhere filling would write the images' space twice. */
    if (space < 0 || properties < 0 || H5Pset_layout(properties, H5D_CONTIGUOUS) < 0 ||
        H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY) < 0 ||
        H5Pset_obj_track_times(properties, 0) < 0 ||
        H5Pset_fill_time(properties, is_text ? H5D_FILL_TIME_IFSET : H5D_FILL_TIME_NEVER) < 0 ||
        (dataset = H5Dcreate2(file, c->name, c->stored, space, H5P_DEFAULT, properties, H5P_DEFAULT)) < 0 ||
        (c->values && c->dims[0] > 0 &&
         H5Dwrite(dataset, c->memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, c->values) < 0))
        st = fsfm_fail(err, FSFM_ERR_IO, "dataset '%s' cannot be written (%s)", c->name,
                       fsfm_h5_reason(reason));
    else if (c->offset) {
        const haddr_t offset = H5Dget_offset(dataset);
        *c->offset = offset == HADDR_UNDEF ? 0 : offset;
    }
    if (dataset >= 0 && H5Dclose(dataset) < 0 && st == FSFM_OK)
        st = fsfm_fail(err, FSFM_ERR_IO, "dataset '%s' cannot be closed (%s)", c->name,
                       fsfm_h5_reason(reason));
    if (properties >= 0) H5Pclose(properties);
    if (space >= 0) H5Sclose(space);
    return st;
}

static fsfm_status write_columns(hid_t file, hid_t text, const fsfm_shard_writer *w,
                                 const fsfm_shard_extras *extras, uint64_t *images_at, uint64_t *maps_at,
                                 fsfm_error *err)
{
    const hid_t u8 = H5T_STD_U8LE, u16 = H5T_STD_U16LE, u64 = H5T_STD_U64LE;
    const hsize_t n = (hsize_t)w->count, size = (hsize_t)w->kind.size;
    const hsize_t p16 = (hsize_t)w->patches_p16, p14 = (hsize_t)w->patches_p14;
    column columns[16];
    int count = 0;
    if (w->kind.encoding == FSFM_ENCODING_RAW) {
        columns[count++] = (column){"images", u8, 0, 4, {n, size, size, 3}, NULL, images_at};
    } else {
        columns[count++] = (column){"image_bytes", u8, 0, 1, {w->images.size_bytes}, NULL, images_at};
        columns[count++] =
            (column){"image_offset", u64, H5T_NATIVE_UINT64, 1, {n + 1}, w->image_offset, NULL};
    }
    if (w->kind.has_regions) {
        if (p16)
            columns[count++] =
                (column){"regions_p16", u16, H5T_NATIVE_UINT16, 2, {n, p16}, w->regions_p16, NULL};
        if (p14)
            columns[count++] =
                (column){"regions_p14", u16, H5T_NATIVE_UINT16, 2, {n, p14}, w->regions_p14, NULL};
        columns[count++] = (column){"map_bytes", u8, 0, 1, {w->maps.size_bytes}, NULL, maps_at};
        columns[count++] = (column){"map_offset", u64, H5T_NATIVE_UINT64, 1, {n + 1}, w->map_offset, NULL};
    }
    columns[count++] = (column){"xxh3", u64, H5T_NATIVE_UINT64, 1, {n}, w->xxh3, NULL};
    columns[count++] = (column){"xxh3_meta", u64, H5T_NATIVE_UINT64, 1, {n}, w->xxh3_meta, NULL};
    columns[count++] = (column){"id", text, text, 1, {n}, w->id, NULL};
    if (w->kind.has_labels) {
        columns[count++] = (column){"label", H5T_STD_I8LE, H5T_NATIVE_INT8, 1, {n}, w->label, NULL};
        columns[count++] = (column){"group", text, text, 1, {n}, w->group, NULL};
        columns[count++] = (column){"domain", text, text, 1, {n}, w->domain, NULL};
        columns[count++] = (column){"frame", H5T_STD_I32LE, H5T_NATIVE_INT32, 1, {n}, w->frame, NULL};
    }
    columns[count++] =
        (column){"quarantine", text, text, 1, {(hsize_t)extras->quarantine_count}, extras->quarantine, NULL};
    for (int i = 0; i < count; i++) FSFM_TRY(write_column(file, &columns[i], err));
    return FSFM_OK;
}

static fsfm_status write_attributes(hid_t file, const fsfm_shard_kind *kind, const fsfm_shard_extras *extras,
                                    fsfm_error *err)
{
    const uint64_t size = (uint64_t)kind->size;
    FSFM_TRY(fsfm_h5_write_text(file, "format", FSFM_SHARD_FORMAT, err));
    FSFM_TRY(fsfm_h5_write_u64(file, "image_size", &size, 1, err));
    FSFM_TRY(fsfm_h5_write_text(file, "encoding", kind->encoding == FSFM_ENCODING_RAW ? "raw" : "jpeg", err));
    FSFM_TRY(fsfm_h5_write_text(file, "label_scheme", kind->label_scheme, err));
    FSFM_TRY(fsfm_h5_write_u64(file, "pixels", &extras->sums->pixels, 1, err));
    FSFM_TRY(fsfm_h5_write_u64(file, "pixel_sum", extras->sums->sum, 3, err));
    FSFM_TRY(fsfm_h5_write_u64(file, "pixel_sum_of_squares", extras->sums->sum_of_squares, 3, err));
    return fsfm_h5_write_u64(file, "plan_xxh3", &extras->plan_xxh3, 1, err);
}

static hid_t create_file(const char *path)
{
    hid_t file = H5I_INVALID_HID, access = fsfm_h5_access(), create = H5Pcreate(H5P_FILE_CREATE);
    if (access >= 0 && create >= 0 && H5Pset_obj_track_times(create, 0) >= 0)
        file = H5Fcreate(path, H5F_ACC_TRUNC, create, access);
    if (create >= 0) H5Pclose(create);
    if (access >= 0) H5Pclose(access);
    return file;
}

/* HDF5 cannot close a file whose last records do not fit on the disk, so their space is taken before it
 * starts: the size limit is tried by growing the file, the disk by reserving blocks (where the file system
 * can). */
static fsfm_status reserve(int fd, uint64_t size_bytes, fsfm_error *err)
{
    if (ftruncate(fd, (off_t)size_bytes) != 0 || ftruncate(fd, 0) != 0 ||
        (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size_bytes) != 0 && errno != EOPNOTSUPP &&
         errno != ENOSYS))
        return fsfm_fail(err, FSFM_ERR_IO, "cannot take %.1f MiB for the shard: %s",
                         (double)size_bytes / (1 << 20), strerror(errno));
    return FSFM_OK;
}

static uint64_t size_bound(const fsfm_shard_writer *w, const fsfm_shard_extras *extras)
{
    const uint64_t row = 128 + 2 * (uint64_t)(w->patches_p16 + w->patches_p14);
    uint64_t bytes = w->images.size_bytes + w->maps.size_bytes + (uint64_t)(w->count + 1) * row + SMALL_ROOM;
    for (int64_t i = 0; i < w->count; i++) {
        bytes += strlen(w->id[i]);
        if (w->kind.has_labels) bytes += strlen(w->group[i]) + strlen(w->domain[i]);
    }
    for (int64_t i = 0; i < extras->quarantine_count; i++) bytes += strlen(extras->quarantine[i]) + 64;
    return bytes + bytes / 64;
}

/* Under the lock. */
static fsfm_status store_structure(const fsfm_shard_writer *w, const fsfm_shard_extras *extras,
                                   uint64_t *images_at, uint64_t *maps_at, fsfm_error *err)
{
    char reason[160];
    hid_t text = fsfm_h5_string_type(), file = text >= 0 ? create_file(w->temporary) : H5I_INVALID_HID;
    fsfm_status st = FSFM_OK;
    if (file < 0) st = fsfm_fail(err, FSFM_ERR_IO, "cannot be created (%s)", fsfm_h5_reason(reason));
    if (st == FSFM_OK) st = write_attributes(file, &w->kind, extras, err);
    if (st == FSFM_OK) st = write_columns(file, text, w, extras, images_at, maps_at, err);
    if (file >= 0 && H5Fclose(file) < 0 && st == FSFM_OK)
        st = fsfm_fail(err, FSFM_ERR_IO, "cannot be closed (%s)", fsfm_h5_reason(reason));
    if (text >= 0) H5Tclose(text);
    return st;
}

/* Gives back what was reserved behind the end, and makes the file last. */
static fsfm_status settle(int fd, fsfm_error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || ftruncate(fd, info.st_size) != 0 || fsync(fd) != 0)
        return fsfm_fail(err, FSFM_ERR_IO, "cannot write: %s", strerror(errno));
    return FSFM_OK;
}

fsfm_status fsfm_shard_store(const fsfm_shard_writer *writer, const fsfm_shard_extras *extras,
                             fsfm_error *err)
{
    uint64_t images_at = 0, maps_at = 0;
    const int fd = open(writer->temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return fsfm_fail(err, FSFM_ERR_IO, "cannot create: %s", strerror(errno));
    fsfm_status st = reserve(fd, size_bound(writer, extras), err);
    if (st == FSFM_OK) {
        fsfm_hdf5_lock();
        st = store_structure(writer, extras, &images_at, &maps_at, err);
        fsfm_hdf5_unlock();
    }
    if (st == FSFM_OK) st = fsfm_shard_spool_copy(&writer->images, fd, images_at, err);
    if (st == FSFM_OK && writer->kind.has_regions)
        st = fsfm_shard_spool_copy(&writer->maps, fd, maps_at, err);
    if (st == FSFM_OK) st = settle(fd, err);
    close(fd);
    return st;
}
