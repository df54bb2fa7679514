/* SPDX-License-Identifier: Apache-2.0
 * The parts of a shard that only packing and people need: sums, plan, quarantine, strings, and the shard's
 * checksum. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "io/shard.h"
#include "io/shard_hdf5.h"

enum { STRING_MAX = 1 << 20 };

/* Copies of strings [first, first + count) of a dataset of strings; count -1: all, *found tells how many. */
static fsfm_status read_strings(hid_t file, const char *name, int64_t first, int64_t count, char ***out,
                                int64_t *found, fsfm_error *err)
{
    char reason[160];
    fsfm_status st = FSFM_OK;
    hsize_t length = 0;
    hid_t text = fsfm_h5_string_type(), dataset = H5I_INVALID_HID, space = H5I_INVALID_HID,
          memory = H5I_INVALID_HID;
    char **read = NULL, **copies = NULL;
    *out = NULL;
    if (H5Lexists(file, name, H5P_DEFAULT) <= 0 || (dataset = H5Dopen2(file, name, H5P_DEFAULT)) < 0 ||
        (space = H5Dget_space(dataset)) < 0 || H5Sget_simple_extent_ndims(space) != 1 ||
        H5Sget_simple_extent_dims(space, &length, NULL) != 1) {
        st = fsfm_fail(err, FSFM_ERR_FORMAT, "dataset '%s' is missing or has not one axis", name);
        goto done;
    }
    if (count < 0) count = (int64_t)length - first;
    if (first < 0 || count < 0 || (uint64_t)(first + count) > length) {
        st = fsfm_fail(err, FSFM_ERR_ARG, "samples %" PRId64 " to %" PRId64 " of '%s' do not exist", first,
                       first + count - 1, name);
        goto done;
    }
    *found = count;
    const hsize_t start[1] = {(hsize_t)first}, counts[1] = {(hsize_t)count};
    read = calloc((size_t)count + 1, sizeof *read);
    copies = calloc((size_t)count + 1, sizeof *copies);
    if (!read || !copies) st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %" PRId64 " strings", count);
    if (st == FSFM_OK && count > 0 &&
        (text < 0 || (memory = H5Screate_simple(1, counts, NULL)) < 0 ||
         H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, counts, NULL) < 0 ||
         H5Dread(dataset, text, memory, space, H5P_DEFAULT, read) < 0))
        st =
            fsfm_fail(err, FSFM_ERR_FORMAT, "dataset '%s' cannot be read (%s)", name, fsfm_h5_reason(reason));
    for (int64_t i = 0; st == FSFM_OK && i < count; i++)
        if (!(copies[i] = strndup(read[i] ? read[i] : "", STRING_MAX)))
            st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %" PRId64 " strings", count);
    if (st == FSFM_OK) {
        *out = copies;
        copies = NULL;
    }
done:
    if (read)
        for (int64_t i = 0; i < count; i++)
            if (read[i]) H5free_memory(read[i]);
    if (copies)
        for (int64_t i = 0; i < count; i++) free(copies[i]);
    free(read);
    free(copies);
    if (memory >= 0) H5Sclose(memory);
    if (space >= 0) H5Sclose(space);
    if (dataset >= 0) H5Dclose(dataset);
    if (text >= 0) H5Tclose(text);
    return st;
}

static fsfm_status read_record(hid_t file, fsfm_shard_record *out, fsfm_error *err)
{
    FSFM_TRY(fsfm_h5_read_u64(file, "pixels", &out->sums.pixels, 1, err));
    FSFM_TRY(fsfm_h5_read_u64(file, "pixel_sum", out->sums.sum, 3, err));
    FSFM_TRY(fsfm_h5_read_u64(file, "pixel_sum_of_squares", out->sums.sum_of_squares, 3, err));
    FSFM_TRY(fsfm_h5_read_u64(file, "plan_xxh3", &out->plan_xxh3, 1, err));
    return read_strings(file, "quarantine", 0, -1, &out->quarantine, &out->quarantine_count, err);
}

fsfm_status fsfm_shard_read_record(const char *path, fsfm_shard_record *out, fsfm_error *err)
{
    hid_t file = H5I_INVALID_HID;
    memset(out, 0, sizeof *out);
    fsfm_hdf5_lock();
    fsfm_status st = fsfm_h5_open(path, &file, err);
    if (st == FSFM_OK) st = read_record(file, out, err);
    if (file >= 0) H5Fclose(file);
    fsfm_hdf5_unlock();
    return st == FSFM_OK ? st : fsfm_context(err, "%s", path);
}

void fsfm_shard_record_free(fsfm_shard_record *record)
{
    for (int64_t i = 0; i < record->quarantine_count; i++) free(record->quarantine[i]);
    free(record->quarantine);
    memset(record, 0, sizeof *record);
}

fsfm_status fsfm_shard_read_strings(const char *path, const char *which, int64_t first, int64_t count,
                                    char **out, fsfm_error *err)
{
    hid_t file = H5I_INVALID_HID;
    char **strings = NULL;
    int64_t found = 0;
    FSFM_ASSERT(count >= 0);
    fsfm_hdf5_lock();
    fsfm_status st = fsfm_h5_open(path, &file, err);
    if (st == FSFM_OK) st = read_strings(file, which, first, count, &strings, &found, err);
    if (file >= 0) H5Fclose(file);
    fsfm_hdf5_unlock();
    if (st != FSFM_OK) return fsfm_context(err, "%s", path);
    memcpy(out, strings, (size_t)count * sizeof *out);
    free(strings);
    return FSFM_OK;
}

static fsfm_status hash_numbers(hid_t file, const char *name, hid_t type, size_t entry_bytes,
                                XXH3_state_t *state, fsfm_error *err)
{
    char reason[160];
    fsfm_status st = FSFM_OK;
    void *values = NULL;
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT), space = H5I_INVALID_HID;
    hssize_t n = 0;
    if (dataset < 0 || (space = H5Dget_space(dataset)) < 0 || (n = H5Sget_simple_extent_npoints(space)) < 0)
        st = fsfm_fail(err, FSFM_ERR_FORMAT, "dataset '%s' is missing", name);
    else if (!(values = calloc((size_t)n + 1, entry_bytes)))
        st = fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %" PRId64 " numbers", (int64_t)n);
    else if (n > 0 && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        st =
            fsfm_fail(err, FSFM_ERR_FORMAT, "dataset '%s' cannot be read (%s)", name, fsfm_h5_reason(reason));
    else
        XXH3_64bits_update(state, values, (size_t)n * entry_bytes);
    free(values);
    if (space >= 0) H5Sclose(space);
    if (dataset >= 0) H5Dclose(dataset);
    return st;
}

static fsfm_status hash_strings(hid_t file, const char *name, XXH3_state_t *state, fsfm_error *err)
{
    char **strings = NULL;
    int64_t count = 0;
    FSFM_TRY(read_strings(file, name, 0, -1, &strings, &count, err));
    for (int64_t i = 0; i < count; i++) {
        XXH3_64bits_update(state, strings[i], strlen(strings[i]) + 1);
        free(strings[i]);
    }
    free(strings);
    return FSFM_OK;
}

static fsfm_status hash_shard(hid_t file, XXH3_state_t *state, fsfm_error *err)
{
    FSFM_TRY(hash_numbers(file, "xxh3", H5T_NATIVE_UINT64, sizeof(uint64_t), state, err));
    FSFM_TRY(hash_numbers(file, "xxh3_meta", H5T_NATIVE_UINT64, sizeof(uint64_t), state, err));
    FSFM_TRY(hash_strings(file, "id", state, err));
    if (H5Lexists(file, "label", H5P_DEFAULT) <= 0) return FSFM_OK;
    FSFM_TRY(hash_strings(file, "group", state, err));
    FSFM_TRY(hash_strings(file, "domain", state, err));
    return hash_numbers(file, "frame", H5T_NATIVE_INT32, sizeof(int32_t), state, err);
}

fsfm_status fsfm_shard_checksum(const char *path, uint64_t *out, fsfm_error *err)
{
    hid_t file = H5I_INVALID_HID;
    XXH3_state_t *state = XXH3_createState();
    if (!state) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a checksum");
    XXH3_64bits_reset(state);
    fsfm_hdf5_lock();
    fsfm_status st = fsfm_h5_open(path, &file, err);
    if (st == FSFM_OK) st = hash_shard(file, state, err);
    if (file >= 0) H5Fclose(file);
    fsfm_hdf5_unlock();
    *out = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return st == FSFM_OK ? st : fsfm_context(err, "%s", path);
}
