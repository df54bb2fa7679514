/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "jobs/command.h"
#include "jobs/nearest.h"
#include "tests/support/check.h"

static const char *const valued[] = {"--size", "--ratio", NULL};
static const char *const flags[] = {"--json", "--verify", NULL};

/* Parses words, ended by NULL. */
static fsfm_status parse(char **words, fsfm_arguments *out, fsfm_error *err)
{
    int count = 0;
    while (words[count]) count++;
    return fsfm_arguments_parse(count, words, valued, flags, out, err);
}

static void words_and_options_are_told_apart(void **state)
{
    (void)state;
    char *words[] = {"in",        "--size", "64", "out",    "--json", "--ratio=-0.5",
                     "--size=32", "-",      "--", "--size", NULL};
    fsfm_arguments a;
    fsfm_error err;
    int64_t size = 0;
    double ratio = 0;
    assert_ok(parse(words, &a, &err), &err);
    assert_int_equal(a.word_count, 4);
    assert_string_equal(a.words[0], "in");
    assert_string_equal(a.words[1], "out");
    assert_string_equal(a.words[2], "-");
    assert_string_equal(a.words[3], "--size");
    assert_string_equal(fsfm_arguments_get(&a, "--size", "1"), "32"); /* the last word counts */
    assert_null(fsfm_arguments_get(&a, "--none", NULL));
    assert_true(fsfm_arguments_has(&a, "--json"));
    assert_false(fsfm_arguments_has(&a, "--verify"));
    assert_ok(fsfm_arguments_int(&a, "--size", 1, 1, 64, &size, &err), &err);
    assert_int_equal(size, 32);
    assert_ok(fsfm_arguments_real(&a, "--ratio", 1, -1, 1, &ratio, &err), &err);
    assert_true(ratio == -0.5);
    assert_ok(fsfm_arguments_int(&a, "--none", 7, 1, 64, &size, &err), &err);
    assert_int_equal(size, 7);
    assert_fails(fsfm_arguments_int(&a, "--size", 1, 40, 64, &size, &err), FSFM_ERR_ARG, &err,
                 "--size: expected a whole number from 40 to 64, found '32'");
    assert_fails(fsfm_arguments_int(&a, "--ratio", 1, 1, 64, &size, &err), FSFM_ERR_ARG, &err,
                 "found '-0.5'");
    assert_fails(fsfm_arguments_real(&a, "--ratio", 1, 0, 1, &ratio, &err), FSFM_ERR_ARG, &err,
                 "--ratio: expected a number from 0 to 1, found '-0.5'");
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static struct {
        char *words[4];
        const char *message;
    } cases[] = {
        {{"a", "--sise", "3"}, "argument 2: --sise: unknown option; nearest known option: --size"},
        {{"--jsno"}, "argument 1: --jsno: unknown option; nearest known option: --json"},
        {{"--rato=3"}, "argument 1: --rato: unknown option; nearest known option: --ratio"},
        {{"-x"}, "argument 1: -x: unknown option"},
        {{"a", "b", "--size"}, "argument 3: --size: expected a value behind it, found nothing"},
        {{"--json=1"}, "argument 1: --json: takes no value, found '1'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fsfm_arguments a;
        fsfm_error err;
        assert_fails(parse(cases[i].words, &a, &err), FSFM_ERR_ARG, &err, cases[i].message);
    }
}

static void too_many_are_refused(void **state)
{
    (void)state;
    char *words[300];
    fsfm_arguments a;
    fsfm_error err;
    for (int i = 0; i < 300; i++) words[i] = "w";
    assert_ok(fsfm_arguments_parse(256, words, valued, flags, &a, &err), &err);
    assert_fails(fsfm_arguments_parse(257, words, valued, flags, &a, &err), FSFM_ERR_ARG, &err,
                 "argument 257: ");
    for (int i = 0; i < 300; i++) words[i] = "--json";
    assert_ok(fsfm_arguments_parse(64, words, valued, flags, &a, &err), &err);
    assert_fails(fsfm_arguments_parse(65, words, valued, flags, &a, &err), FSFM_ERR_ARG, &err,
                 "argument 65: ");
}

static void distances_count_edits(void **state)
{
    (void)state;
    assert_int_equal(fsfm_edit_distance("", ""), 0);
    assert_int_equal(fsfm_edit_distance("", "abc"), 3);
    assert_int_equal(fsfm_edit_distance("abc", "abc"), 0);
    assert_int_equal(fsfm_edit_distance("abc", "acb"), 1); /* a swap of neighbours */
    assert_int_equal(fsfm_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(fsfm_edit_distance("abcd", "bcd"), 1);
    static const char *const words[] = {"pack", "mask", "inspect", NULL};
    assert_string_equal(fsfm_nearest_word("maks", words), "mask");
    char longer[2000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(fsfm_edit_distance(longer, ""), 63);
}

static void statuses_have_exit_codes(void **state)
{
    (void)state;
    assert_int_equal(fsfm_exit_code(FSFM_OK), 0);
    assert_int_equal(fsfm_exit_code(FSFM_ERR_ARG), 2);
    assert_int_equal(fsfm_exit_code(FSFM_ERR_INTERRUPTED), 75);
    assert_int_equal(fsfm_exit_code(FSFM_ERR_IO), 1);
    assert_int_equal(fsfm_exit_code(FSFM_ERR_NUMERIC), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_options_are_told_apart),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(too_many_are_refused),
        cmocka_unit_test(distances_count_edits),
        cmocka_unit_test(statuses_have_exit_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
