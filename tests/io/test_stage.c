/* SPDX-License-Identifier: Apache-2.0 */
#include "io/stage.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/file.h"
#include "tests/support/check.h"
#include "tests/support/small_dataset.h"

enum { SHARDS = 3 };
static const small_dataset small = {.count = 25, .per_shard = 10, .size = 112, .has_regions = true};

typedef struct {
    char data[256], stage[256], copy[512];
} folders;

static void make_folders(folders *f)
{
    make_folder(f->data);
    make_folder(f->stage);
    small_dataset_write(&small, f->data);
    strcat(f->stage, "/below"); /* is made where it is missing */
}

static void remove_folders(folders *f)
{
    *strrchr(f->stage, '/') = 0;
    remove_folder(f->stage);
    remove_folder(f->data);
}

static fsfm_status stage(folders *f, fsfm_error *err)
{
    return fsfm_stage_dataset(f->data, f->stage, f->copy, sizeof f->copy, err);
}

static const char *shard_path(const char *folder, int shard)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/shard-%05d.h5", folder, shard);
    return path;
}

static ino_t inode_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_ino;
}

static void assert_copied(const folders *f)
{
    for (int shard = 0; shard < SHARDS; shard++) {
        uint8_t *want = NULL, *got = NULL;
        size_t want_bytes = 0, got_bytes = 0;
        fsfm_error err;
        assert_ok(fsfm_file_read(shard_path(f->data, shard), &want, &want_bytes, &err), &err);
        assert_ok(fsfm_file_read(shard_path(f->copy, shard), &got, &got_bytes, &err), &err);
        assert_int_equal(got_bytes, want_bytes);
        assert_memory_equal(got, want, want_bytes);
        free(want);
        free(got);
    }
    fsfm_dataset *dataset = NULL;
    fsfm_error err;
    assert_ok(fsfm_dataset_open(f->copy, &dataset, &err), &err);
    assert_ok(fsfm_dataset_check_shards(dataset, 0, 1, &err), &err);
    assert_int_equal(fsfm_dataset_describe(dataset)->count, small.count);
    fsfm_dataset_close(&dataset);
}

static void copies_once(void **state)
{
    (void)state;
    folders f;
    fsfm_error err;
    make_folders(&f);
    assert_ok(stage(&f, &err), &err);
    assert_copied(&f);
    const ino_t before = inode_of(shard_path(f.copy, 1));
    assert_ok(stage(&f, &err), &err);
    assert_int_equal(inode_of(shard_path(f.copy, 1)), before);
    remove_folders(&f);
}

static void finishes_a_broken_copy(void **state)
{
    (void)state;
    folders f;
    fsfm_error err;
    make_folders(&f);
    assert_ok(stage(&f, &err), &err);
    const ino_t kept = inode_of(shard_path(f.copy, 0));
    assert_int_equal(truncate(shard_path(f.copy, 1), 1000), 0);
    assert_int_equal(unlink(shard_path(f.copy, 2)), 0);
    assert_ok(stage(&f, &err), &err);
    assert_copied(&f);
    assert_int_equal(inode_of(shard_path(f.copy, 0)), kept);
    remove_folders(&f);
}

static void processes_of_a_node_copy_once(void **state)
{
    (void)state;
    folders f;
    fsfm_error err;
    make_folders(&f);
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        if ((children[i] = fork()) == 0) _exit(stage(&f, &err) == FSFM_OK ? 0 : 1);
        assert_true(children[i] > 0);
    }
    for (int i = 0; i < 4; i++) {
        int code = 0;
        assert_int_equal(waitpid(children[i], &code, 0), children[i]);
        assert_int_equal(code, 0);
    }
    assert_ok(stage(&f, &err), &err);
    assert_copied(&f);
    remove_folders(&f);
}

static void another_dataset_gets_another_folder(void **state)
{
    (void)state;
    folders f, other;
    fsfm_error err;
    small_dataset changed = small;
    changed.look = 1;
    make_folders(&f);
    make_folders(&other);
    assert_ok(stage(&f, &err), &err);
    small_dataset_write(&changed, other.data);
    char copy[512];
    assert_ok(fsfm_stage_dataset(other.data, f.stage, copy, sizeof copy, &err), &err);
    assert_string_not_equal(copy, f.copy);
    assert_copied(&f);
    remove_folders(&f);
    remove_folders(&other);
}

static void wrong_shards_are_refused(void **state)
{
    (void)state;
    folders f;
    fsfm_error err;
    make_folders(&f);
    assert_int_equal(unlink(shard_path(f.data, 1)), 0);
    assert_fails(stage(&f, &err), FSFM_ERR_IO, &err, "shard-00001.h5: cannot be examined");
    char from[600]; /* a shard of the same form that dataset.yaml does not mean */
    snprintf(from, sizeof from, "%s", shard_path(f.data, 0));
    assert_int_equal(link(from, shard_path(f.data, 1)), 0);
    assert_fails(stage(&f, &err), FSFM_ERR_FORMAT, &err, "but dataset.yaml says");
    assert_false(fsfm_file_exists(shard_path(f.copy, 1)));
    strcat(f.copy, "/shard-00001.h5.partial");
    assert_false(fsfm_file_exists(f.copy));
    remove_folders(&f);
}

/* A limit on the size of files stands for a full disk. */
static void a_full_disk_leaves_no_half_file(void **state)
{
    (void)state;
    folders f;
    fsfm_error err;
    make_folders(&f);
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {100000, 100000};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        const fsfm_status st = stage(&f, &err);
        _exit(st == FSFM_ERR_IO && strstr(err.message, "shard-00000.h5.partial: cannot be written") ? 0 : 1);
    }
    int code = 0;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    assert_ok(stage(&f, &err), &err); /* room again */
    assert_copied(&f);
    remove_folders(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_once),
        cmocka_unit_test(finishes_a_broken_copy),
        cmocka_unit_test(processes_of_a_node_copy_once),
        cmocka_unit_test(another_dataset_gets_another_folder),
        cmocka_unit_test(wrong_shards_are_refused),
        cmocka_unit_test(a_full_disk_leaves_no_half_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
