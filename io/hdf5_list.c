/* SPDX-License-Identifier: Apache-2.0 */
#include "io/hdf5_list.h"

#include <stdio.h>
#include <string.h>

#include "io/shard.h"
#include "io/shard_hdf5.h"

typedef struct {
    void (*visit)(void *context, const fsfm_hdf5_entry *entry);
    void *context;
} listing;

static void name_type(hid_t type, char out[24])
{
    const int bits = (int)H5Tget_size(type) * 8;
    switch (H5Tget_class(type)) {
    case H5T_FLOAT: snprintf(out, 24, "float%d", bits); break;
    case H5T_INTEGER: snprintf(out, 24, "%sint%d", H5Tget_sign(type) == H5T_SGN_NONE ? "u" : "", bits); break;
    case H5T_STRING: snprintf(out, 24, "text"); break;
    default: snprintf(out, 24, "other"); break;
    }
}

static void name_shape(hid_t space, fsfm_hdf5_entry *entry)
{
    hsize_t dims[H5S_MAX_RANK];
    const int axes = H5Sget_simple_extent_dims(space, dims, NULL);
    entry->axes = axes < 0 ? 0 : axes > FSFM_HDF5_AXES_MAX ? FSFM_HDF5_AXES_MAX : axes;
    for (int i = 0; i < entry->axes; i++) entry->shape[i] = (int64_t)dims[i];
}

static void read_value(hid_t object, hid_t attribute, hid_t type, fsfm_hdf5_entry *entry)
{
    double real = 0;
    int64_t whole = 0;
    fsfm_error err;
    switch (H5Tget_class(type)) {
    case H5T_FLOAT:
        if (H5Aread(attribute, H5T_NATIVE_DOUBLE, &real) >= 0)
            snprintf(entry->value, sizeof entry->value, "%.17g", real);
        break;
    case H5T_INTEGER:
        if (H5Tget_sign(type) == H5T_SGN_NONE && H5Aread(attribute, H5T_NATIVE_UINT64, &whole) >= 0)
            snprintf(entry->value, sizeof entry->value, "%llu", (unsigned long long)whole);
        else if (H5Aread(attribute, H5T_NATIVE_INT64, &whole) >= 0)
            snprintf(entry->value, sizeof entry->value, "%lld", (long long)whole);
        break;
    case H5T_STRING:
        if (fsfm_h5_read_text(object, entry->name, entry->value, sizeof entry->value, &err) != FSFM_OK)
            snprintf(entry->value, sizeof entry->value, "(a long text)");
        break;
    case H5T_ENUM: /* truth values of numpy are one */
        if (H5Tget_size(type) > sizeof whole || H5Aread(attribute, type, &whole) < 0 ||
            H5Tenum_nameof(type, &whole, entry->value, sizeof entry->value) < 0)
            entry->value[0] = '\0';
        break;
    default: break;
    }
}

static herr_t visit_attribute(hid_t object, const char *name, const H5A_info_t *info, void *context)
{
    const listing *l = context;
    fsfm_hdf5_entry entry = {.name = name, .is_attribute = true};
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT), type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    (void)info;
    if (attribute < 0) return -1;
    if ((type = H5Aget_type(attribute)) >= 0 && (space = H5Aget_space(attribute)) >= 0) {
        name_type(type, entry.type);
        name_shape(space, &entry);
        if (H5Sget_simple_extent_npoints(space) == 1) read_value(object, attribute, type, &entry);
        l->visit(l->context, &entry);
    }
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    H5Aclose(attribute);
    return space >= 0 ? 0 : -1;
}

static herr_t visit_link(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    const listing *l = context;
    fsfm_hdf5_entry entry = {.name = name};
    herr_t status = 0;
    if (info->type != H5L_TYPE_HARD) return 0;
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0) return -1;
    if (H5Iget_type(object) == H5I_DATASET) {
        hid_t type = H5Dget_type(object), space = H5Dget_space(object);
        if (type >= 0) name_type(type, entry.type);
        if (space >= 0) name_shape(space, &entry);
        status = type >= 0 && space >= 0 ? 0 : -1;
        if (status == 0) l->visit(l->context, &entry);
        if (space >= 0) H5Sclose(space);
        if (type >= 0) H5Tclose(type);
    }
    H5Oclose(object);
    return status;
}

fsfm_status fsfm_hdf5_format(const char *path, char out[64], fsfm_error *err)
{
    hid_t file = H5I_INVALID_HID;
    out[0] = '\0';
    fsfm_hdf5_lock();
    fsfm_status st = fsfm_h5_open(path, &file, err);
    if (st == FSFM_OK && H5Aexists(file, "format") > 0) st = fsfm_h5_read_text(file, "format", out, 64, err);
    if (file >= 0) H5Fclose(file);
    fsfm_hdf5_unlock();
    return st == FSFM_OK ? st : fsfm_context(err, "%s", path);
}

fsfm_status fsfm_hdf5_list(const char *path, void (*visit)(void *context, const fsfm_hdf5_entry *entry),
                           void *context, fsfm_error *err)
{
    char reason[160];
    listing l = {visit, context};
    hid_t file = H5I_INVALID_HID;
    fsfm_hdf5_lock();
    fsfm_status st = fsfm_h5_open(path, &file, err);
    if (st == FSFM_OK && (H5Aiterate2(file, H5_INDEX_NAME, H5_ITER_INC, NULL, visit_attribute, &l) < 0 ||
                          H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, visit_link, &l) < 0))
        st = fsfm_fail(err, FSFM_ERR_FORMAT, "damaged: its parts cannot be listed (%s)",
                       fsfm_h5_reason(reason));
    if (file >= 0) H5Fclose(file);
    fsfm_hdf5_unlock();
    return st == FSFM_OK ? st : fsfm_context(err, "%s", path);
}
