/* SPDX-License-Identifier: Apache-2.0
 * A folder that all ranks see, one that a rank has for itself, and one that is not there. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "io/file.h"
#include "mpi/shared_folder.h"
#include "tests/support/check.h"
#include "tests/support/on_ranks.h"

static fsfm_comm *comm;
static int rank, ranks;
static char shared[256];

static int begin(void **state)
{
    (void)state;
    if (rank == 0) make_folder(shared);
    fsfm_comm_broadcast(comm, shared, sizeof shared, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fsfm_comm_barrier(comm);
    if (rank == 0) remove_folder(shared);
    return 0;
}

static int count_files(const char *folder)
{
    int files = 0;
    DIR *opened = opendir(folder);
    assert_non_null(opened);
    for (const struct dirent *entry; (entry = readdir(opened)) != NULL;)
        files += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    closedir(opened);
    return files;
}

static void a_shared_folder_passes(void **state)
{
    (void)state;
    fsfm_error err = {FSFM_OK, ""};
    const double began_s = fsfm_clock_monotonic_s();
    for (int i = 0; i < 3; i++) assert_ok(fsfm_shared_folder_check(comm, shared, 10, &err), &err);
    assert_true(fsfm_clock_monotonic_s() - began_s < 9);
    fsfm_comm_barrier(comm); /* rank 0 removes its file last */
    assert_int_equal(count_files(shared), 0);
}

/* Where what is there is of an earlier check: an old file does not count. */
static void a_folder_of_ones_own_is_named(void **state)
{
    (void)state;
    char own[256], want[400];
    fsfm_error err = {FSFM_OK, ""};
    if (ranks == 1) skip();
    make_folder(own);
    if (rank == 1) {
        char path[400];
        assert_ok(fsfm_path_join(path, sizeof path, own, ".seen-by-all-ranks", &err), &err);
        assert_ok(fsfm_file_write(path, "old\n", 4, &err), &err);
    }
    assert_int_equal(fsfm_shared_folder_check(comm, rank == 1 ? own : shared, 0.3, &err), FSFM_ERR_IO);
    snprintf(want, sizeof want, "on %s is not the folder that rank 0 on %s writes to", fsfm_comm_host(comm),
             fsfm_comm_host(comm));
    assert_int_equal(strncmp(err.message, "rank 1: ", 8), 0);
    assert_non_null(strstr(err.message, want));
    if (rank == 0) assert_int_equal(count_files(shared), 0);
    remove_folder(own);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    (void)state;
    fsfm_error err = {FSFM_OK, ""};
    char none[300];
    if (ranks == 1) skip();
    snprintf(none, sizeof none, "%s/none", shared);
    assert_int_equal(fsfm_shared_folder_check(comm, rank + 1 == ranks ? none : shared, 0.2, &err),
                     FSFM_ERR_IO);
    assert_non_null(strstr(err.message, "/none on "));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_shared_folder_passes),
        CASE(a_folder_of_ones_own_is_named),
        CASE(a_folder_that_is_not_there_is_named),
    };
    const ranks_tests all = {tests, sizeof tests / sizeof *tests, NULL, NULL};
    return run_on_ranks(&all, &comm, &rank, &ranks);
}
