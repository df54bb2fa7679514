/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "jobs/pack/label_scheme.h"
#include "tests/support/check.h"

static void test_lapa11_is_the_identity(void **context)
{
    (void)context;
    fsfm_label_scheme scheme;
    fsfm_error err;
    uint8_t map[11];
    assert_ok(fsfm_label_scheme_load("lapa11", &scheme, &err), &err);
    assert_string_equal(scheme.name, "lapa11");
    for (int v = 0; v < 11; v++) map[v] = (uint8_t)v;
    assert_int_equal(fsfm_label_scheme_apply(&scheme, map, 11), -1);
    for (int v = 0; v < 11; v++) assert_int_equal(map[v], v);
    map[7] = 11;
    assert_int_equal(fsfm_label_scheme_apply(&scheme, map, 11), 7);
}

static void test_celebamaskhq19(void **context)
{
    (void)context;
    static const char *const want[] = {"background",  "skin",       "nose",       "skin",      "left_eye",
                                       "right_eye",   "left_brow",  "right_brow", "skin",      "skin",
                                       "inner_mouth", "upper_lip",  "lower_lip",  "hair",      "background",
                                       "background",  "background", "background", "background"};
    fsfm_label_scheme scheme;
    fsfm_error err;
    assert_ok(fsfm_label_scheme_load("celebamaskhq19", &scheme, &err), &err);
    for (int v = 0; v < 19; v++) {
        uint8_t map = (uint8_t)v;
        assert_int_equal(fsfm_label_scheme_apply(&scheme, &map, 1), -1);
        assert_string_equal(fsfm_lapa_label_name(map), want[v]);
    }
    uint8_t outside[3] = {0, 19, 255};
    assert_int_equal(fsfm_label_scheme_apply(&scheme, outside, 3), 1);
    assert_null(fsfm_lapa_label_name(11));
    assert_null(fsfm_lapa_label_name(-1));
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void test_a_file(void **context)
{
    (void)context;
    char folder[256], path[300];
    fsfm_label_scheme scheme;
    fsfm_error err;
    uint8_t map[4] = {0, 7, 250, 3};
    make_folder(folder);
    snprintf(path, sizeof path, "%s/mine.yaml", folder);
    write_text(path, "name: mine\nmap: {0: background, 7: 10, 250: left_brow}\n");
    assert_ok(fsfm_label_scheme_load(path, &scheme, &err), &err);
    assert_string_equal(scheme.name, "mine");
    assert_int_equal(fsfm_label_scheme_apply(&scheme, map, 4), 3);
    assert_true(map[0] == 0 && map[1] == 10 && map[2] == 2);
    static const char *const bad[][2] = {
        {"map: {0: 0}\n", "name: expected"},
        {"name: x\n", "map: expected"},
        {"name: x\nmap: {0: 11}\n", "mine.yaml:2:10: map: 0: expected a number from 0 to 10"},
        {"name: x\nmap: {0: beard}\n", "found 'beard'"},
        {"name: x\nmap: {256: 0}\n", "expected a value from 0 to 255, found '256'"},
        {"name: x\nmap: {1: 0, 01: 1}\n", "twice"},
        {"name: x\nmap: {0: [1]}\n", "found 'a list or map'"},
        {"name: x\nmaps: {0: 1}\n", "mine.yaml:2:1: maps: unknown key"},
        {"name: [\n", "mine.yaml"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text(path, bad[i][0]);
        assert_fails(fsfm_label_scheme_load(path, &scheme, &err), FSFM_ERR_ARG, &err, bad[i][1]);
    }
    remove_folder(folder);
    assert_fails(fsfm_label_scheme_load("lapa", &scheme, &err), FSFM_ERR_ARG, &err,
                 "expected lapa11, celebamaskhq19");
    assert_int_not_equal(fsfm_label_scheme_load("/nowhere/x.yaml", &scheme, &err), FSFM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lapa11_is_the_identity),
        cmocka_unit_test(test_celebamaskhq19),
        cmocka_unit_test(test_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
