/* SPDX-License-Identifier: Apache-2.0 */
#include "io/shard_hdf5.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

hid_t fsfm_h5_access(void)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0) return H5I_INVALID_HID;
    herr_t status = H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
#if H5_VERSION_GE(1, 10, 7)
    if (status >= 0) status = H5Pset_file_locking(access, 0, 1); /* parallel file systems may have no locks */
#else
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 0);
#endif
    if (status >= 0) return access;
    H5Pclose(access);
    return H5I_INVALID_HID;
}

static herr_t keep_innermost(unsigned level, const H5E_error2_t *entry, void *context)
{
    char *out = context;
    (void)level;
    if (entry->desc) snprintf(out, 160, "%s", entry->desc);
    return 0;
}

const char *fsfm_h5_reason(char out[160])
{
    snprintf(out, 160, "unknown reason");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_innermost, out);
    return out;
}

fsfm_status fsfm_h5_open(const char *path, hid_t *out, fsfm_error *err)
{
    char reason[160];
    fsfm_status st = FSFM_OK;
    *out = H5I_INVALID_HID;
    hid_t properties = fsfm_h5_access();
    if (properties < 0 || (*out = H5Fopen(path, H5F_ACC_RDONLY, properties)) < 0) {
        fsfm_h5_reason(reason);
        if (access(path, R_OK) != 0)
            st = fsfm_fail(err, FSFM_ERR_IO, "cannot be read: %s", strerror(errno));
        else
            st = fsfm_fail(err, FSFM_ERR_FORMAT, "is not an HDF5 file or is cut short or damaged (%s)",
                           reason);
    }
    if (properties >= 0) H5Pclose(properties);
    return st;
}

hid_t fsfm_h5_string_type(void)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type < 0) return H5I_INVALID_HID;
    if (H5Tset_size(type, H5T_VARIABLE) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0) return type;
    H5Tclose(type);
    return H5I_INVALID_HID;
}

static fsfm_status write_attribute(hid_t object, const char *name, hid_t stored, hid_t memory, hid_t space,
                                   const void *values, fsfm_error *err)
{
    char reason[160];
    fsfm_status st = FSFM_OK;
    hid_t attribute = H5I_INVALID_HID;
    if (stored < 0 || memory < 0 || space < 0 ||
        (attribute = H5Acreate2(object, name, stored, space, H5P_DEFAULT, H5P_DEFAULT)) < 0 ||
        H5Awrite(attribute, memory, values) < 0)
        st = fsfm_fail(err, FSFM_ERR_IO, "attribute '%s' cannot be written (%s)", name,
                       fsfm_h5_reason(reason));
    if (attribute >= 0) H5Aclose(attribute);
    return st;
}

fsfm_status fsfm_h5_write_text(hid_t object, const char *name, const char *text, fsfm_error *err)
{
    const size_t length = strlen(text);
    hid_t space = H5Screate(H5S_SCALAR), type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, length ? length : 1) < 0 ||
                      H5Tset_strpad(type, H5T_STR_NULLPAD) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        H5Tclose(type);
        type = H5I_INVALID_HID;
    }
    fsfm_status st = write_attribute(object, name, type, type, space, text, err);
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    return st;
}

fsfm_status fsfm_h5_write_u64(hid_t object, const char *name, const uint64_t *values, int count,
                              fsfm_error *err)
{
    const hsize_t dims[1] = {(hsize_t)count};
    hid_t space = count == 1 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, dims, NULL);
    fsfm_status st = write_attribute(object, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, space, values, err);
    if (space >= 0) H5Sclose(space);
    return st;
}

static fsfm_status open_attribute(hid_t object, const char *name, hid_t *out, fsfm_error *err)
{
    *out = H5I_INVALID_HID;
    if ((*out = H5Aopen(object, name, H5P_DEFAULT)) < 0)
        return fsfm_fail(err, FSFM_ERR_FORMAT, "attribute '%s' is missing", name);
    return FSFM_OK;
}

static fsfm_status read_variable_text(hid_t attribute, hid_t type, char *out, size_t size_bytes)
{
    char *text = NULL;
    if (H5Aread(attribute, type, &text) < 0 || !text) return FSFM_ERR_FORMAT;
    const int length = snprintf(out, size_bytes, "%s", text);
    H5free_memory(text);
    return length >= 0 && (size_t)length < size_bytes ? FSFM_OK : FSFM_ERR_FORMAT;
}

fsfm_status fsfm_h5_read_text(hid_t object, const char *name, char *out, size_t size_bytes, fsfm_error *err)
{
    hid_t attribute = H5I_INVALID_HID, type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    FSFM_TRY(open_attribute(object, name, &attribute, err));
    fsfm_status st = FSFM_ERR_FORMAT;
    memset(out, 0, size_bytes);
    if ((type = H5Aget_type(attribute)) >= 0 && (space = H5Aget_space(attribute)) >= 0 &&
        H5Tget_class(type) == H5T_STRING && H5Sget_simple_extent_npoints(space) == 1) {
        if (H5Tis_variable_str(type) > 0)
            st = read_variable_text(attribute, type, out, size_bytes);
        else if (H5Tget_size(type) < size_bytes && H5Aread(attribute, type, out) >= 0)
            st = FSFM_OK;
    }
    if (st != FSFM_OK)
        fsfm_fail(err, st, "attribute '%s' is not a text of at most %zu bytes", name, size_bytes - 1);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    H5Aclose(attribute);
    return st;
}

fsfm_status fsfm_h5_read_u64(hid_t object, const char *name, uint64_t *values, int count, fsfm_error *err)
{
    hid_t attribute = H5I_INVALID_HID, type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    FSFM_TRY(open_attribute(object, name, &attribute, err));
    fsfm_status st = FSFM_OK;
    if ((type = H5Aget_type(attribute)) < 0 || (space = H5Aget_space(attribute)) < 0 ||
        H5Tget_class(type) != H5T_INTEGER || H5Sget_simple_extent_npoints(space) != count ||
        H5Aread(attribute, H5T_NATIVE_UINT64, values) < 0)
        st = fsfm_fail(err, FSFM_ERR_FORMAT, "attribute '%s' is not %d whole number(s)", name, count);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    H5Aclose(attribute);
    return st;
}
