/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/number.h"
#include "core/base/options.h"
#include "core/base/random.h"
#include "core/base/utf8.h"
#include "tests/support/check.h"

typedef struct {
    bool flag;
    int64_t count, threads;
    double share, color[3];
    char path[FSFM_TEXT_SIZE];
    int kind;
    fsfm_sources sources;
} sample;

#define MEMBER(name) offsetof(sample, name)

enum { FLAG, COUNT, THREADS, SHARE, COLOR, PATH, KIND, SOURCES, ROWS };

static const char *const kinds[] = {"cosine", "byol", "none", NULL};
static const fsfm_option table[ROWS] = {
    {"flag", FSFM_OPTION_BOOL, MEMBER(flag), "true", 0, 0, NULL, "", "", false},
    {"count", FSFM_OPTION_INT, MEMBER(count), "8", 1, 64, NULL, "", "", false},
    {"threads", FSFM_OPTION_INT_OR_AUTO, MEMBER(threads), "auto", 1, 64, NULL, "", "", false},
    {"share", FSFM_OPTION_REAL, MEMBER(share), "0.75", 0, 1, NULL, "", "", false},
    {"color", FSFM_OPTION_RGB_OR_AUTO, MEMBER(color), "auto", 0, 1, NULL, "", "", false},
    {"path", FSFM_OPTION_TEXT, MEMBER(path), "a b", 0, 0, NULL, "", "", false},
    {"kind", FSFM_OPTION_CHOICE, MEMBER(kind), "byol", 0, 0, kinds, "", "", false},
    {"sources", FSFM_OPTION_SOURCES, MEMBER(sources), NULL, 0, 0, NULL, "", "", false},
};

static void defaults_fill_every_member(void **state)
{
    (void)state;
    sample s;
    memset(&s, 0x55, sizeof s);
    fsfm_options_defaults(table, ROWS, &s);
    assert_true(s.flag);
    assert_int_equal(s.count, 8);
    assert_int_equal(s.threads, FSFM_AUTO);
    assert_true(s.share == 0.75);
    assert_true(isnan(s.color[0]));
    assert_string_equal(s.path, "a b");
    assert_int_equal(s.kind, 1);
    assert_int_equal(s.sources.count, 0);
}

static void good_values_are_taken(void **state)
{
    (void)state;
    sample s;
    fsfm_error err;
    static const struct {
        int row;
        const char *text, *formatted;
    } cases[] = {
        {FLAG, "false", "false"},
        {FLAG, "Yes", "true"},
        {FLAG, "no", "false"},
        {FLAG, "on", "true"},
        {FLAG, "OFF", "false"},
        {COUNT, "1", "1"},
        {COUNT, "64", "64"},
        {COUNT, "007", "7"},
        {THREADS, "auto", "auto"},
        {THREADS, "3", "3"},
        {SHARE, "0", "0"},
        {SHARE, "1", "1"},
        {SHARE, ".5", "0.5"},
        {SHARE, "1e-6", "1.0e-06"},
        {SHARE, "2.5e-7", "2.5e-07"},
        {KIND, "none", "none"},
        {COLOR, "auto", "auto"},
        {COLOR, "[0.5, 0.25,1]", "[0.5, 0.25, 1]"},
        {PATH, "", ""},
        {COLOR, "[ 0 ,0, 0 ]", "[0, 0, 0]"},
        {PATH, "\xc3\xa9 [x]: #", "\xc3\xa9 [x]: #"},
        {SOURCES, "", "[]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[FSFM_TEXT_SIZE];
        const fsfm_option *option = &table[cases[i].row];
        fsfm_options_defaults(table, ROWS, &s);
        assert_ok(fsfm_option_set(option, &s, cases[i].text, &err), &err);
        assert_string_equal(fsfm_option_format(option, &s, text, sizeof text), cases[i].formatted);
    }
}

static void bad_values_are_refused_and_leave_the_member(void **state)
{
    (void)state;
    static const struct {
        int row;
        const char *text, *message;
    } cases[] = {
        {FLAG, "1", "expected true or false, found '1'"},
        {FLAG, "", "expected true or false, found nothing"},
        {COUNT, "0", "expected a whole number from 1 to 64, found '0'"},
        {COUNT, "65", "expected a whole number from 1 to 64, found '65'"},
        {COUNT, "8x", "found '8x'"},
        {COUNT, " 8", "found ' 8'"},
        {COUNT, "8.0", "found '8.0'"},
        {COUNT, "+8", "found '+8'"},
        {COUNT, "0x8", "found '0x8'"},
        {COUNT, "auto", "found 'auto'"},
        {COUNT, "99999999999999999999", "found '99999999999999999999'"},
        {THREADS, "many", "expected auto or a whole number from 1 to 64, found 'many'"},
        {THREADS, "-1", "found '-1'"},
        {SHARE, "high", "expected a number from 0 to 1, found 'high'"},
        {SHARE, "1.01", "found '1.01'"},
        {SHARE, "nan", "found 'nan'"},
        {SHARE, "inf", "found 'inf'"},
        {SHARE, "0x0.8p0", "found '0x0.8p0'"},
        {SHARE, "0.5 ", "found '0.5 '"},
        {SHARE, "1e999", "found '1e999'"},
        {SHARE, "-0.1", "found '-0.1'"},
        {COLOR, "[0.5, 0.5]", "expected auto or [R, G, B], each a number from 0 to 1, found '[0.5, 0.5]'"},
        {COLOR, "[0.5, 0.5, 0.5, 0.5]", "found '[0.5, 0.5, 0.5, 0.5]'"},
        {COLOR, "[0.5, 0.5, 2]", "found '[0.5, 0.5, 2]'"},
        {COLOR, "[0.5, 0.5, 0.5] x", "found '[0.5, 0.5, 0.5] x'"},
        {COLOR, "0.5", "found '0.5'"},
        {PATH, "a\nb", "expected text on one line"},
        {PATH, "a\xff", "bytes of UTF-8"},
        {KIND, "Cosine", "expected one of cosine, byol, none, found 'Cosine'"},
        {KIND, "", "expected one of cosine, byol, none, found nothing"},
        {SOURCES, "a", "expected a list of {path, weight}, found 'a'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sample s, before;
        fsfm_error err;
        memset(&s, 0, sizeof s);
        fsfm_options_defaults(table, ROWS, &s);
        before = s;
        const fsfm_status st = fsfm_option_set(&table[cases[i].row], &s, cases[i].text, &err);
        assert_fails(st, FSFM_ERR_ARG, &err, cases[i].message);
        assert_memory_equal(&s, &before, sizeof s);
    }
}

static void text_fits_or_is_refused(void **state)
{
    (void)state;
    sample s;
    char text[FSFM_TEXT_SIZE + 1];
    fsfm_error err;
    memset(text, 'a', sizeof text);
    text[FSFM_TEXT_SIZE] = '\0';
    assert_fails(fsfm_option_set(&table[PATH], &s, text, &err), FSFM_ERR_ARG, &err, "at most 1023 bytes");
    text[FSFM_TEXT_SIZE - 1] = '\0';
    assert_ok(fsfm_option_set(&table[PATH], &s, text, &err), &err);
    assert_string_equal(s.path, text);
}

static void sources_are_written_as_yaml(void **state)
{
    (void)state;
    sample s;
    char text[256], small[8];
    fsfm_options_defaults(table, ROWS, &s);
    s.sources.count = 2;
    strcpy(s.sources.item[0].path, "a \"b\\");
    s.sources.item[0].weight = 0.1;
    strcpy(s.sources.item[1].path, "/c");
    s.sources.item[1].weight = 2;
    assert_string_equal(fsfm_option_format(&table[SOURCES], &s, text, sizeof text),
                        "[{path: \"a \\\"b\\\\\", weight: 0.1}, {path: \"/c\", weight: 2}]");
    assert_string_equal(fsfm_option_format(&table[SOURCES], &s, small, sizeof small), "[{path:");
}

/* Every double comes back, and no shorter text would do. */
static void numbers_come_back(void **state)
{
    (void)state;
    static const double special[] = {0.1,     1.0 / 3, 1e-6, 1.5e-4, 0.007,    5e-324,
                                     DBL_MAX, -2.5,    1e15, 1e22,   123456789};
    fsfm_random random = fsfm_random_stream(1, FSFM_RANDOM_TEST, 0, 0);
    for (int i = 0; i < 20000; i++) {
        char text[32], shorter[40];
        double value = special[i % (int)(sizeof special / sizeof *special)], back = 0;
        if (i >= 100) {
            const uint64_t bits = fsfm_random_u64(&random);
            memcpy(&value, &bits, sizeof value);
        }
        if (!isfinite(value)) continue;
        assert_true(fsfm_number_real(fsfm_number_format(value, text), &back));
        assert_true(back == value);
        int digits = 0;
        for (const char *c = text; *c && *c != 'e'; c++)
            if (*c >= '0' && *c <= '9' && (digits > 0 || *c != '0')) digits++;
        if (digits == 17) {
            snprintf(shorter, sizeof shorter, "%.16g", value);
            assert_false(fsfm_number_real(shorter, &back) && back == value);
        }
    }
}

static void utf8_is_decoded_strictly(void **state)
{
    (void)state;
    uint32_t code;
    assert_int_equal(fsfm_utf8_decode("a", &code), 1);
    assert_int_equal(fsfm_utf8_decode("\xe2\x82\xac", &code), 3);
    assert_int_equal(code, 0x20ac);
    assert_int_equal(fsfm_utf8_decode("\xf0\x9f\x98\x80", &code), 4);
    assert_int_equal(code, 0x1f600);
    assert_int_equal(fsfm_utf8_decode("\xc0\x80", &code), 0);         /* longer than needed */
    assert_int_equal(fsfm_utf8_decode("\xe0\x80\x80", &code), 0);     /* the same */
    assert_int_equal(fsfm_utf8_decode("\xed\xa0\x80", &code), 0);     /* surrogate */
    assert_int_equal(fsfm_utf8_decode("\xf4\x90\x80\x80", &code), 0); /* beyond the last */
    assert_int_equal(fsfm_utf8_decode("\xe2\x82", &code), 0);         /* cut off */
    assert_false(fsfm_utf8_is_printable(0x7f));
    assert_false(fsfm_utf8_is_printable(0x2028));
    assert_true(fsfm_utf8_is_printable(0xe9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_fill_every_member),
        cmocka_unit_test(good_values_are_taken),
        cmocka_unit_test(bad_values_are_refused_and_leave_the_member),
        cmocka_unit_test(text_fits_or_is_refused),
        cmocka_unit_test(sources_are_written_as_yaml),
        cmocka_unit_test(numbers_come_back),
        cmocka_unit_test(utf8_is_decoded_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
