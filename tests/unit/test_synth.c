/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/image.h"
#include "jobs/command.h"
#include "tests/support/check.h"

enum { SIDE = 96, FACES = 64 };

static int synth(const char *out, const char *count, const char *seed, const char *threads, const char *more)
{
    char *argv[] = {(char *)out,         (char *)"--count", (char *)count,    (char *)"--seed", (char *)seed,
                    (char *)"--threads", (char *)threads,   (char *)"--size", (char *)"96",     (char *)more};
    fsfm_error err = {.status = FSFM_OK};
    const int code = fsfm_command_synth.run(more ? 10 : 9, argv, &err);
    if (code != FSFM_EXIT_DONE) assert_true(err.message[0] != '\0');
    return code;
}

static void read_file(const char *folder, const char *name, int index, const char *ending, uint8_t **bytes,
                      size_t *size)
{
    char path[512];
    fsfm_error err;
    snprintf(path, sizeof path, "%s/%s/face-%06d.%s", folder, name, index, ending);
    assert_ok(fsfm_file_read(path, bytes, size, &err), &err);
}

static int entries(const char *folder, const char *name)
{
    int count = 0;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) count += e->d_name[0] != '.';
    closedir(dir);
    return count;
}

typedef struct {
    int64_t pixels[11];
    double x[11]; /* mean column */
} map_summary;

static void summarise(const fsfm_image *map, map_summary *out)
{
    memset(out, 0, sizeof *out);
    for (int i = 0; i < SIDE * SIDE; i++) {
        const int label = map->pixels[i];
        assert_in_range(label, 0, 10);
        out->pixels[label]++;
        out->x[label] += i % SIDE;
    }
    for (int label = 0; label < 11; label++)
        if (out->pixels[label]) out->x[label] /= (double)out->pixels[label];
}

static void check_face(const char *folder, int index, int64_t *faces_with)
{
    fsfm_image map, image;
    fsfm_error err;
    map_summary s;
    uint8_t *bytes;
    size_t size;
    read_file(folder, "images", index, "png", &bytes, &size);
    assert_ok(fsfm_image_decode(bytes, size, &image, &err), &err);
    free(bytes);
    read_file(folder, "parsing_maps", index, "npy", &bytes, &size);
    assert_ok(fsfm_map_decode_npy(bytes, size, &map, &err), &err);
    free(bytes);
    assert_true(image.width == SIDE && image.height == SIDE && map.width == SIDE && map.height == SIDE);
    summarise(&map, &s);
    for (int label = 0; label < 11; label++) faces_with[label] += s.pixels[label] > 0;
    assert_true(s.pixels[0] > SIDE * SIDE / 20 && s.pixels[1] > SIDE * SIDE / 10);
    if (s.pixels[4] && s.pixels[5]) assert_true(s.x[4] < s.x[5]);
    if (s.pixels[2] && s.pixels[3]) assert_true(s.x[2] < s.x[3]);
    fsfm_image_free(&map);
    fsfm_image_free(&image);
}

static void test_maps(void **state)
{
    (void)state;
    char folder[256];
    int64_t faces_with[11] = {0};
    make_folder(folder);
    assert_int_equal(synth(folder, "64", "3", "2", NULL), FSFM_EXIT_DONE);
    assert_int_equal(entries(folder, "images"), FACES);
    assert_int_equal(entries(folder, "parsing_maps"), FACES);
    for (int index = 0; index < FACES; index++) check_face(folder, index, faces_with);
    for (int label = 0; label < 11; label++) {
        assert_true(faces_with[label] > FACES / 5);
        if (label < 8 && label != 2 && label != 3) assert_true(faces_with[label] >= FACES - 2);
    }
    remove_folder(folder);
}

static bool same_file(const char *a, const char *b, const char *name, int index, const char *ending)
{
    uint8_t *x, *y;
    size_t x_size, y_size;
    read_file(a, name, index, ending, &x, &x_size);
    read_file(b, name, index, ending, &y, &y_size);
    const bool is_same = x_size == y_size && memcmp(x, y, x_size) == 0;
    free(x);
    free(y);
    return is_same;
}

/* A face depends on seed and number, not on the count, the threads or what was there before. */
static void test_deterministic(void **state)
{
    (void)state;
    char a[256], b[256];
    make_folder(a);
    make_folder(b);
    assert_int_equal(synth(a, "6", "11", "1", NULL), FSFM_EXIT_DONE);
    assert_int_equal(synth(b, "3", "12", "1", NULL), FSFM_EXIT_DONE);
    for (int index = 0; index < 3; index++) assert_false(same_file(a, b, "images", index, "png"));
    assert_int_equal(synth(b, "4", "11", "3", NULL), FSFM_EXIT_DONE);
    for (int index = 0; index < 4; index++) {
        assert_true(same_file(a, b, "images", index, "png"));
        assert_true(same_file(a, b, "parsing_maps", index, "npy"));
    }
    remove_folder(b);
    remove_folder(a);
}

static void test_labelled(void **state)
{
    (void)state;
    char a[256], b[256];
    make_folder(a);
    make_folder(b);
    assert_int_equal(synth(a, "7", "2", "2", "--labelled"), FSFM_EXIT_DONE);
    assert_int_equal(entries(a, "real"), 4);
    assert_int_equal(entries(a, "fake"), 3);
    assert_int_equal(synth(b, "4", "2", "1", "--labelled"), FSFM_EXIT_DONE);
    for (int index = 0; index < 2; index++) {
        assert_true(same_file(a, b, "real", index, "png"));
        assert_true(same_file(a, b, "fake", index, "png"));
    }
    remove_folder(b);
    remove_folder(a);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    char folder[256], file[512];
    fsfm_error err;
    make_folder(folder);
    snprintf(file, sizeof file, "%s/file", folder);
    assert_ok(fsfm_file_write(file, "x", 1, &err), &err);
    assert_int_equal(synth(file, "2", "0", "1", NULL), FSFM_EXIT_FAILED);
    assert_int_equal(synth(folder, "0", "0", "1", NULL), FSFM_EXIT_USAGE);
    assert_int_equal(synth(folder, "2", "-1", "1", NULL), FSFM_EXIT_USAGE);
    char *argv[] = {folder};
    assert_int_equal(fsfm_command_synth.run(1, argv, &err), FSFM_EXIT_USAGE);
    assert_non_null(strstr(err.message, "--count"));
    assert_int_equal(fsfm_command_synth.run(0, argv, &err), FSFM_EXIT_USAGE);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_deterministic),
        cmocka_unit_test(test_labelled),
        cmocka_unit_test(test_bad_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
