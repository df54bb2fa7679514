/* SPDX-License-Identifier: Apache-2.0
 * HDF5 lays the file out and writes what describes the tensors; their bytes go to the offsets it gave by
 * pwrite, which says why it fails (disk full, quota, limits) and needs no lock. */
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/checksum.h"
#include "io/file.h"
#include "io/hdf5_error.h"
#include "io/shard.h"
#include "io/tensor_file.h"
#include "io/tensor_index.h"
#include "io/tensor_verify.h"

struct fsfm_tensor_writer {
    char *path, *temporary, *format;
    hid_t file, dataset_list, group_list; /* open file; creation properties of datasets and groups */
    int fd;                               /* the same file */
    fsfm_tensor_index index;
    fsfm_error failure; /* the first one: a file with a hole is never finished */
};

static fsfm_status fail_system(const fsfm_tensor_writer *writer, const char *what, fsfm_error *err)
{
    return fsfm_fail(err, FSFM_ERR_IO, "%s: %s: %s", writer->path, what, strerror(errno));
}

static fsfm_status fail_hdf5(const fsfm_tensor_writer *writer, const char *what, const char *name,
                             fsfm_error *err)
{
    char reason[256];
    fsfm_hdf5_reason(reason, sizeof reason);
    return fsfm_fail(err, FSFM_ERR_IO, "%s: %s%s%s: %s", writer->path, what, *name ? " " : "", name, reason);
}

/* Keeps the first failure, so that finish() repeats it. */
static fsfm_status keep_failure(fsfm_tensor_writer *writer, fsfm_status st, const fsfm_error *failure,
                                fsfm_error *err)
{
    if (st == FSFM_OK) return FSFM_OK;
    if (writer->failure.status == FSFM_OK) writer->failure = *failure;
    if (err) *err = *failure;
    return st;
}

static fsfm_status write_at(const fsfm_tensor_writer *writer, const void *bytes, uint64_t size_bytes,
                            uint64_t offset, fsfm_error *err)
{
    const char *from = bytes;
    while (size_bytes > 0) {
        const ssize_t n = pwrite(writer->fd, from, (size_t)size_bytes, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = EIO;
        if (n <= 0) return fail_system(writer, "cannot write", err);
        from += n;
        offset += (uint64_t)n;
        size_bytes -= (uint64_t)n;
    }
    return FSFM_OK;
}

/* An attribute of one value; type_id says how it stands in the file and in memory. */
static bool write_attribute(hid_t object, const char *name, hid_t type_id, const void *value)
{
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t attribute = H5Acreate2(object, name, type_id, space, H5P_DEFAULT, H5P_DEFAULT);
    const bool ok = attribute >= 0 && H5Awrite(attribute, type_id, value) >= 0;
    if (attribute >= 0) H5Aclose(attribute);
    if (space >= 0) H5Sclose(space);
    return ok;
}

static hid_t text_type(size_t size_bytes)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, size_bytes);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

static bool set_file_access(hid_t list)
{
#if H5_VERSION_GE(1, 10, 7)
    /* The temporary file is ours alone, and not every cluster file system has locks. */
    if (H5Pset_file_locking(list, false, true) < 0) return false;
#endif
    return H5Pset_libver_bounds(list, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0;
}

/* Under the lock. No times anywhere, so that equal content gives equal bytes. */
static bool create_file(fsfm_tensor_writer *writer)
{
    const hid_t creation = H5Pcreate(H5P_FILE_CREATE), access = H5Pcreate(H5P_FILE_ACCESS);
    writer->dataset_list = H5Pcreate(H5P_DATASET_CREATE);
    writer->group_list = H5Pcreate(H5P_GROUP_CREATE);
    bool ok = creation >= 0 && access >= 0 && writer->dataset_list >= 0 && writer->group_list >= 0 &&
              H5Pset_obj_track_times(creation, false) >= 0 && set_file_access(access) &&
              H5Pset_obj_track_times(writer->group_list, false) >= 0 &&
              H5Pset_obj_track_times(writer->dataset_list, false) >= 0 &&
              H5Pset_layout(writer->dataset_list, H5D_CONTIGUOUS) >= 0 &&
              H5Pset_alloc_time(writer->dataset_list, H5D_ALLOC_TIME_EARLY) >= 0 &&
              H5Pset_fill_time(writer->dataset_list, H5D_FILL_TIME_NEVER) >= 0 &&
              (writer->file = H5Fcreate(writer->temporary, H5F_ACC_TRUNC, creation, access)) >= 0;
    if (ok) {
        const hid_t type = text_type(strlen(writer->format) + 1);
        ok = write_attribute(writer->file, "format", type, writer->format);
        H5Tclose(type);
    }
    return ok;
}

fsfm_status fsfm_tensor_writer_open(const char *path, const char *format, fsfm_tensor_writer **out,
                                    fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    fsfm_tensor_writer *writer = calloc(1, sizeof *writer);
    *out = NULL;
    if (!writer) return fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory to write it", path);
    writer->file = writer->dataset_list = writer->group_list = H5I_INVALID_HID;
    writer->fd = -1;
    writer->path = strdup(path);
    writer->format = strdup(format);
    if (asprintf(&writer->temporary, "%s.tmp", path) < 0) writer->temporary = NULL;
    if (!writer->path || !writer->format || !writer->temporary)
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory to write it", path);
    else if ((writer->fd = open(writer->temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) < 0)
        st = fail_system(writer, "cannot create a file beside it", err);
    if (st == FSFM_OK) {
        fsfm_hdf5_lock();
        if (!create_file(writer)) st = fail_hdf5(writer, "cannot create", "", err);
        fsfm_hdf5_unlock();
    }
    if (st == FSFM_OK)
        *out = writer;
    else
        fsfm_tensor_writer_abandon(&writer);
    return st;
}

/* The file system's count of free bytes is asked first: to set aside more than there is would fill it, for
 * others too. Not every file system can set aside. */
fsfm_status fsfm_tensor_writer_reserve(fsfm_tensor_writer *writer, uint64_t size_bytes, fsfm_error *err)
{
    fsfm_error failure = {.status = FSFM_OK};
    uint64_t free_bytes = 0;
    fsfm_status st = fsfm_folder_free_bytes(writer->temporary, &free_bytes, &failure);
    if (st == FSFM_OK && size_bytes > 0) {
        errno = free_bytes < size_bytes ? ENOSPC : 0;
        if (!errno && fallocate(writer->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size_bytes) == 0) errno = 0;
        if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
            st = fsfm_fail(&failure, FSFM_ERR_IO, "%s: needs %.1f MiB, %.1f MiB are free: %s", writer->path,
                           (double)size_bytes / 1048576.0, (double)free_bytes / 1048576.0, strerror(errno));
    }
    return keep_failure(writer, st, &failure, err);
}

/* Makes the groups in front of the last '/' of name. Under the lock. */
static bool make_groups(const fsfm_tensor_writer *writer, const char *name)
{
    char group[FSFM_TENSOR_NAME_SIZE + sizeof FSFM_TENSOR_TEXT_GROUP];
    for (const char *end = strchr(name, '/'); end; end = strchr(end + 1, '/')) {
        snprintf(group, sizeof group, "%.*s", (int)(end - name), name);
        const htri_t exists = H5Lexists(writer->file, group, H5P_DEFAULT);
        if (exists < 0) return false;
        if (exists) continue;
        const hid_t made = H5Gcreate2(writer->file, group, H5P_DEFAULT, writer->group_list, H5P_DEFAULT);
        if (made < 0 || H5Gclose(made) < 0) return false;
    }
    return true;
}

/* Lays the dataset out, without its bytes, which begin at *offset. xxh3: NULL for none. Under the lock. */
static fsfm_status create_dataset(const fsfm_tensor_writer *writer, const char *name, hid_t type, hid_t space,
                                  const uint64_t *xxh3, uint64_t *offset, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    hid_t dataset = H5I_INVALID_HID;
    if (!make_groups(writer, name) || (dataset = H5Dcreate2(writer->file, name, type, space, H5P_DEFAULT,
                                                            writer->dataset_list, H5P_DEFAULT)) < 0)
        st = fail_hdf5(writer, "cannot lay out", name, err);
    else if (xxh3 && !write_attribute(dataset, "xxh3", H5T_STD_U64LE, xxh3))
        st = fail_hdf5(writer, "cannot write the checksum of", name, err);
    else if ((*offset = H5Dget_offset(dataset)) == HADDR_UNDEF)
        st = fail_hdf5(writer, "no place in the file for", name, err);
    if (dataset >= 0 && H5Dclose(dataset) < 0 && st == FSFM_OK)
        st = fail_hdf5(writer, "cannot lay out", name, err);
    return st;
}

static fsfm_status start_entry(const fsfm_tensor_writer *writer, fsfm_tensor_entry_kind kind,
                               const char *name, fsfm_tensor_entry *entry, fsfm_error *err)
{
    const size_t length = strlen(name);
    memset(entry, 0, sizeof *entry);
    entry->kind = kind;
    if (writer->failure.status != FSFM_OK)
        return fsfm_fail(err, writer->failure.status, "%s", writer->failure.message);
    if (length == 0 || length >= sizeof entry->info.name || name[0] == '/' || name[length - 1] == '/' ||
        strstr(name, "//"))
        return fsfm_fail(err, FSFM_ERR_ARG, "%s: '%s' is not a name of 1 to %d characters", writer->path,
                         name, FSFM_TENSOR_NAME_SIZE - 1);
    memcpy(entry->info.name, name, length + 1);
    return FSFM_OK;
}

/* Size and checksum from shape and values. */
static fsfm_status measure_tensor(const fsfm_tensor_writer *writer, fsfm_tensor_entry *entry, int axes,
                                  const int64_t *shape, const float *values, fsfm_error *err)
{
    const char *name = entry->info.name;
    if (strncmp(name, FSFM_TENSOR_TEXT_GROUP, strlen(FSFM_TENSOR_TEXT_GROUP)) == 0)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s: tensor '%s' stands where texts are", writer->path, name);
    if (axes < 0 || axes > FSFM_TENSOR_AXES_MAX)
        return fsfm_fail(err, FSFM_ERR_ARG, "%s: '%s' has %d axes, expected 0 to %d", writer->path, name,
                         axes, FSFM_TENSOR_AXES_MAX);
    entry->info.axes = axes;
    entry->size_bytes = sizeof *values;
    for (int i = 0; i < axes; i++) {
        if (shape[i] < 1 || (uint64_t)shape[i] > (uint64_t)INT64_MAX / entry->size_bytes)
            return fsfm_fail(err, FSFM_ERR_ARG, "%s: axis %d of '%s' is %" PRId64, writer->path, i, name,
                             shape[i]);
        entry->info.shape[i] = shape[i];
        entry->size_bytes *= (uint64_t)shape[i];
    }
    entry->xxh3 = fsfm_checksum(values, entry->size_bytes);
    return FSFM_OK;
}

static fsfm_status add_tensor(fsfm_tensor_writer *writer, fsfm_tensor_entry *entry, const float *values,
                              fsfm_error *err)
{
    hsize_t dims[FSFM_TENSOR_AXES_MAX];
    for (int i = 0; i < entry->info.axes; i++) dims[i] = (hsize_t)entry->info.shape[i];
    fsfm_hdf5_lock();
    const hid_t space =
        entry->info.axes > 0 ? H5Screate_simple(entry->info.axes, dims, NULL) : H5Screate(H5S_SCALAR);
    fsfm_status st =
        create_dataset(writer, entry->info.name, H5T_IEEE_F32LE, space, &entry->xxh3, &entry->offset, err);
    if (space >= 0) H5Sclose(space);
    fsfm_hdf5_unlock();
    FSFM_TRY(st);
    FSFM_TRY(write_at(writer, values, entry->size_bytes, entry->offset, err));
    return fsfm_tensor_index_add(&writer->index, entry, err);
}

fsfm_status fsfm_tensor_writer_add(fsfm_tensor_writer *writer, const char *name, int axes,
                                   const int64_t *shape, const float *values, fsfm_error *err)
{
    fsfm_error failure = {.status = FSFM_OK};
    fsfm_tensor_entry entry;
    fsfm_status st = start_entry(writer, FSFM_ENTRY_TENSOR, name, &entry, &failure);
    if (st == FSFM_OK) st = measure_tensor(writer, &entry, axes, shape, values, &failure);
    if (st == FSFM_OK) st = add_tensor(writer, &entry, values, &failure);
    return keep_failure(writer, st, &failure, err);
}

static fsfm_status add_number(fsfm_tensor_writer *writer, fsfm_tensor_entry_kind kind, const char *name,
                              hid_t type, const void *value, fsfm_error *err)
{
    fsfm_error failure = {.status = FSFM_OK};
    fsfm_tensor_entry entry;
    fsfm_status st = start_entry(writer, kind, name, &entry, &failure);
    if (st == FSFM_OK) {
        if (kind == FSFM_ENTRY_INT)
            memcpy(&entry.value_int, value, sizeof entry.value_int);
        else
            memcpy(&entry.value_real, value, sizeof entry.value_real);
        fsfm_hdf5_lock();
        if (!write_attribute(writer->file, name, type, value))
            st = fail_hdf5(writer, "cannot write", name, &failure);
        fsfm_hdf5_unlock();
    }
    if (st == FSFM_OK) st = fsfm_tensor_index_add(&writer->index, &entry, &failure);
    return keep_failure(writer, st, &failure, err);
}

fsfm_status fsfm_tensor_writer_int(fsfm_tensor_writer *writer, const char *name, int64_t value,
                                   fsfm_error *err)
{
    return add_number(writer, FSFM_ENTRY_INT, name, H5T_STD_I64LE, &value, err);
}

fsfm_status fsfm_tensor_writer_real(fsfm_tensor_writer *writer, const char *name, double value,
                                    fsfm_error *err)
{
    return add_number(writer, FSFM_ENTRY_REAL, name, H5T_IEEE_F64LE, &value, err);
}

fsfm_status fsfm_tensor_writer_text(fsfm_tensor_writer *writer, const char *name, const char *text,
                                    fsfm_error *err)
{
    fsfm_error failure = {.status = FSFM_OK};
    fsfm_tensor_entry entry;
    const size_t size_bytes = strlen(text) + 1;
    char place[FSFM_TENSOR_NAME_SIZE + sizeof FSFM_TENSOR_TEXT_GROUP];
    fsfm_status st = start_entry(writer, FSFM_ENTRY_TEXT, name, &entry, &failure);
    if (st == FSFM_OK) {
        snprintf(place, sizeof place, FSFM_TENSOR_TEXT_GROUP "%s", name);
        fsfm_hdf5_lock();
        const hid_t space = H5Screate(H5S_SCALAR), type = text_type(size_bytes);
        st = create_dataset(writer, place, type, space, NULL, &entry.offset, &failure);
        H5Tclose(type);
        H5Sclose(space);
        fsfm_hdf5_unlock();
    }
    if (st == FSFM_OK) st = write_at(writer, text, size_bytes, entry.offset, &failure);
    if (st == FSFM_OK && !(entry.text = strdup(text)))
        st = fsfm_fail(&failure, FSFM_ERR_MEMORY, "%s: no memory for text '%s'", writer->path, name);
    if (st == FSFM_OK) st = fsfm_tensor_index_add(&writer->index, &entry, &failure);
    return keep_failure(writer, st, &failure, err);
}

/* HDF5 writes its own part when it closes the file, and does not take a failure there well: makes sure before
 * that the room is there. Its length is known up to the tables of names that are laid out at the end. */
static fsfm_status probe_room(const fsfm_tensor_writer *writer, fsfm_error *err)
{
    struct stat info;
    hsize_t laid_out = 0;
    fsfm_hdf5_lock();
    const bool known = H5Fget_filesize(writer->file, &laid_out) >= 0;
    fsfm_hdf5_unlock();
    if (!known || fstat(writer->fd, &info) != 0) return fail_system(writer, "cannot tell its length", err);
    const uint64_t end = laid_out + (1u << 20) + 512 * (uint64_t)writer->index.count;
    FSFM_TRY(write_at(writer, "", 1, end - 1, err));
    const bool no_room = fallocate(writer->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)end) != 0 &&
                         (errno == ENOSPC || errno == EDQUOT || errno == EFBIG);
    if (no_room || ftruncate(writer->fd, info.st_size) != 0) return fail_system(writer, "cannot write", err);
    return FSFM_OK;
}

static fsfm_status close_file(fsfm_tensor_writer *writer, uint64_t xxh3_meta, fsfm_error *err)
{
    fsfm_status st = FSFM_OK;
    fsfm_hdf5_lock();
    if (!write_attribute(writer->file, "xxh3_meta", H5T_STD_U64LE, &xxh3_meta))
        st = fail_hdf5(writer, "cannot write its checksum", "", err);
    fsfm_hdf5_unlock();
    FSFM_TRY(st);
    FSFM_TRY(probe_room(writer, err));
    fsfm_hdf5_lock();
    if (H5Fclose(writer->file) < 0) st = fail_hdf5(writer, "cannot write", "", err);
    writer->file = H5I_INVALID_HID;
    fsfm_hdf5_unlock();
    return st;
}

fsfm_status fsfm_tensor_writer_finish(fsfm_tensor_writer **writer, fsfm_error *err)
{
    fsfm_tensor_writer *w = *writer;
    uint64_t xxh3_meta = 0;
    char folder[4096];
    fsfm_status st = FSFM_OK;
    if (w->failure.status != FSFM_OK) {
        st = fsfm_fail(err, w->failure.status, "%s", w->failure.message);
        goto done;
    }
    fsfm_tensor_index_sort(&w->index);
    if ((st = fsfm_tensor_index_hash(&w->index, w->format, &xxh3_meta, err)) != FSFM_OK) goto done;
    if ((st = close_file(w, xxh3_meta, err)) != FSFM_OK) goto done;
    if (fsync(w->fd) != 0) {
        st = fail_system(w, "cannot write", err);
        goto done;
    }
    /* Out of the page cache, so that the disk is read and not what it was meant to hold; a hint, hence no
     * check. */
    posix_fadvise(w->fd, 0, 0, POSIX_FADV_DONTNEED);
    if ((st = fsfm_tensor_file_verify_content(w->temporary, w->format, xxh3_meta, err)) != FSFM_OK) {
        fsfm_context(err, "%s: not kept, as it reads back wrong", w->path);
        goto done;
    }
    if (rename(w->temporary, w->path) != 0) {
        st = fail_system(w, "cannot take its name", err);
        goto done;
    }
    const char *slash = strrchr(w->path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - w->path) + 1 : 1, slash ? w->path : ".");
    st = fsfm_folder_sync(folder, err);
done:
    fsfm_tensor_writer_abandon(writer);
    return st;
}

/* After a rename the temporary name is gone, and unlink has nothing to do. */
void fsfm_tensor_writer_abandon(fsfm_tensor_writer **writer)
{
    fsfm_tensor_writer *w = *writer;
    if (!w) return;
    fsfm_hdf5_lock();
    if (w->file >= 0) H5Fclose(w->file);
    if (w->dataset_list >= 0) H5Pclose(w->dataset_list);
    if (w->group_list >= 0) H5Pclose(w->group_list);
    fsfm_hdf5_unlock();
    if (w->fd >= 0) {
        unlink(w->temporary);
        close(w->fd);
    }
    fsfm_tensor_index_free(&w->index);
    free(w->path);
    free(w->temporary);
    free(w->format);
    free(w);
    *writer = NULL;
}
