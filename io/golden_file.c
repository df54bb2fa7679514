/* SPDX-License-Identifier: Apache-2.0 */
#include "io/golden_file.h"

#include <hdf5.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "io/shard.h" /* the lock around HDF5 */

static const char golden_format[] = "fsfm-golden-1";

struct fsfm_golden_file {
    hid_t file;
    char path[1024];
};

/* Whether the root's attribute `format` (a string, fixed or variable) is the one expected. */
static bool has_format(hid_t file)
{
    char fixed[64] = "", *variable = NULL;
    bool is_right = false;
    hid_t attribute = H5Aopen(file, "format", H5P_DEFAULT);
    hid_t type = attribute >= 0 ? H5Aget_type(attribute) : H5I_INVALID_HID;
    if (type >= 0 && H5Tget_class(type) == H5T_STRING) {
        if (H5Tis_variable_str(type) > 0) {
            if (H5Aread(attribute, type, &variable) >= 0 && variable)
                is_right = strcmp(variable, golden_format) == 0;
            H5free_memory(variable);
        } else if (H5Tget_size(type) < sizeof fixed) {
            is_right = H5Aread(attribute, type, fixed) >= 0 && strcmp(fixed, golden_format) == 0;
        }
    }
    if (type >= 0) H5Tclose(type);
    if (attribute >= 0) H5Aclose(attribute);
    return is_right;
}

fsfm_status fsfm_golden_open(const char *path, fsfm_golden_file **out, fsfm_error *err)
{
    *out = NULL;
    fsfm_golden_file *file = calloc(1, sizeof *file);
    if (!file) return fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory to open it", path);
    snprintf(file->path, sizeof file->path, "%s", path);
    fsfm_hdf5_lock();
    file->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    const bool is_golden = file->file >= 0 && has_format(file->file);
    fsfm_hdf5_unlock();
    if (!is_golden) {
        const bool is_hdf5 = file->file >= 0;
        fsfm_golden_close(&file);
        return fsfm_fail(err, is_hdf5 ? FSFM_ERR_FORMAT : FSFM_ERR_IO, "%s: %s", path,
                         is_hdf5 ? "not a golden file (attribute format is not fsfm-golden-1)"
                                 : "cannot be opened as an HDF5 file; is it there and whole?");
    }
    *out = file;
    return FSFM_OK;
}

void fsfm_golden_close(fsfm_golden_file **file)
{
    fsfm_golden_file *gone = *file;
    *file = NULL;
    if (!gone) return;
    fsfm_hdf5_lock();
    if (gone->file >= 0) H5Fclose(gone->file);
    fsfm_hdf5_unlock();
    free(gone);
}

bool fsfm_golden_has(const fsfm_golden_file *file, const char *path)
{
    fsfm_hdf5_lock();
    bool is_there = true;
    char part[256];
    for (const char *end = path; is_there && *end;
         end++) { /* H5Lexists wants every group on the way to exist */
        if (end[1] != '/' && end[1] != '\0') continue;
        snprintf(part, sizeof part, "%.*s", (int)(end + 1 - path), path);
        is_there = H5Lexists(file->file, part, H5P_DEFAULT) > 0;
    }
    fsfm_hdf5_unlock();
    return is_there;
}

static fsfm_status read_attribute(const fsfm_golden_file *file, const char *path, const char *name,
                                  hid_t type, void *out, fsfm_error *err)
{
    fsfm_hdf5_lock();
    hid_t attribute = H5Aopen_by_name(file->file, path, name, H5P_DEFAULT, H5P_DEFAULT);
    const bool is_read = attribute >= 0 && H5Aread(attribute, type, out) >= 0;
    if (attribute >= 0) H5Aclose(attribute);
    fsfm_hdf5_unlock();
    if (is_read) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: attribute '%s' of '%s' is missing or no number", file->path,
                     name, path);
}

fsfm_status fsfm_golden_int(const fsfm_golden_file *file, const char *path, const char *attribute,
                            int64_t *out, fsfm_error *err)
{
    return read_attribute(file, path, attribute, H5T_NATIVE_INT64, out, err);
}

fsfm_status fsfm_golden_real(const fsfm_golden_file *file, const char *path, const char *attribute,
                             double *out, fsfm_error *err)
{
    return read_attribute(file, path, attribute, H5T_NATIVE_DOUBLE, out, err);
}

/* The dataset at path with its number of elements; H5I_INVALID_HID if there is none. The lock is held. */
static hid_t open_dataset(const fsfm_golden_file *file, const char *path, int64_t *count)
{
    hid_t dataset = H5Dopen2(file->file, path, H5P_DEFAULT);
    hid_t space = dataset >= 0 ? H5Dget_space(dataset) : H5I_INVALID_HID;
    *count = space >= 0 ? (int64_t)H5Sget_simple_extent_npoints(space) : -1;
    if (space >= 0) H5Sclose(space);
    return dataset;
}

fsfm_status fsfm_golden_count(const fsfm_golden_file *file, const char *path, int64_t *out, fsfm_error *err)
{
    fsfm_hdf5_lock();
    hid_t dataset = open_dataset(file, path, out);
    if (dataset >= 0) H5Dclose(dataset);
    fsfm_hdf5_unlock();
    return dataset >= 0 ? FSFM_OK
                        : fsfm_fail(err, FSFM_ERR_FORMAT, "%s: dataset '%s' is missing", file->path, path);
}

static fsfm_status read_dataset(const fsfm_golden_file *file, const char *path, hid_t type, int64_t count,
                                void *out, fsfm_error *err)
{
    int64_t found = -1;
    fsfm_hdf5_lock();
    hid_t dataset = open_dataset(file, path, &found);
    const bool fits = dataset >= 0 && found == count;
    const bool is_read = fits && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0;
    if (dataset >= 0) H5Dclose(dataset);
    fsfm_hdf5_unlock();
    if (is_read) return FSFM_OK;
    if (dataset < 0) return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: dataset '%s' is missing", file->path, path);
    if (fits) return fsfm_fail(err, FSFM_ERR_IO, "%s: dataset '%s' cannot be read", file->path, path);
    return fsfm_fail(err, FSFM_ERR_FORMAT, "%s: '%s' has %" PRId64 " elements, expected %" PRId64, file->path,
                     path, found, count);
}

fsfm_status fsfm_golden_floats(const fsfm_golden_file *file, const char *path, int64_t count, float *out,
                               fsfm_error *err)
{
    return read_dataset(file, path, H5T_NATIVE_FLOAT, count, out, err);
}

fsfm_status fsfm_golden_doubles(const fsfm_golden_file *file, const char *path, int64_t count, double *out,
                                fsfm_error *err)
{
    return read_dataset(file, path, H5T_NATIVE_DOUBLE, count, out, err);
}

fsfm_status fsfm_golden_bytes(const fsfm_golden_file *file, const char *path, int64_t count, uint8_t *out,
                              fsfm_error *err)
{
    return read_dataset(file, path, H5T_NATIVE_UINT8, count, out, err);
}
