/* SPDX-License-Identifier: Apache-2.0
 * What must be the same on all ranks, and who is named where it is not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "mpi/alike.h"
#include "tests/support/check.h"
#include "tests/support/on_ranks.h"

static fsfm_comm *comm;
static int rank, ranks;

static void the_same_text_passes(void **state)
{
    (void)state;
    fsfm_error err = {FSFM_OK, "mine"};
    assert_ok(fsfm_alike_text(comm, FSFM_ERR_ARG, "the words", "a: 1\n  b: 2\n", &err), &err);
    assert_ok(fsfm_alike_text(comm, FSFM_ERR_ARG, "no words", "", &err), &err);
    assert_string_equal(err.message, "mine");
}

/* Every rank in turn has another line; all return the message that names it. */
static void the_rank_that_differs_is_named(void **state)
{
    (void)state;
    if (ranks == 1) skip();
    for (int odd = 0; odd < ranks; odd++) {
        char want[160];
        fsfm_error err = {FSFM_OK, ""};
        const char *text =
            rank == odd ? "train:\n  epochs: 3\n  size: 8\nlog:\n" : "train:\n  epochs: 3\n  size: 9\nlog:\n";
        const int reference = ranks > 2 && odd == 0 ? 1 : 0; /* of two ranks, rank 0 is right */
        const int named = ranks == 2 ? 1 : odd;
        const fsfm_status st = fsfm_alike_text(comm, FSFM_ERR_ARG, "the configuration", text, &err);
        snprintf(want, sizeof want,
                 "the configuration: not the same on rank %d (%s) as on rank %d (%s): train: size: %d, not "
                 "train: size: %d",
                 named, fsfm_comm_host(comm), reference, fsfm_comm_host(comm), named == odd ? 8 : 9,
                 named == odd ? 9 : 8);
        assert_int_equal(st, FSFM_ERR_ARG);
        assert_int_equal(err.status, FSFM_ERR_ARG);
        assert_string_equal(err.message, want);
    }
}

static void ranks_in_a_row_are_one(void **state)
{
    (void)state;
    char want[64];
    fsfm_error err = {FSFM_OK, ""};
    if (ranks < 5) skip();
    assert_int_equal(fsfm_alike_text(comm, FSFM_ERR_COMM, "it", rank == 1 || rank == 2 ? "a" : "b", &err),
                     FSFM_ERR_COMM);
    snprintf(want, sizeof want, "it: not the same on ranks 1-2 (%.20s", fsfm_comm_host(comm));
    assert_non_null(strstr(err.message, want));
    assert_non_null(strstr(err.message, ": a, not b"));
}

static void a_text_that_ends_early_differs(void **state)
{
    (void)state;
    fsfm_error err = {FSFM_OK, ""};
    if (ranks == 1) skip();
    assert_int_equal(
        fsfm_alike_text(comm, FSFM_ERR_ARG, "it", rank == ranks - 1 ? "a: 1\n" : "a: 1\nb: 2\n", &err),
        FSFM_ERR_ARG);
    assert_non_null(strstr(err.message, ": nothing, not b: 2"));
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    char text[2000];
    fsfm_error err = {FSFM_OK, ""};
    if (ranks == 1) skip();
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    text[0] = rank == 1 ? 'y' : 'z';
    assert_int_equal(fsfm_alike_text(comm, FSFM_ERR_ARG, "it", text, &err), FSFM_ERR_ARG);
    assert_non_null(strstr(err.message, ": yxxx"));
    assert_non_null(strstr(err.message, "x, not zxxx"));
}

static void files_are_compared_by_their_bytes(void **state)
{
    (void)state;
    char folder[256], path[320];
    fsfm_error err = {FSFM_OK, ""};
    make_folder(folder);
    snprintf(path, sizeof path, "%s/file", folder);
    assert_ok(fsfm_file_write(path, "bytes", 5, &err), &err);
    assert_ok(fsfm_alike_file(comm, FSFM_ERR_COMM, "the file", path, &err), &err);
    if (ranks > 1) {
        if (rank == 1) assert_ok(fsfm_file_write(path, "other", 5, &err), &err);
        assert_int_equal(fsfm_alike_file(comm, FSFM_ERR_COMM, "the file", path, &err), FSFM_ERR_COMM);
        assert_non_null(strstr(err.message, "the file: not the same on rank 1 ("));
        assert_non_null(strstr(err.message, "5 bytes with checksum "));
        if (rank == 1) path[strlen(path) - 1] = 0; /* none there */
        assert_int_equal(fsfm_alike_file(comm, FSFM_ERR_COMM, "the file", path, &err), FSFM_ERR_COMM);
        assert_non_null(strstr(err.message, "cannot be opened"));
    }
    fsfm_comm_barrier(comm);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_text_passes),   cmocka_unit_test(the_rank_that_differs_is_named),
        cmocka_unit_test(ranks_in_a_row_are_one), cmocka_unit_test(a_text_that_ends_early_differs),
        cmocka_unit_test(long_texts_are_cut),     cmocka_unit_test(files_are_compared_by_their_bytes),
    };
    const ranks_tests all = {tests, sizeof tests / sizeof *tests, NULL, NULL};
    return run_on_ranks(&all, &comm, &rank, &ranks);
}
