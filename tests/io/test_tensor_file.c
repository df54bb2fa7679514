/* SPDX-License-Identifier: Apache-2.0
 * io/tensor_file.h: what is written comes back; whatever happens to the file is told; a write that fails
 * harms nothing. */
#include "io/tensor_file.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "io/file.h"
#include "tests/support/check.h"

#define FORMAT "fsfm-checkpoint-1"
enum { TENSORS = 40, LONG_TEXT = 100000 };

static char folder[256], path[300], temporary[310];

/* The k-th call from now on of those that change a file fails with fault_errno; HDF5's calls come here too.
 */
static int fault_countdown, fault_errno;
static bool fault_now(void)
{
    if (fault_countdown == 0 || --fault_countdown > 0) return false;
    errno = fault_errno;
    return true;
}

static void *next(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    assert_non_null(symbol);
    return symbol;
}

#define CALL_NEXT(type, name, ...) (*(type *)(void *)&(void *){next(name)})(__VA_ARGS__)
typedef ssize_t (*pwrite_call)(int, const void *, size_t, off_t);
typedef int (*int_call)(int);
typedef int (*truncate_call)(int, off_t);
typedef int (*rename_call)(const char *, const char *);

ssize_t pwrite(int fd, const void *bytes, size_t size_bytes, off_t offset)
{
    return fault_now() ? -1 : CALL_NEXT(pwrite_call, "pwrite", fd, bytes, size_bytes, offset);
}

int fsync(int fd)
{
    return fault_now() ? -1 : CALL_NEXT(int_call, "fsync", fd);
}

int ftruncate(int fd, off_t size_bytes)
{
    return fault_now() ? -1 : CALL_NEXT(truncate_call, "ftruncate", fd, size_bytes);
}

int rename(const char *from, const char *to)
{
    return fault_now() ? -1 : CALL_NEXT(rename_call, "rename", from, to);
}

/* HDF5 loses memory where it cannot write or read its own part of a file. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

static int open_files(void)
{
    const int next_fd = dup(0);
    assert_true(next_fd >= 0);
    close(next_fd);
    return next_fd;
}

/* Each question gets another answer, so that a time kept in a file shows. */
time_t time(time_t *out)
{
    static time_t now = 1700000000;
    now += 1000;
    if (out) *out = now;
    return now;
}

static float value(int tensor, int64_t i)
{
    return (float)(tensor * 1000) + (float)i * 0.25f;
}

static int64_t describe(int tensor, char name[64], int *axes, int64_t shape[4])
{
    static const char *const groups[] = {"online/", "target/", "adam/m/", ""};
    snprintf(name, 64, "%sblocks.%d.weight", groups[tensor % 4], tensor);
    *axes = tensor % 5;
    int64_t count = 1;
    for (int i = 0; i < *axes; i++) count *= shape[i] = 2 + (tensor + i) % 5;
    return count;
}

static void fill_text(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) text[i] = i % 40 == 39 ? '\n' : (char)('a' + i % 26);
    text[length] = 0;
}

static fsfm_status write_tensors(fsfm_tensor_writer *writer, int step, fsfm_error *err)
{
    for (int t = TENSORS - 1; t >= 0; t--) {
        char name[64];
        float values[6 * 6 * 6 * 6];
        int64_t shape[4];
        int axes = 0;
        const int64_t count = describe(t, name, &axes, shape);
        for (int64_t i = 0; i < count; i++) values[i] = value(t + step, i);
        FSFM_TRY(fsfm_tensor_writer_add(writer, name, axes, shape, values, err));
    }
    return FSFM_OK;
}

/* A file whose values depend on step. */
static fsfm_status write_file(int step, fsfm_error *err)
{
    static char text[LONG_TEXT + 1];
    fsfm_tensor_writer *writer = NULL;
    fill_text(text, LONG_TEXT);
    fsfm_status st = fsfm_tensor_writer_open(path, FORMAT, &writer, err);
    if (st != FSFM_OK) return st;
    if ((st = fsfm_tensor_writer_int(writer, "step", step, err)) != FSFM_OK ||
        (st = fsfm_tensor_writer_int(writer, "least", INT64_MIN, err)) != FSFM_OK ||
        (st = fsfm_tensor_writer_real(writer, "mean", 0.1, err)) != FSFM_OK ||
        (st = fsfm_tensor_writer_text(writer, "config", text, err)) != FSFM_OK ||
        (st = fsfm_tensor_writer_text(writer, "empty", "", err)) != FSFM_OK ||
        (st = write_tensors(writer, step, err)) != FSFM_OK) {
        fsfm_tensor_writer_abandon(&writer);
        assert_null(writer);
        return st;
    }
    st = fsfm_tensor_writer_finish(&writer, err);
    assert_null(writer);
    return st;
}

/* Everything that write_file(step) wrote, or the first failure. Wrong values fail the test: they came without
 * an error. */
static fsfm_status read_file(int step, fsfm_error *err)
{
    static char text[LONG_TEXT + 1];
    fsfm_tensor_reader *reader = NULL;
    int64_t whole = 0;
    double real = 0.0;
    char *found = NULL;
    fsfm_status st = fsfm_tensor_reader_open(path, FORMAT, &reader, err);
    if (st != FSFM_OK) {
        assert_null(reader);
        return st;
    }
    fill_text(text, LONG_TEXT);
    assert_ok(fsfm_tensor_reader_int(reader, "step", &whole, err), err);
    assert_int_equal(whole, step);
    assert_ok(fsfm_tensor_reader_int(reader, "least", &whole, err), err);
    assert_true(whole == INT64_MIN);
    assert_ok(fsfm_tensor_reader_real(reader, "mean", &real, err), err);
    assert_true(real == 0.1);
    assert_ok(fsfm_tensor_reader_text(reader, "config", &found, err), err);
    assert_string_equal(found, text);
    free(found);
    assert_ok(fsfm_tensor_reader_text(reader, "empty", &found, err), err);
    assert_string_equal(found, "");
    free(found);
    assert_int_equal(fsfm_tensor_reader_count(reader), TENSORS);
    for (int t = 0; t < TENSORS && st == FSFM_OK; t++) {
        char name[64];
        float values[6 * 6 * 6 * 6];
        int64_t shape[4];
        int axes = 0;
        const int64_t count = describe(t, name, &axes, shape);
        st = fsfm_tensor_reader_get(reader, name, count, values, err);
        for (int64_t i = 0; i < count && st == FSFM_OK; i++) assert_true(values[i] == value(t + step, i));
    }
    fsfm_tensor_reader_close(&reader);
    assert_null(reader);
    return st;
}

static int set_up(void **state)
{
    (void)state;
    make_folder(folder);
    snprintf(path, sizeof path, "%s/step-00000001.h5", folder);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fault_countdown = 0;
    remove_folder(folder);
    return 0;
}

static void round_trip(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_tensor_reader *reader = NULL;
    float none[1];
    assert_ok(write_file(3, &err), &err);
    assert_ok(read_file(3, &err), &err);
    assert_ok(fsfm_tensor_file_verify(path, FORMAT, &err), &err);
    assert_false(fsfm_file_exists(temporary));
    assert_ok(fsfm_tensor_reader_open(path, FORMAT, &reader, &err), &err);
    for (int64_t i = 0; i < TENSORS; i++) {
        const fsfm_tensor_info *info = fsfm_tensor_reader_info(reader, i);
        char name[64];
        int64_t shape[4];
        int axes = 0, tensor = atoi(strstr(info->name, "blocks.") + strlen("blocks."));
        describe(tensor, name, &axes, shape);
        assert_string_equal(info->name, name);
        assert_int_equal(info->axes, axes);
        assert_memory_equal(info->shape, shape, (size_t)axes * sizeof *shape);
        if (i > 0) assert_true(strcmp(fsfm_tensor_reader_info(reader, i - 1)->name, info->name) < 0);
    }
    assert_fails(fsfm_tensor_reader_get(reader, "online/none", 1, none, &err), FSFM_ERR_FORMAT, &err,
                 "tensor 'online/none' is missing");
    assert_fails(fsfm_tensor_reader_get(reader, "online/blocks.4.weight", 7, none, &err), FSFM_ERR_FORMAT,
                 &err, "'online/blocks.4.weight' has 144 values, expected 7");
    int64_t whole;
    assert_fails(fsfm_tensor_reader_int(reader, "mean", &whole, &err), FSFM_ERR_FORMAT, &err, "'mean'");
    fsfm_tensor_reader_close(&reader);
}

static void same_content_gives_same_bytes(void **state)
{
    (void)state;
    fsfm_error err;
    uint8_t *first = NULL, *second = NULL;
    size_t first_bytes = 0, second_bytes = 0;
    assert_ok(write_file(3, &err), &err);
    assert_ok(fsfm_file_read(path, &first, &first_bytes, &err), &err);
    assert_ok(write_file(3, &err), &err);
    assert_ok(fsfm_file_read(path, &second, &second_bytes, &err), &err);
    assert_int_equal(first_bytes, second_bytes);
    assert_memory_equal(first, second, first_bytes);
    free(first);
    free(second);
}

static void truncated_file_is_told(void **state)
{
    (void)state;
    fsfm_error err;
    struct stat info;
    assert_ok(write_file(3, &err), &err);
    assert_int_equal(stat(path, &info), 0);
    const off_t lengths[] = {info.st_size - 1, info.st_size / 2, 2048, 100, 9, 1, 0};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_int_equal(truncate(path, lengths[i]), 0);
        assert_fails(read_file(3, &err), FSFM_ERR_FORMAT, &err, path);
        assert_fails(fsfm_tensor_file_verify(path, FORMAT, &err), FSFM_ERR_FORMAT, &err, "is damaged");
    }
}

static void flip(off_t at, int bits)
{
    uint8_t byte = 0;
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte = (uint8_t)(byte ^ bits);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Steps of a prime through the whole file, and every byte at its beginning. read_file() fails the test itself
 * where something wrong comes back without an error. */
static void flipped_bit_is_told_or_harmless(void **state)
{
    (void)state;
    fsfm_error err;
    struct stat info;
    int told = 0, harmless = 0;
    assert_ok(write_file(3, &err), &err);
    const int files = open_files();
    assert_int_equal(stat(path, &info), 0);
    for (off_t at = 0; at < info.st_size; at += at < 600 ? 1 : 331) {
        const int bit = 1 << (at % 8);
        flip(at, bit);
        const fsfm_status verified = fsfm_tensor_file_verify(path, FORMAT, &err);
        if (verified != FSFM_OK && !strstr(err.message, path)) fail_msg("no path in: %s", err.message);
        const fsfm_status st = read_file(3, &err);
        if (st != verified) fail_msg("byte %lld: verify gives %d, reading %d", (long long)at, verified, st);
        *(st == FSFM_OK ? &harmless : &told) += 1;
        flip(at, bit);
    }
    assert_ok(read_file(3, &err), &err);
    print_message("%d flips told, %d harmless\n", told, harmless);
    assert_true(told > 5 * harmless);
    assert_int_equal(open_files(), files);
}

static off_t find_bytes(const void *bytes, size_t size_bytes)
{
    fsfm_error err;
    uint8_t *all = NULL;
    size_t all_bytes = 0;
    assert_ok(fsfm_file_read(path, &all, &all_bytes, &err), &err);
    const uint8_t *found = memmem(all, all_bytes, bytes, size_bytes);
    assert_non_null(found);
    const off_t at = found - all;
    free(all);
    return at;
}

static void damaged_tensors_are_named(void **state)
{
    (void)state;
    fsfm_error err;
    assert_ok(write_file(3, &err), &err);
    const float first[3] = {value(12 + 3, 0), value(12 + 3, 1), value(12 + 3, 2)};
    const float second[3] = {value(13 + 3, 0), value(13 + 3, 1), value(13 + 3, 2)};
    flip(find_bytes(first, sizeof first), 1);
    assert_fails(read_file(3, &err), FSFM_ERR_FORMAT, &err,
                 "tensor 'online/blocks.12.weight' is damaged: its checksum does not match");
    flip(find_bytes(second, sizeof second) + 4, 128);
    assert_fails(
        fsfm_tensor_file_verify(path, FORMAT, &err), FSFM_ERR_FORMAT, &err,
        "checksum does not match in 2 of 40 tensors: online/blocks.12.weight, target/blocks.13.weight");
    flip(find_bytes("abcdefghijklmnopqrstuvwxyzabcdefghijklm\n", 40), 1);
    assert_fails(read_file(3, &err), FSFM_ERR_FORMAT, &err, "checksum");
}

static void other_formats_are_refused(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_tensor_reader *reader = NULL;
    fsfm_tensor_writer *writer = NULL;
    assert_fails(fsfm_tensor_reader_open(path, FORMAT, &reader, &err), FSFM_ERR_IO, &err, "No such file");
    assert_fails(fsfm_tensor_reader_open(folder, FORMAT, &reader, &err), FSFM_ERR_IO, &err, "is not a file");
    assert_ok(fsfm_tensor_writer_open(path, "fsfm-checkpoint-12", &writer, &err), &err);
    assert_ok(fsfm_tensor_writer_finish(&writer, &err), &err);
    assert_fails(fsfm_tensor_reader_open(path, FORMAT, &reader, &err), FSFM_ERR_FORMAT, &err,
                 "format is 'fsfm-checkpoint-12', newer than this program");
    assert_fails(fsfm_tensor_reader_open(path, "fsfm-weights-1", &reader, &err), FSFM_ERR_FORMAT, &err,
                 "format is 'fsfm-checkpoint-12', expected 'fsfm-weights-1'");
    assert_ok(fsfm_tensor_reader_open(path, "fsfm-checkpoint-12", &reader, &err), &err);
    assert_int_equal(fsfm_tensor_reader_count(reader), 0);
    fsfm_tensor_reader_close(&reader);
    assert_ok(fsfm_file_write(path, "no HDF5 at all", 14, &err), &err);
    assert_fails(fsfm_tensor_reader_open(path, FORMAT, &reader, &err), FSFM_ERR_FORMAT, &err, path);
}

static void bad_tensors_are_refused(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_tensor_writer *writer = NULL;
    const int64_t shape[1] = {2}, empty[1] = {0};
    const float values[2] = {1.0f, 2.0f};
    assert_ok(fsfm_tensor_writer_open(path, FORMAT, &writer, &err), &err);
    assert_ok(fsfm_tensor_writer_add(writer, "a/b", 1, shape, values, &err), &err);
    assert_fails(fsfm_tensor_writer_add(writer, "a/c", 1, empty, values, &err), FSFM_ERR_ARG, &err,
                 "axis 0 of 'a/c'");
    /* From now on nothing works any more: a file that lacks a tensor is not finished. */
    assert_fails(fsfm_tensor_writer_add(writer, "a/d", 1, shape, values, &err), FSFM_ERR_ARG, &err, "'a/c'");
    assert_fails(fsfm_tensor_writer_finish(&writer, &err), FSFM_ERR_ARG, &err, "'a/c'");
    const char *const names[] = {"", "/a", "a/", "a//b", "text/a", "a/b"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_ok(fsfm_tensor_writer_open(path, FORMAT, &writer, &err), &err);
        assert_ok(fsfm_tensor_writer_add(writer, "a/b", 1, shape, values, &err), &err);
        assert_true(fsfm_tensor_writer_add(writer, names[i], 1, shape, values, &err) != FSFM_OK);
        fsfm_tensor_writer_abandon(&writer);
    }
    assert_false(fsfm_file_exists(path) || fsfm_file_exists(temporary));
}

/* An older file, which must outlive what follows. */
static void assert_old_file_lives(void)
{
    fsfm_error err;
    assert_ok(read_file(3, &err), &err);
    assert_false(fsfm_file_exists(temporary));
}

static void full_disk_harms_nothing(void **state)
{
    (void)state;
    fsfm_error err;
    struct rlimit old, small;
    struct stat info;
    fsfm_tensor_writer *writer = NULL;
    struct statvfs room;
    assert_ok(write_file(3, &err), &err);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    void (*old_handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 0; limit < (rlim_t)info.st_size; limit += 9973) {
        small = (struct rlimit){.rlim_cur = limit, .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        const fsfm_status st = write_file(4, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_fails(st, FSFM_ERR_IO, &err, "step-00000001.h5: ");
        assert_fails(st, FSFM_ERR_IO, &err, "File too large");
        assert_old_file_lives();
    }
    signal(SIGXFSZ, old_handler);
    assert_ok(fsfm_tensor_writer_open(path, FORMAT, &writer, &err), &err);
    assert_int_equal(statvfs(folder, &room), 0);
    assert_ok(fsfm_tensor_writer_reserve(writer, 1 << 20, &err), &err);
    assert_fails(fsfm_tensor_writer_reserve(writer, room.f_blocks * room.f_frsize, &err), FSFM_ERR_IO, &err,
                 "No space left on device");
    assert_fails(fsfm_tensor_writer_finish(&writer, &err), FSFM_ERR_IO, &err, "No space left on device");
    assert_old_file_lives();
}

static int64_t stored_step(void)
{
    fsfm_error err;
    int64_t step = -1;
    fsfm_tensor_reader *reader = NULL;
    assert_ok(fsfm_tensor_reader_open(path, FORMAT, &reader, &err), &err);
    assert_ok(fsfm_tensor_reader_int(reader, "step", &step, &err), &err);
    fsfm_tensor_reader_close(&reader);
    return step;
}

static void failing_call_harms_nothing(void **state)
{
    (void)state;
    fsfm_error err;
    int k = 1;
    assert_ok(write_file(3, &err), &err);
    const int files = open_files();
    for (;; k++) {
        fault_countdown = k;
        fault_errno = k % 2 ? ENOSPC : EDQUOT;
        const fsfm_status st = write_file(4, &err);
        const bool reached = fault_countdown == 0;
        fault_countdown = 0;
        if (!reached) {
            assert_ok(st, &err);
            break;
        }
        if (st == FSFM_OK) fail_msg("call %d failed, yet the file was finished", k);
        assert_fails(st, FSFM_ERR_IO, &err, k % 2 ? "No space left on device" : "Disk quota exceeded");
        assert_false(fsfm_file_exists(temporary));
        /* The last call is the fsync of the folder, after the rename: the new file stands then, whole. */
        const int64_t step = stored_step();
        assert_int_equal(step, strstr(err.message, "brought to disk") ? 4 : 3);
        assert_ok(read_file((int)step, &err), &err);
    }
    print_message("%d calls failed one by one\n", k - 1);
    assert_true(open_files() == files && k > TENSORS + 8);
    assert_ok(read_file(4, &err), &err);
}

static void folder_without_permission_is_told(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_tensor_writer *writer = NULL;
    char below[600];
    snprintf(below, sizeof below, "%s/none/x.h5", folder);
    assert_fails(fsfm_tensor_writer_open(below, FORMAT, &writer, &err), FSFM_ERR_IO, &err, "none/x.h5: ");
    assert_null(writer);
    assert_int_equal(chmod(folder, 0555), 0);
    if (geteuid() == 0) assert_int_equal(seteuid(65534), 0);
    const fsfm_status st = fsfm_tensor_writer_open(path, FORMAT, &writer, &err);
    if (getuid() == 0) assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_fails(st, FSFM_ERR_IO, &err, "Permission denied");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(same_content_gives_same_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(truncated_file_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flipped_bit_is_told_or_harmless, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_tensors_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_formats_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_tensors_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_disk_harms_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failing_call_harms_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(folder_without_permission_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
