/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tensor_catalog.h"

#include <errno.h>
#include <hdf5.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/hdf5_error.h"
#include "io/shard.h"

enum { FORMAT_SIZE = 64, GROUP_DEPTH_MAX = 8 };

typedef struct {
    const char *path;
    int fd;
    uint64_t file_bytes;
    fsfm_tensor_index *index;
} catalog;

fsfm_status fsfm_tensor_pread(const char *path, int fd, void *into, uint64_t size_bytes, uint64_t offset,
                              fsfm_error *err)
{
    char *to = into;
    while (size_bytes > 0) {
        const ssize_t n = pread(fd, to, (size_t)size_bytes, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot read: %s", path, strerror(errno));
        if (n == 0)
            return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: is truncated: ends at byte %llu", path,
                             (unsigned long long)offset);
        to += n;
        offset += (uint64_t)n;
        size_bytes -= (uint64_t)n;
    }
    return FSFM_OK;
}

static fsfm_status fail_hdf5(const catalog *c, const char *what, const char *name, fsfm_error *err)
{
    char reason[256];
    fsfm_hdf5_reason(reason, sizeof reason);
    return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: is damaged: %s%s%s%s: %s", c->path, what, *name ? " '" : "",
                     name, *name ? "'" : "", reason);
}

/* A scalar attribute of the given class and size, into value. */
static bool read_attribute(hid_t object, const char *name, H5T_class_t type_class, hid_t memory_type,
                           void *value)
{
    const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    const hid_t type = attribute >= 0 ? H5Aget_type(attribute) : H5I_INVALID_HID;
    const hid_t space = attribute >= 0 ? H5Aget_space(attribute) : H5I_INVALID_HID;
    const bool ok = type >= 0 && space >= 0 && H5Tget_class(type) == type_class &&
                    H5Tget_size(type) == H5Tget_size(memory_type) &&
                    H5Sget_simple_extent_npoints(space) == 1 && H5Aread(attribute, memory_type, value) >= 0;
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (attribute >= 0) H5Aclose(attribute);
    return ok;
}

/* "fsfm-checkpoint-12" -> 12, and the length of what stands before; 0 where there is no number. */
static long split_format(const char *format, size_t *name_length)
{
    const char *dash = strrchr(format, '-');
    *name_length = dash ? (size_t)(dash - format) : strlen(format);
    return dash ? strtol(dash + 1, NULL, 10) : 0;
}

static fsfm_status check_format(const catalog *c, hid_t root, const char *expected, fsfm_error *err)
{
    char found[FORMAT_SIZE] = "";
    size_t found_length = 0, expected_length = 0;
    const htri_t exists = H5Aexists(root, "format");
    if (exists < 0) return fail_hdf5(c, "attribute", "format", err);
    const hid_t attribute = exists ? H5Aopen(root, "format", H5P_DEFAULT) : H5I_INVALID_HID;
    const hid_t type = attribute >= 0 ? H5Aget_type(attribute) : H5I_INVALID_HID;
    if (type >= 0 && H5Tget_class(type) == H5T_STRING && !H5Tis_variable_str(type) &&
        H5Tget_size(type) < sizeof found && H5Aread(attribute, type, found) < 0)
        found[0] = 0;
    if (type >= 0) H5Tclose(type);
    if (attribute >= 0) H5Aclose(attribute);
    if (!found[0])
        return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: has no attribute 'format', expected '%s'", c->path,
                         expected);
    if (strcmp(found, expected) == 0) return FSFM_OK;
    const long found_number = split_format(found, &found_length);
    const long expected_number = split_format(expected, &expected_length);
    if (found_length == expected_length && strncmp(found, expected, found_length) == 0 &&
        found_number > expected_number)
        return fsfm_fail(
            err, FSFM_ERR_FORMAT,
            "%s: format is '%s', newer than this program, which reads up to '%s': use a newer fsfm", c->path,
            found, expected);
    return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: format is '%s', expected '%s'", c->path, found, expected);
}

/* Where the bytes of dataset lie. */
static fsfm_status find_place(const catalog *c, hid_t dataset, const char *name, uint64_t size_bytes,
                              uint64_t *offset, fsfm_error *err)
{
    const hid_t list = H5Dget_create_plist(dataset);
    const bool contiguous = list >= 0 && H5Pget_layout(list) == H5D_CONTIGUOUS;
    if (list >= 0) H5Pclose(list);
    const haddr_t place = contiguous ? H5Dget_offset(dataset) : HADDR_UNDEF;
    if (place == HADDR_UNDEF)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: '%s' is not stored in one piece", c->path, name);
    if (place > c->file_bytes || size_bytes > c->file_bytes - place)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: is truncated: '%s' reaches past the end of the file",
                         c->path, name);
    *offset = place;
    return FSFM_OK;
}

static fsfm_status read_shape(const catalog *c, hid_t dataset, fsfm_tensor_entry *entry, fsfm_error *err)
{
    hsize_t dims[H5S_MAX_RANK] = {0};
    const hid_t space = H5Dget_space(dataset);
    const int axes = space >= 0 ? H5Sget_simple_extent_dims(space, dims, NULL) : -1;
    if (space >= 0) H5Sclose(space);
    if (axes < 0) return fail_hdf5(c, "shape of", entry->info.name, err);
    if (axes > FSFM_TENSOR_AXES_MAX)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: '%s' has %d axes, expected at most %d", c->path,
                         entry->info.name, axes, FSFM_TENSOR_AXES_MAX);
    entry->info.axes = axes;
    entry->size_bytes = sizeof(float);
    for (int i = 0; i < axes; i++) {
        if (dims[i] == 0 || dims[i] > c->file_bytes / entry->size_bytes)
            return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: axis %d of '%s' is %llu, more than the file holds",
                             c->path, i, entry->info.name, (unsigned long long)dims[i]);
        entry->info.shape[i] = (int64_t)dims[i];
        entry->size_bytes *= dims[i];
    }
    return FSFM_OK;
}

static fsfm_status read_tensor(const catalog *c, hid_t dataset, hid_t type, fsfm_tensor_entry *entry,
                               fsfm_error *err)
{
    const char *name = entry->info.name;
    entry->kind = FSFM_ENTRY_TENSOR;
    if (H5Tequal(type, H5T_IEEE_F32LE) <= 0)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: '%s' is not of 32-bit floats", c->path, name);
    FSFM_TRY(read_shape(c, dataset, entry, err));
    if (!read_attribute(dataset, "xxh3", H5T_INTEGER, H5T_NATIVE_UINT64, &entry->xxh3))
        return fail_hdf5(c, "checksum of", name, err);
    return find_place(c, dataset, name, entry->size_bytes, &entry->offset, err);
}

static fsfm_status read_text(const catalog *c, hid_t dataset, hid_t type, fsfm_tensor_entry *entry,
                             fsfm_error *err)
{
    const char *name = entry->info.name;
    const size_t size_bytes = H5Tget_size(type);
    entry->kind = FSFM_ENTRY_TEXT;
    if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type))
        return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: '%s' is not a string of fixed length", c->path, name);
    FSFM_TRY(find_place(c, dataset, name, size_bytes, &entry->offset, err));
    if (!(entry->text = calloc(size_bytes + 1, 1)))
        return fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory for '%s'", c->path, name);
    FSFM_TRY(fsfm_tensor_pread(c->path, c->fd, entry->text, size_bytes, entry->offset, err));
    memmove(entry->info.name, name + strlen(FSFM_TENSOR_TEXT_GROUP),
            strlen(name) + 1 - strlen(FSFM_TENSOR_TEXT_GROUP));
    return FSFM_OK;
}

static fsfm_status read_dataset(const catalog *c, hid_t dataset, const char *name, fsfm_error *err)
{
    fsfm_tensor_entry entry = {.text = NULL};
    fsfm_status st = FSFM_OK;
    const size_t length = strlen(name);
    const bool is_text = strncmp(name, FSFM_TENSOR_TEXT_GROUP, strlen(FSFM_TENSOR_TEXT_GROUP)) == 0;
    if (length >= sizeof entry.info.name)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: the name '%s' is too long", c->path, name);
    memcpy(entry.info.name, name, length + 1);
    const hid_t type = H5Dget_type(dataset);
    if (type < 0)
        st = fail_hdf5(c, "type of", name, err);
    else
        st = is_text ? read_text(c, dataset, type, &entry, err) : read_tensor(c, dataset, type, &entry, err);
    if (type >= 0) H5Tclose(type);
    if (st == FSFM_OK) return fsfm_tensor_index_add(c->index, &entry, err);
    free(entry.text);
    return st;
}

/* What a callback of HDF5's iteration works on, and the failure that it ended with. */
typedef struct {
    const catalog *catalog;
    const char *prefix; /* "" or the group's name and '/' */
    int depth;
    fsfm_status status;
    fsfm_error *err;
} visit;

static fsfm_status read_group(const catalog *c, hid_t group, const char *prefix, int depth, fsfm_error *err);

static fsfm_status read_object(const visit *v, hid_t object, const char *name)
{
    char prefix[FSFM_TENSOR_NAME_SIZE];
    const H5I_type_t type = H5Iget_type(object);
    if (type == H5I_DATASET) return read_dataset(v->catalog, object, name, v->err);
    const bool fits = snprintf(prefix, sizeof prefix, "%s/", name) < (int)sizeof prefix;
    if (type != H5I_GROUP || v->depth >= GROUP_DEPTH_MAX || !fits)
        return fsfm_fail(v->err, FSFM_ERR_FORMAT, "%s: '%s' is neither a tensor nor a group of them",
                         v->catalog->path, name);
    return read_group(v->catalog, object, prefix, v->depth + 1, v->err);
}

static herr_t visit_link(hid_t group, const char *link, const H5L_info_t *info, void *context)
{
    visit *v = context;
    char name[2 * FSFM_TENSOR_NAME_SIZE];
    (void)info;
    if (snprintf(name, sizeof name, "%s%s", v->prefix, link) >= (int)sizeof name)
        v->status =
            fsfm_fail(v->err, FSFM_ERR_FORMAT, "%s: the name '%s' is too long", v->catalog->path, name);
    else {
        const hid_t object = H5Oopen(group, link, H5P_DEFAULT);
        v->status = object < 0 ? fail_hdf5(v->catalog, "object", name, v->err) : read_object(v, object, name);
        if (object >= 0) H5Oclose(object);
    }
    return v->status == FSFM_OK ? 0 : 1;
}

/* In the file's own order: to put names in order, HDF5 1.10 builds tables first, and frees what it never
 * filled when a part of them cannot be read. */
static fsfm_status read_group(const catalog *c, hid_t group, const char *prefix, int depth, fsfm_error *err)
{
    visit v = {.catalog = c, .prefix = prefix, .depth = depth, .status = FSFM_OK, .err = err};
    if (H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, visit_link, &v) < 0 && v.status == FSFM_OK)
        return fail_hdf5(c, "names in", *prefix ? prefix : "/", err);
    return v.status;
}

static fsfm_status read_number(const catalog *c, hid_t root, const char *name, fsfm_error *err)
{
    fsfm_tensor_entry entry = {.text = NULL};
    if (strlen(name) >= sizeof entry.info.name)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: the name '%s' is too long", c->path, name);
    memcpy(entry.info.name, name, strlen(name) + 1);
    if (read_attribute(root, name, H5T_INTEGER, H5T_NATIVE_INT64, &entry.value_int))
        entry.kind = FSFM_ENTRY_INT;
    else if (read_attribute(root, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, &entry.value_real))
        entry.kind = FSFM_ENTRY_REAL;
    else
        return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: attribute '%s' is damaged or not a 64-bit number",
                         c->path, name);
    return fsfm_tensor_index_add(c->index, &entry, err);
}

static herr_t visit_attribute(hid_t root, const char *name, const H5A_info_t *info, void *context)
{
    visit *v = context;
    (void)info;
    if (strcmp(name, "format") != 0 && strcmp(name, "xxh3_meta") != 0)
        v->status = read_number(v->catalog, root, name, v->err);
    return v->status == FSFM_OK ? 0 : 1;
}

static fsfm_status read_numbers(const catalog *c, hid_t root, uint64_t *xxh3_meta, fsfm_error *err)
{
    visit v = {.catalog = c, .prefix = "", .depth = 0, .status = FSFM_OK, .err = err};
    if (!read_attribute(root, "xxh3_meta", H5T_INTEGER, H5T_NATIVE_UINT64, xxh3_meta))
        return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: has no readable checksum 'xxh3_meta'", c->path);
    if (H5Aiterate2(root, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, visit_attribute, &v) < 0 &&
        v.status == FSFM_OK)
        return fail_hdf5(c, "the list of attributes", "", err);
    return v.status;
}

static hid_t open_file(const char *path)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
#if H5_VERSION_GE(1, 10, 7)
    if (access >= 0) H5Pset_file_locking(access, false, true);
#endif
    const hid_t file = access >= 0 ? H5Fopen(path, H5F_ACC_RDONLY, access) : H5I_INVALID_HID;
    if (access >= 0) H5Pclose(access);
    return file;
}

fsfm_status fsfm_tensor_catalog_read(const char *path, int fd, const char *format, fsfm_tensor_index *index,
                                     uint64_t *xxh3_meta, fsfm_error *err)
{
    struct stat info;
    fsfm_status st = FSFM_OK;
    if (fstat(fd, &info) != 0)
        return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot read: %s", path, strerror(errno));
    const catalog c = {.path = path, .fd = fd, .file_bytes = (uint64_t)info.st_size, .index = index};
    fsfm_hdf5_lock();
    const hid_t file = open_file(path);
    const hid_t root = file >= 0 ? H5Gopen2(file, "/", H5P_DEFAULT) : H5I_INVALID_HID;
    if (root < 0)
        st = fail_hdf5(&c, "not a whole HDF5 file", "", err);
    else
        st = check_format(&c, root, format, err);
    if (st == FSFM_OK) st = read_numbers(&c, root, xxh3_meta, err);
    if (st == FSFM_OK) st = read_group(&c, root, "", 0, err);
    if (root >= 0) H5Gclose(root);
    if (file >= 0) H5Fclose(file);
    fsfm_hdf5_unlock();
    if (st == FSFM_OK) fsfm_tensor_index_sort(index);
    return st;
}
