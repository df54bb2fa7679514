/* SPDX-License-Identifier: Apache-2.0
 * Asks HDF5 once what a shard is and where its arrays lie, and checks that it is what this program writes. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "io/shard.h"
#include "io/shard_hdf5.h"

/* What a dataset must be. axes 1: (dims[0]); dims[i] ANY_LENGTH: any, then found there. */
typedef struct {
    const char *name;
    hid_t type; /* H5I_INVALID_HID: strings of variable length */
    int axes;
    hsize_t dims[4];
} expectation;

#define ANY_LENGTH ((hsize_t)-1)

static fsfm_status check_shape(hid_t dataset, expectation *want, fsfm_error *err)
{
    hsize_t dims[H5S_MAX_RANK];
    fsfm_status st = FSFM_OK;
    hid_t space = H5Dget_space(dataset);
    const int axes = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    if (axes != want->axes || H5Sget_simple_extent_dims(space, dims, NULL) != axes)
        st = fsfm_fail(err, FSFM_ERR_FORMAT, "'%s' has %d axes, expected %d", want->name, axes, want->axes);
    for (int i = 0; st == FSFM_OK && i < axes; i++) {
        if (want->dims[i] == ANY_LENGTH) want->dims[i] = dims[i];
        if (want->dims[i] != dims[i])
            st = fsfm_fail(err, FSFM_ERR_FORMAT, "axis %d of '%s' has length %" PRIu64 ", expected %" PRIu64,
                           i, want->name, (uint64_t)dims[i], (uint64_t)want->dims[i]);
    }
    if (space >= 0) H5Sclose(space);
    return st;
}

static fsfm_status check_type(hid_t dataset, const expectation *want, size_t *size_bytes, fsfm_error *err)
{
    hid_t type = H5Dget_type(dataset);
    bool ok = type >= 0;
    *size_bytes = ok ? H5Tget_size(type) : 0;
    if (ok) ok = want->type >= 0 ? H5Tequal(type, want->type) > 0 : H5Tis_variable_str(type) > 0;
    if (type >= 0) H5Tclose(type);
    if (ok) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_FORMAT, "'%s' has another type of entries than the format says",
                     want->name);
}

static bool is_contiguous(hid_t dataset)
{
    hid_t properties = H5Dget_create_plist(dataset);
    const bool is = properties >= 0 && H5Pget_layout(properties) == H5D_CONTIGUOUS &&
                    H5Pget_external_count(properties) == 0;
    if (properties >= 0) H5Pclose(properties);
    return is;
}

/* Contiguous, allocated, and inside the file. Only what is contiguous and has room in this file has an
 * offset, and asking for that takes a tenth of the time of asking for the layout. */
static fsfm_status check_place(hid_t dataset, const expectation *want, size_t entry_bytes,
                               uint64_t file_bytes, uint64_t *offset, fsfm_error *err)
{
    const haddr_t start = H5Dget_offset(dataset);
    if (start == HADDR_UNDEF && !is_contiguous(dataset))
        return fsfm_fail(err, FSFM_ERR_FORMAT, "'%s' is not stored contiguously", want->name);
    uint64_t bytes = entry_bytes;
    for (int i = 0; i < want->axes; i++)
        if (__builtin_mul_overflow(bytes, (uint64_t)want->dims[i], &bytes))
            return fsfm_fail(err, FSFM_ERR_FORMAT, "'%s' is impossibly large", want->name);
    *offset = 0;
    if (bytes == 0) return FSFM_OK;
    if (start == HADDR_UNDEF || start > file_bytes || bytes > file_bytes - start)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "'%s' reaches past the end of the file (%" PRIu64 " bytes)",
                         want->name, file_bytes);
    *offset = start;
    return FSFM_OK;
}

static fsfm_status check_dataset(hid_t file, expectation *want, uint64_t file_bytes, uint64_t *offset,
                                 fsfm_error *err)
{
    hid_t dataset = H5I_INVALID_HID;
    size_t entry_bytes = 0;
    uint64_t unused = 0;
    if ((dataset = H5Dopen2(file, want->name, H5P_DEFAULT)) < 0)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "dataset '%s' is missing", want->name);
    fsfm_status st = check_shape(dataset, want, err);
    if (st == FSFM_OK) st = check_type(dataset, want, &entry_bytes, err);
    if (st == FSFM_OK)
        st = check_place(dataset, want, entry_bytes, file_bytes, offset ? offset : &unused, err);
    H5Dclose(dataset);
    return st;
}

static fsfm_status read_kind(hid_t file, fsfm_shard_kind *kind, fsfm_error *err)
{
    char text[64];
    uint64_t size = 0;
    FSFM_TRY(fsfm_h5_read_text(file, "format", text, sizeof text, err));
    if (strncmp(text, "fsfm-shard-", 11) != 0)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "has format '%s', expected '%s'", text, FSFM_SHARD_FORMAT);
    if (strcmp(text, FSFM_SHARD_FORMAT) != 0)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "has format '%s', this program reads up to '%s'", text,
                         FSFM_SHARD_FORMAT);
    FSFM_TRY(fsfm_h5_read_u64(file, "image_size", &size, 1, err));
    if (size < 1 || size > 4096)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "image_size is %" PRIu64 ", expected 1 to 4096", size);
    kind->size = (int)size;
    FSFM_TRY(fsfm_h5_read_text(file, "encoding", text, sizeof text, err));
    if (strcmp(text, "raw") != 0 && strcmp(text, "jpeg") != 0)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "encoding is '%s', expected raw or jpeg", text);
    kind->encoding = strcmp(text, "raw") == 0 ? FSFM_ENCODING_RAW : FSFM_ENCODING_JPEG;
    FSFM_TRY(fsfm_h5_read_text(file, "label_scheme", kind->label_scheme, sizeof kind->label_scheme, err));
    kind->has_regions = H5Lexists(file, "map_bytes", H5P_DEFAULT) > 0;
    kind->has_labels = H5Lexists(file, "label", H5P_DEFAULT) > 0;
    return FSFM_OK;
}

static fsfm_status check_images(hid_t file, fsfm_shard_layout *l, fsfm_error *err)
{
    const hsize_t n = (hsize_t)l->count, size = (hsize_t)l->kind.size;
    if (l->kind.encoding == FSFM_ENCODING_RAW) {
        expectation images = {"images", H5T_STD_U8LE, 4, {n, size, size, 3}};
        return check_dataset(file, &images, l->file_bytes, &l->images, err);
    }
    expectation bytes = {"image_bytes", H5T_STD_U8LE, 1, {ANY_LENGTH}};
    expectation offset = {"image_offset", H5T_STD_U64LE, 1, {n + 1}};
    FSFM_TRY(check_dataset(file, &bytes, l->file_bytes, &l->image_bytes, err));
    l->image_bytes_length = bytes.dims[0];
    return check_dataset(file, &offset, l->file_bytes, &l->image_offset, err);
}

static fsfm_status check_regions(hid_t file, fsfm_shard_layout *l, fsfm_error *err)
{
    const hsize_t n = (hsize_t)l->count, side16 = (hsize_t)l->kind.size / 16,
                  side14 = (hsize_t)l->kind.size / 14;
    expectation p16 = {"regions_p16", H5T_STD_U16LE, 2, {n, side16 * side16}};
    expectation p14 = {"regions_p14", H5T_STD_U16LE, 2, {n, side14 * side14}};
    expectation bytes = {"map_bytes", H5T_STD_U8LE, 1, {ANY_LENGTH}};
    expectation offset = {"map_offset", H5T_STD_U64LE, 1, {n + 1}};
    if (l->kind.size % 16 == 0) FSFM_TRY(check_dataset(file, &p16, l->file_bytes, &l->regions_p16, err));
    if (l->kind.size % 14 == 0) FSFM_TRY(check_dataset(file, &p14, l->file_bytes, &l->regions_p14, err));
    FSFM_TRY(check_dataset(file, &bytes, l->file_bytes, &l->map_bytes, err));
    l->map_bytes_length = bytes.dims[0];
    return check_dataset(file, &offset, l->file_bytes, &l->map_offset, err);
}

static fsfm_status check_labels(hid_t file, fsfm_shard_layout *l, fsfm_error *err)
{
    const hsize_t n = (hsize_t)l->count;
    expectation label = {"label", H5T_STD_I8LE, 1, {n}}, frame = {"frame", H5T_STD_I32LE, 1, {n}};
    expectation group = {"group", H5I_INVALID_HID, 1, {n}}, domain = {"domain", H5I_INVALID_HID, 1, {n}};
    FSFM_TRY(check_dataset(file, &label, l->file_bytes, &l->label, err));
    FSFM_TRY(check_dataset(file, &frame, l->file_bytes, &l->frame, err));
    FSFM_TRY(check_dataset(file, &group, l->file_bytes, NULL, err));
    return check_dataset(file, &domain, l->file_bytes, NULL, err);
}

static fsfm_status read_layout(hid_t file, fsfm_shard_layout *l, fsfm_error *err)
{
    expectation xxh3 = {"xxh3", H5T_STD_U64LE, 1, {ANY_LENGTH}};
    FSFM_TRY(read_kind(file, &l->kind, err));
    FSFM_TRY(check_dataset(file, &xxh3, l->file_bytes, &l->xxh3, err));
    l->count = (int64_t)xxh3.dims[0];
    expectation meta = {"xxh3_meta", H5T_STD_U64LE, 1, {xxh3.dims[0]}};
    expectation id = {"id", H5I_INVALID_HID, 1, {xxh3.dims[0]}};
    FSFM_TRY(check_dataset(file, &meta, l->file_bytes, &l->xxh3_meta, err));
    FSFM_TRY(check_dataset(file, &id, l->file_bytes, NULL, err));
    FSFM_TRY(check_images(file, l, err));
    if (l->kind.has_regions) FSFM_TRY(check_regions(file, l, err));
    if (l->kind.has_labels) FSFM_TRY(check_labels(file, l, err));
    return FSFM_OK;
}

fsfm_status fsfm_shard_read_layout(const char *path, fsfm_shard_layout *out, fsfm_error *err)
{
    struct stat info;
    hid_t file = H5I_INVALID_HID;
    memset(out, 0, sizeof *out);
    if (stat(path, &info) != 0)
        return fsfm_fail(err, FSFM_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    out->file_bytes = (uint64_t)info.st_size;
    fsfm_hdf5_lock();
    fsfm_status st = fsfm_h5_open(path, &file, err);
    if (st == FSFM_OK) st = read_layout(file, out, err);
    if (file >= 0) H5Fclose(file);
    fsfm_hdf5_unlock();
    return st == FSFM_OK ? st : fsfm_context(err, "%s", path);
}
