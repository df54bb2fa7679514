/* SPDX-License-Identifier: Apache-2.0
 * Shards that break a rule of the format, each refused by a message that names the file and the rule. */
#include <unistd.h>

#include <hdf5.h>

#include "tests/io/shard_fixture.h"

enum { COUNT = 3 };

static hid_t open_to_change(const char *path)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, access);
    assert_true(file >= 0);
    H5Pclose(access);
    return file;
}

typedef enum { PLAIN, CHUNKED, COMPACT, EXTERNAL } storage;

typedef struct {
    const char *name; /* dataset to replace */
    hid_t type;       /* 0: only removed */
    int axes;
    hsize_t dims[4];
    storage stored;
    const char *message;
} change;

static void replace_dataset(const char *path, const change *c)
{
    hid_t file = open_to_change(path);
    assert_true(H5Ldelete(file, c->name, H5P_DEFAULT) >= 0);
    if (c->type) {
        hid_t space = H5Screate_simple(c->axes, c->dims, NULL), properties = H5Pcreate(H5P_DATASET_CREATE);
        H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY);
        if (c->stored == CHUNKED) H5Pset_chunk(properties, c->axes, c->dims);
        if (c->stored == COMPACT) H5Pset_layout(properties, H5D_COMPACT);
        if (c->stored == EXTERNAL) H5Pset_external(properties, "/dev/zero", 0, H5F_UNLIMITED);
        hid_t dataset = H5Dcreate2(file, c->name, c->type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
        assert_true(dataset >= 0);
        H5Dclose(dataset);
        H5Pclose(properties);
        H5Sclose(space);
    }
    assert_true(H5Fclose(file) >= 0);
}

static void test_datasets(void **context)
{
    (void)context;
    const hsize_t size = FIXTURE_SIZE;
    const change changes[] = {
        {"images", 0, 0, {0}, PLAIN, "dataset 'images' is missing"},
        {"images", H5T_STD_U8LE, 3, {COUNT, size, size}, PLAIN, "'images' has 3 axes, expected 4"},
        {"images",
         H5T_STD_U8LE,
         4,
         {COUNT, size, size, 4},
         PLAIN,
         "axis 3 of 'images' has length 4, expected 3"},
        {"images",
         H5T_STD_U8LE,
         4,
         {COUNT + 1, size, size, 3},
         PLAIN,
         "axis 0 of 'images' has length 4, expected 3"},
        {"images", H5T_STD_I8LE, 4, {COUNT, size, size, 3}, PLAIN, "'images' has another type"},
        {"images", H5T_STD_U8LE, 4, {COUNT, size, size, 3}, CHUNKED, "'images' is not stored contiguously"},
        {"regions_p16",
         H5T_STD_U16LE,
         2,
         {COUNT, 196},
         PLAIN,
         "axis 1 of 'regions_p16' has length 196, expected 49"},
        {"regions_p14", 0, 0, {0}, PLAIN, "dataset 'regions_p14' is missing"},
        {"map_offset", H5T_STD_U64LE, 1, {COUNT}, PLAIN, "axis 0 of 'map_offset' has length 3, expected 4"},
        {"xxh3", H5T_STD_U32LE, 1, {COUNT}, PLAIN, "'xxh3' has another type"},
        {"xxh3_meta", 0, 0, {0}, PLAIN, "dataset 'xxh3_meta' is missing"},
        {"id", H5T_STD_U8LE, 1, {COUNT}, PLAIN, "'id' has another type"},
        {"frame", H5T_STD_I64LE, 1, {COUNT}, PLAIN, "'frame' has another type"},
        {"frame", H5T_STD_I32LE, 1, {COUNT}, COMPACT, "'frame' is not stored contiguously"},
        {"frame", H5T_STD_I32LE, 1, {COUNT}, EXTERNAL, "'frame' is not stored contiguously"},
        {"group", 0, 0, {0}, PLAIN, "dataset 'group' is missing"},
    };
    char folder[256], path[300];
    make_folder(folder);
    snprintf(path, sizeof path, "%s/shard-00042.h5", folder);
    for (size_t c = 0; c < sizeof changes / sizeof *changes; c++) {
        fsfm_error err;
        fsfm_shard_layout layout;
        fixture_write(path, fixture_kind(FSFM_ENCODING_RAW, true, true), 0, COUNT);
        replace_dataset(path, &changes[c]);
        const fsfm_status st = fsfm_shard_read_layout(path, &layout, &err);
        assert_fails(st, FSFM_ERR_FORMAT, &err, changes[c].message);
        assert_fails(st, FSFM_ERR_FORMAT, &err, "shard-00042.h5: ");
    }
    remove_folder(folder);
}

/* Values of the same length are written over; NULL removes the attribute. */
static void change_attribute(const char *path, const char *name, const void *value)
{
    hid_t file = open_to_change(path);
    if (!value) {
        assert_true(H5Adelete(file, name) >= 0);
    } else {
        hid_t attribute = H5Aopen(file, name, H5P_DEFAULT), type = H5Aget_type(attribute);
        assert_true(H5Awrite(attribute, type, value) >= 0);
        H5Tclose(type);
        H5Aclose(attribute);
    }
    assert_true(H5Fclose(file) >= 0);
}

static void test_attributes(void **context)
{
    (void)context;
    const uint64_t size = 224, none = 0;
    const struct {
        const char *name;
        const void *value;
        const char *message;
    } changes[] = {
        {"format", NULL, "attribute 'format' is missing"},
        {"format", "fsfm-shard-2", "has format 'fsfm-shard-2', this program reads up to 'fsfm-shard-1'"},
        {"format", "fsfm-golden1", "has format 'fsfm-golden1', expected 'fsfm-shard-1'"},
        {"encoding", "png", "encoding is 'png', expected raw or jpeg"},
        {"image_size", &size, "axis 1 of 'images' has length 112, expected 224"},
        {"image_size", &none, "image_size is 0"},
        {"label_scheme", NULL, "attribute 'label_scheme' is missing"},
    };
    char folder[256], path[300];
    make_folder(folder);
    snprintf(path, sizeof path, "%s/shard-00007.h5", folder);
    for (size_t c = 0; c < sizeof changes / sizeof *changes; c++) {
        fsfm_error err;
        fsfm_shard_layout layout;
        fixture_write(path, fixture_kind(FSFM_ENCODING_RAW, false, false), 0, COUNT);
        change_attribute(path, changes[c].name, changes[c].value);
        assert_fails(fsfm_shard_read_layout(path, &layout, &err), FSFM_ERR_FORMAT, &err, changes[c].message);
    }
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_datasets), cmocka_unit_test(test_attributes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
