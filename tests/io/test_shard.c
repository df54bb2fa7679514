/* SPDX-License-Identifier: Apache-2.0
 * Shards: what was written comes back, equal content gives equal bytes, and damage of every kind is noticed
 * and named. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "tests/io/shard_fixture.h"

enum { COUNT = 10 };

typedef struct {
    char folder[256], path[300];
} state;

static int setup(void **context)
{
    state *s = calloc(1, sizeof *s);
    make_folder(s->folder);
    snprintf(s->path, sizeof s->path, "%s/shard-00000.h5", s->folder);
    *context = s;
    return 0;
}

static int teardown(void **context)
{
    state *s = *context;
    remove_folder(s->folder);
    free(s);
    return 0;
}

static int files_in(const char *folder)
{
    int count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    closedir(dir);
    return count;
}

/* Every field of every sample, in an order that is not that of writing. */
static void check_samples(const state *s, const fsfm_shard_layout *layout, bool into)
{
    fsfm_error err;
    fsfm_stored_sample got = {0};
    fixture_sample *f = malloc(sizeof *f);
    uint8_t *image = malloc(sizeof f->image);
    const int fd = open(s->path, O_RDONLY);
    assert_true(fd >= 0);
    for (int64_t k = 0; k < COUNT; k++) {
        const int64_t i = (k * 7) % COUNT;
        fixture_fill(f, layout->kind.encoding, i);
        memset(image, 0, sizeof f->image);
        assert_ok(fsfm_shard_pread(fd, layout, i, into ? image : NULL, &got, &err), &err);
        assert_int_equal(got.image_bytes, f->sample.image_bytes);
        const bool is_raw = layout->kind.encoding == FSFM_ENCODING_RAW;
        assert_memory_equal(into && is_raw ? image : got.image, f->image, f->sample.image_bytes);
        if (layout->kind.has_regions) {
            assert_memory_equal(got.regions_p16, f->p16, sizeof f->p16);
            assert_memory_equal(got.regions_p14, f->p14, sizeof f->p14);
            assert_int_equal(got.map_bytes, f->sample.map_bytes);
            assert_memory_equal(got.map_deflated, f->map, f->sample.map_bytes);
        } else {
            assert_null(got.regions_p16);
            assert_null(got.map_deflated);
        }
        assert_int_equal(got.label, layout->kind.has_labels ? f->sample.label : -1);
    }
    assert_fails(fsfm_shard_pread(fd, layout, COUNT, NULL, &got, &err), FSFM_ERR_ARG, &err, "does not exist");
    assert_fails(fsfm_shard_pread(fd, layout, -1, NULL, &got, &err), FSFM_ERR_ARG, &err, "does not exist");
    close(fd);
    fsfm_stored_sample_free(&got);
    free(image);
    free(f);
}

static void check_strings(const state *s, bool has_labels)
{
    fsfm_error err;
    char *strings[4];
    assert_ok(fsfm_shard_read_strings(s->path, "id", 3, 4, strings, &err), &err);
    assert_string_equal(strings[0], "person01/face_0003");
    assert_string_equal(strings[3], "person02/face_0006");
    for (int i = 0; i < 4; i++) free(strings[i]);
    assert_fails(fsfm_shard_read_strings(s->path, "id", COUNT - 3, 4, strings, &err), FSFM_ERR_ARG, &err,
                 "do not exist");
    if (!has_labels) return;
    assert_ok(fsfm_shard_read_strings(s->path, "group", 9, 1, strings, &err), &err);
    assert_string_equal(strings[0], "person03");
    free(strings[0]);
    assert_ok(fsfm_shard_read_strings(s->path, "domain", 0, 1, strings, &err), &err);
    assert_string_equal(strings[0], "a collection");
    free(strings[0]);
}

static void test_round_trip(void **context)
{
    const state *s = *context;
    fsfm_error err;
    for (int variant = 0; variant < 8; variant++) {
        const fsfm_encoding encoding = variant & 1 ? FSFM_ENCODING_JPEG : FSFM_ENCODING_RAW;
        const bool has_regions = variant & 2, has_labels = variant & 4;
        fsfm_shard_layout layout;
        fsfm_shard_record record;
        int64_t bad[4], bad_count = -1;
        fixture_write(s->path, fixture_kind(encoding, has_regions, has_labels), 0, COUNT);
        assert_int_equal(files_in(s->folder), 1);
        assert_ok(fsfm_shard_read_layout(s->path, &layout, &err), &err);
        assert_int_equal(layout.count, COUNT);
        assert_int_equal(layout.kind.size, FIXTURE_SIZE);
        assert_int_equal(layout.kind.encoding, encoding);
        assert_int_equal(layout.kind.has_regions, has_regions);
        assert_int_equal(layout.kind.has_labels, has_labels);
        assert_string_equal(layout.kind.label_scheme, has_regions ? "lapa11" : "");
        check_samples(s, &layout, false);
        check_samples(s, &layout, true);
        fsfm_shard_tables tables;
        const int fd = open(s->path, O_RDONLY);
        assert_ok(fsfm_shard_tables_load(fd, &layout, &tables, &err), &err);
        close(fd);
        layout.tables = &tables;
        check_samples(s, &layout, false);
        fsfm_shard_tables_free(&tables);
        check_strings(s, has_labels);
        assert_ok(fsfm_shard_read_record(s->path, &record, &err), &err);
        assert_int_equal(record.sums.pixels, COUNT);
        assert_int_equal(record.sums.sum[2], 3);
        assert_int_equal(record.sums.sum_of_squares[0], 4);
        assert_int_equal(record.plan_xxh3, 77);
        assert_int_equal(record.quarantine_count, 2);
        assert_string_equal(record.quarantine[1], "worse.png: it is \xc3\xa4rger");
        fsfm_shard_record_free(&record);
        assert_ok(fsfm_shard_verify(s->path, bad, 4, &bad_count, &err), &err);
        assert_int_equal(bad_count, 0);
    }
}

static void test_an_empty_shard_is_one(void **context)
{
    const state *s = *context;
    fsfm_error err;
    fsfm_shard_layout layout;
    uint64_t sum;
    for (int encoding = 0; encoding < 2; encoding++) {
        fixture_write(s->path, fixture_kind((fsfm_encoding)encoding, true, true), 0, 0);
        assert_ok(fsfm_shard_read_layout(s->path, &layout, &err), &err);
        assert_int_equal(layout.count, 0);
        assert_ok(fsfm_shard_checksum(s->path, &sum, &err), &err);
    }
}

static void test_equal_content_gives_equal_bytes(void **context)
{
    const state *s = *context;
    fsfm_error err;
    char other[300];
    uint8_t *a, *b;
    size_t a_bytes, b_bytes;
    uint64_t sum_a, sum_b;
    snprintf(other, sizeof other, "%s/other-name.h5", s->folder);
    fixture_write(s->path, fixture_kind(FSFM_ENCODING_RAW, true, true), 0, COUNT);
    void *dirt = malloc(1 << 20); /* memory that HDF5 may get next is not zero */
    memset(dirt, 0xa5, 1 << 20);
    free(dirt);
    sleep(1); /* object times have a resolution of a second */
    fixture_write(other, fixture_kind(FSFM_ENCODING_RAW, true, true), 0, COUNT);
    assert_ok(fsfm_file_read(s->path, &a, &a_bytes, &err), &err);
    assert_ok(fsfm_file_read(other, &b, &b_bytes, &err), &err);
    assert_int_equal(a_bytes, b_bytes);
    assert_memory_equal(a, b, a_bytes);
    assert_ok(fsfm_shard_checksum(s->path, &sum_a, &err), &err);
    fixture_write(other, fixture_kind(FSFM_ENCODING_RAW, true, true), 1, COUNT);
    assert_ok(fsfm_shard_checksum(other, &sum_b, &err), &err);
    assert_int_not_equal(sum_a, sum_b);
    free(a);
    free(b);
}

/* A flipped bit in each part of sample 4 is found in that sample and no other. */
static void test_flipped_bits_are_found(void **context)
{
    const state *s = *context;
    fsfm_error err;
    for (int encoding = 0; encoding < 2; encoding++) {
        fsfm_shard_layout l;
        fixture_write(s->path, fixture_kind((fsfm_encoding)encoding, true, true), 0, COUNT);
        assert_ok(fsfm_shard_read_layout(s->path, &l, &err), &err);
        uint64_t map_start = 0, image_start = 4ull * FIXTURE_SIZE * FIXTURE_SIZE * 3;
        FILE *file = fopen(s->path, "rb");
        assert_non_null(file);
        fseek(file, (long)l.map_offset + 32, SEEK_SET);
        assert_int_equal(fread(&map_start, 8, 1, file), 1);
        fseek(file, (long)l.image_offset + 32, SEEK_SET);
        if (encoding) assert_int_equal(fread(&image_start, 8, 1, file), 1);
        fclose(file);
        const uint64_t places[] = {(encoding ? l.image_bytes : l.images) + image_start,
                                   l.regions_p16 + 4 * 98 + 97,
                                   l.regions_p14 + 4 * 128,
                                   l.map_bytes + map_start,
                                   l.label + 4,
                                   l.xxh3 + 4 * 8 + 7,
                                   l.xxh3_meta + 4 * 8};
        for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
            int64_t bad[4] = {-1}, bad_count = 0;
            flip_bit(s->path, places[p]);
            assert_ok(fsfm_shard_verify(s->path, bad, 4, &bad_count, &err), &err);
            if (bad_count != 1 || bad[0] != 4)
                fail_msg("encoding %d, place %zu: %d bad", encoding, p, (int)bad_count);
            flip_bit(s->path, places[p]);
        }
        fsfm_stored_sample sample = {0};
        flip_bit(s->path, l.map_offset + 4 * 8 + 6); /* a length of terabytes */
        const int fd = open(s->path, O_RDONLY);
        assert_fails(fsfm_shard_pread(fd, &l, 4, NULL, &sample, &err), FSFM_ERR_FORMAT, &err,
                     "map_offset says");
        close(fd);
        fsfm_stored_sample_free(&sample);
    }
}

/* Whatever the length that is left, opening or reading fails and the message names the file. */
static void test_truncated_files_are_named(void **context)
{
    const state *s = *context;
    fsfm_error err;
    struct stat info;
    fixture_write(s->path, fixture_kind(FSFM_ENCODING_RAW, true, true), 0, COUNT);
    assert_int_equal(stat(s->path, &info), 0);
    const long long whole = info.st_size,
                    cuts[] = {
                        whole - 1, whole - 4096, whole * 9 / 10, whole * 6 / 10, whole / 10, 2048, 511, 48, 7,
                        0};
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
        fsfm_shard_layout layout;
        assert_int_equal(truncate(s->path, cuts[c]), 0);
        assert_fails(fsfm_shard_read_layout(s->path, &layout, &err), FSFM_ERR_FORMAT, &err, "shard-00000.h5");
    }
    fsfm_shard_layout layout;
    unlink(s->path);
    assert_fails(fsfm_shard_read_layout(s->path, &layout, &err), FSFM_ERR_IO, &err,
                 "shard-00000.h5: cannot be read");
}

/* Cut off after it was opened. */
static void test_a_file_that_shrinks_is_an_error(void **context)
{
    const state *s = *context;
    fsfm_error err;
    fsfm_shard_layout layout;
    fsfm_stored_sample sample = {0};
    fixture_write(s->path, fixture_kind(FSFM_ENCODING_RAW, true, true), 0, COUNT);
    assert_ok(fsfm_shard_read_layout(s->path, &layout, &err), &err);
    const int fd = open(s->path, O_RDONLY);
    assert_int_equal(truncate(s->path, (off_t)layout.images + 100), 0);
    assert_fails(fsfm_shard_pread(fd, &layout, 0, NULL, &sample, &err), FSFM_ERR_IO, &err, "ends too early");
    close(fd);
    fsfm_stored_sample_free(&sample);
}

static void test_the_writer_refuses_wrong_samples(void **context)
{
    const state *s = *context;
    fsfm_error err;
    fsfm_shard_writer *writer;
    const fsfm_shard_kind kind = fixture_kind(FSFM_ENCODING_RAW, true, false);
    fixture_sample *f = malloc(sizeof *f);
    fixture_fill(f, FSFM_ENCODING_RAW, 0);
    assert_ok(fsfm_shard_writer_open(s->path, &kind, 1, &writer, &err), &err);
    f->sample.image_bytes--;
    assert_fails(fsfm_shard_writer_add(writer, &f->sample, &err), FSFM_ERR_ARG, &err, "expected 37632");
    f->sample.image_bytes++;
    f->sample.map_deflated = NULL;
    assert_fails(fsfm_shard_writer_add(writer, &f->sample, &err), FSFM_ERR_ARG, &err, "without map");
    f->sample.map_deflated = f->map;
    assert_ok(fsfm_shard_writer_add(writer, &f->sample, &err), &err);
    assert_fails(fsfm_shard_writer_add(writer, &f->sample, &err), FSFM_ERR_ARG, &err,
                 "more than the announced 1");
    fsfm_shard_writer_abandon(&writer);
    assert_null(writer);
    fsfm_shard_writer_abandon(&writer);
    assert_int_equal(files_in(s->folder), 0);
    assert_fails(fsfm_shard_writer_open("/nowhere/at/all.h5", &kind, 1, &writer, &err), FSFM_ERR_IO, &err,
                 "/nowhere/at");
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_empty_shard_is_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_equal_content_gives_equal_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flipped_bits_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated_files_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_shrinks_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_writer_refuses_wrong_samples, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
