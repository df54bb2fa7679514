/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "tests/support/check.h"

static int entries(const char *folder)
{
    int count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) count += e->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void assert_holds(const char *path, const char *text)
{
    fsfm_error err;
    uint8_t *bytes;
    size_t size_bytes;
    assert_ok(fsfm_file_read(path, &bytes, &size_bytes, &err), &err);
    assert_int_equal(size_bytes, strlen(text));
    assert_memory_equal(bytes, text, size_bytes + 1); /* with the 0 behind the end */
    free(bytes);
}

static void test_write_and_read(void **state)
{
    (void)state;
    fsfm_error err;
    char folder[256], path[512];
    make_folder(folder);
    snprintf(path, sizeof path, "%s/a", folder);
    assert_ok(fsfm_file_write(path, "old", 3, &err), &err);
    assert_holds(path, "old");
    assert_ok(fsfm_file_write(path, "newer", 5, &err), &err);
    assert_holds(path, "newer");
    assert_ok(fsfm_file_write(path, "", 0, &err), &err);
    assert_holds(path, "");
    assert_int_equal(entries(folder), 1);
    struct stat info;
    const mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0666 & ~mask);
    remove_folder(folder);
}

/* A limit on the size of files stands for a full disk. */
static void test_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    fsfm_error err;
    char folder[256], path[512];
    const size_t size_bytes = 1 << 20;
    uint8_t *large = calloc(1, size_bytes);
    assert_non_null(large);
    make_folder(folder);
    snprintf(path, sizeof path, "%s/a", folder);
    assert_ok(fsfm_file_write(path, "old", 3, &err), &err);
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit small = {65536, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const fsfm_status st = fsfm_file_write(path, large, size_bytes, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_fails(st, FSFM_ERR_IO, &err, path);
    assert_holds(path, "old");
    assert_int_equal(entries(folder), 1);
    remove_folder(folder);
    free(large);
}

static void test_errors_name_the_path(void **state)
{
    (void)state;
    fsfm_error err;
    char folder[256], path[512];
    uint8_t *bytes;
    size_t size_bytes;
    uint64_t free_bytes;
    make_folder(folder);
    snprintf(path, sizeof path, "%s/none/a", folder);
    assert_fails(fsfm_file_read(path, &bytes, &size_bytes, &err), FSFM_ERR_IO, &err, path);
    assert_null(bytes);
    assert_fails(fsfm_file_read(folder, &bytes, &size_bytes, &err), FSFM_ERR_IO, &err, "not a regular file");
    assert_fails(fsfm_file_write(path, "x", 1, &err), FSFM_ERR_IO, &err, path);
    assert_fails(fsfm_folder_sync(path, &err), FSFM_ERR_IO, &err, path);
    assert_fails(fsfm_folder_free_bytes(path, &free_bytes, &err), FSFM_ERR_IO, &err, path);
    assert_fails(fsfm_file_write(folder, "x", 1, &err), FSFM_ERR_IO, &err,
                 folder); /* a folder cannot be replaced */
    assert_int_equal(entries(folder), 0);
    remove_folder(folder);
}

static void test_folders(void **state)
{
    (void)state;
    fsfm_error err;
    char folder[256], path[512];
    uint64_t free_bytes = 0;
    make_folder(folder);
    snprintf(path, sizeof path, "%s/a/b//c/", folder);
    assert_false(fsfm_file_exists(path));
    assert_ok(fsfm_folder_make(path, &err), &err);
    assert_ok(fsfm_folder_make(path, &err), &err);
    assert_true(fsfm_file_exists(path));
    assert_ok(fsfm_folder_sync(path, &err), &err);
    assert_ok(fsfm_folder_free_bytes(path, &free_bytes, &err), &err);
    assert_true(free_bytes > 0);
    snprintf(path, sizeof path, "%s/file", folder);
    assert_ok(fsfm_file_write(path, "x", 1, &err), &err);
    assert_fails(fsfm_folder_make(path, &err), FSFM_ERR_IO, &err, path);
    snprintf(path, sizeof path, "%s/file/below", folder);
    assert_fails(fsfm_folder_make(path, &err), FSFM_ERR_IO, &err, "file");
    assert_fails(fsfm_folder_make("", &err), FSFM_ERR_ARG, &err, "path");
    remove_folder(folder);
}

static void test_join(void **state)
{
    (void)state;
    fsfm_error err;
    char out[8];
    assert_ok(fsfm_path_join(out, sizeof out, "ab", "cdef", &err), &err);
    assert_string_equal(out, "ab/cdef");
    assert_ok(fsfm_path_join(out, sizeof out, "ab/", "cdef", &err), &err);
    assert_string_equal(out, "ab/cdef");
    assert_ok(fsfm_path_join(out, sizeof out, "", "cdef", &err), &err);
    assert_string_equal(out, "cdef");
    assert_fails(fsfm_path_join(out, sizeof out, "abc", "cdef", &err), FSFM_ERR_ARG, &err, "abc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_failed_write_leaves_the_old_file),
        cmocka_unit_test(test_errors_name_the_path),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
