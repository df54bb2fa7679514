/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "io/yaml.h"
#include "tests/support/check.h"

static fsfm_yaml *parse(const char *text)
{
    fsfm_yaml *yaml = NULL;
    fsfm_error err;
    assert_ok(fsfm_yaml_parse("x.yaml", text, strlen(text), &yaml, &err), &err);
    return yaml;
}

static void a_tree_has_values_and_places(void **state)
{
    (void)state;
    fsfm_yaml *yaml =
        parse("# head\nrun:\n  dir: a b # why\n  list: [1, 'two', {three: 3}]\nempty:\ntext: |\n  x\n  y\n");
    const fsfm_yaml_node *root = fsfm_yaml_root(yaml), *run = fsfm_yaml_get(root, "run");
    assert_int_equal(root->kind, FSFM_YAML_MAP);
    assert_int_equal(root->count, 3);
    const fsfm_yaml_node *dir = fsfm_yaml_get(run, "dir"), *list = fsfm_yaml_get(run, "list");
    assert_string_equal(dir->text, "a b");
    assert_int_equal(dir->line, 3);
    assert_int_equal(dir->column, 8);
    assert_int_equal(list->kind, FSFM_YAML_LIST);
    assert_int_equal(list->count, 3);
    assert_string_equal(list->values[1]->text, "two");
    assert_string_equal(fsfm_yaml_get(list->values[2], "three")->text, "3");
    assert_string_equal(fsfm_yaml_get(root, "empty")->text, "");
    assert_string_equal(fsfm_yaml_get(root, "text")->text, "x\ny\n");
    assert_null(fsfm_yaml_get(root, "none"));
    assert_null(fsfm_yaml_get(list, "none"));
    assert_null(fsfm_yaml_get(NULL, "none"));
    fsfm_yaml_free(&yaml);
    assert_null(yaml);
}

static void json_is_read(void **state)
{
    (void)state;
    fsfm_yaml *yaml = parse("{\"a\": [1, -2.5e3, true, null], \"b\":{\"c\":\"\\u00e9\\n\"}}");
    const fsfm_yaml_node *root = fsfm_yaml_root(yaml);
    double real = 0;
    int64_t whole = 0;
    fsfm_error err;
    assert_ok(fsfm_yaml_int(fsfm_yaml_get(root, "a")->values[0], &whole, &err), &err);
    assert_int_equal(whole, 1);
    assert_ok(fsfm_yaml_real(fsfm_yaml_get(root, "a")->values[1], &real, &err), &err);
    assert_true(real == -2500.0);
    assert_string_equal(fsfm_yaml_get(fsfm_yaml_get(root, "b"), "c")->text, "\xc3\xa9\n");
    fsfm_yaml_free(&yaml);
}

static void numbers_name_their_place(void **state)
{
    (void)state;
    fsfm_yaml *yaml = parse("a: 1\nb:\n - x1\n - 2.5\n");
    const fsfm_yaml_node *b = fsfm_yaml_get(fsfm_yaml_root(yaml), "b");
    int64_t whole;
    double real;
    fsfm_error err;
    assert_fails(fsfm_yaml_int(b->values[0], &whole, &err), FSFM_ERR_FORMAT, &err,
                 "line 3, column 4: expected a whole number, found 'x1'");
    assert_fails(fsfm_yaml_int(b->values[1], &whole, &err), FSFM_ERR_FORMAT, &err, "found '2.5'");
    assert_fails(fsfm_yaml_real(b->values[0], &real, &err), FSFM_ERR_FORMAT, &err,
                 "expected a number, found 'x1'");
    assert_fails(fsfm_yaml_real(b, &real, &err), FSFM_ERR_FORMAT, &err,
                 "line 3, column 2: expected a number, found a list");
    fsfm_yaml_free(&yaml);
}

static void empty_files_are_empty_maps(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "# only a comment\n", "---\n", "\n\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        fsfm_yaml *yaml = parse(texts[i]);
        assert_int_equal(fsfm_yaml_root(yaml)->kind, FSFM_YAML_MAP);
        assert_int_equal(fsfm_yaml_root(yaml)->count, 0);
        fsfm_yaml_free(&yaml);
    }
}

static void mistakes_name_line_and_column(void **state)
{
    (void)state;
    char deep[400];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    deep[200] = '\0';
    const struct {
        const char *text, *message;
    } cases[] = {
        {"run:\n  dir: x\n  dir: [\n", "x.yaml:"},
        {"a: 1\nb: 2\na: 3\n", "x.yaml:3:1: key 'a' stands twice in this map, first in line 1"},
        {"a: &x 1\nb: *x\n", "x.yaml:1:4: anchors (&name) are not supported"},
        {"b: *x\n", "x.yaml:1:4: aliases (*name) are not supported"},
        {"a: !!str 1\n", "x.yaml:1:4: tags (!name) are not supported"},
        {"a: 1\n---\nb: 2\n", "x.yaml:2:1: a second document begins"},
        {"[a, b]: 1\n", "x.yaml:1:1: a key must be a word"},
        {"a: \"x\\0y\"\n", "x.yaml:1:4: text with a zero character in it"},
        {"a: 1\nb: \xff\n", "x.yaml:2:4: "},
        {"a: 1\n\tb: 2\n", "x.yaml:2:"},
        {deep, "x.yaml:1:65: lists and maps are nested too deep"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fsfm_yaml *yaml = NULL;
        fsfm_error err;
        const fsfm_status st = fsfm_yaml_parse("x.yaml", cases[i].text, strlen(cases[i].text), &yaml, &err);
        assert_fails(st, FSFM_ERR_FORMAT, &err, cases[i].message);
        assert_null(yaml);
    }
}

static void files_are_read_and_named(void **state)
{
    (void)state;
    char folder[256], path[300];
    fsfm_yaml *yaml = NULL;
    fsfm_error err;
    make_folder(folder);
    snprintf(path, sizeof path, "%s/a.yaml", folder);
    assert_fails(fsfm_yaml_read(path, &yaml, &err), FSFM_ERR_IO, &err, path);
    FILE *file = fopen(path, "w");
    fputs("a: {b: c\n", file);
    fclose(file);
    assert_fails(fsfm_yaml_read(path, &yaml, &err), FSFM_ERR_FORMAT, &err, "/a.yaml:2:1: ");
    file = fopen(path, "w");
    fputs("a: {b: c}\n", file);
    fclose(file);
    assert_ok(fsfm_yaml_read(path, &yaml, &err), &err);
    assert_string_equal(fsfm_yaml_get(fsfm_yaml_get(fsfm_yaml_root(yaml), "a"), "b")->text, "c");
    fsfm_yaml_free(&yaml);
    remove_folder(folder);
}

static void quoted_text_comes_back(void **state)
{
    (void)state;
    static const struct {
        const char *text, *quoted; /* quoted NULL: any form */
    } cases[] = {
        {"n000001/0001_01", "n000001/0001_01"},
        {"/data/x.y-z", "/data/x.y-z"},
        {"", "\"\""},
        {"000123", "\"000123\""},
        {"true", "\"true\""},
        {"No", "\"No\""},
        {"null", "\"null\""},
        {"a b", NULL},
        {"a: b", NULL},
        {" # x", NULL},
        {"-", NULL},
        {"1e5", "\"1e5\""},
        {"[a]", NULL},
        {"\"q\"\\", "\"\\\"q\\\"\\\\\""},
        {"line\nbreak\ttab\x7f", "\"line\\x0Abreak\\x09tab\\x7F\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", NULL},
        {"\xe2\x80\xa8\xef\xbb\xbf\xc2\x85", "\"\\u2028\\uFEFF\\x85\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char quoted[128], document[300];
        fsfm_yaml_quote(cases[i].text, quoted, sizeof quoted);
        if (cases[i].quoted) assert_string_equal(quoted, cases[i].quoted);
        snprintf(document, sizeof document, "- %s\n- {k: %s}\n", quoted, quoted);
        fsfm_yaml *yaml = parse(document);
        assert_string_equal(fsfm_yaml_root(yaml)->values[0]->text, cases[i].text);
        assert_string_equal(fsfm_yaml_get(fsfm_yaml_root(yaml)->values[1], "k")->text, cases[i].text);
        fsfm_yaml_free(&yaml);
    }
}

static void quoting_bad_bytes_and_small_buffers_stays_yaml(void **state)
{
    (void)state;
    char quoted[16];
    assert_string_equal(fsfm_yaml_quote("a\xff"
                                        "b",
                                        quoted, sizeof quoted),
                        "\"a\\uFFFDb\"");
    for (size_t size = 3; size < sizeof quoted; size++) {
        fsfm_yaml_quote("long \"text\" that is cut", quoted, size);
        assert_true(strlen(quoted) < size);
        fsfm_yaml *yaml = parse(quoted);
        fsfm_yaml_free(&yaml);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_has_values_and_places),
        cmocka_unit_test(json_is_read),
        cmocka_unit_test(numbers_name_their_place),
        cmocka_unit_test(empty_files_are_empty_maps),
        cmocka_unit_test(mistakes_name_line_and_column),
        cmocka_unit_test(files_are_read_and_named),
        cmocka_unit_test(quoted_text_comes_back),
        cmocka_unit_test(quoting_bad_bytes_and_small_buffers_stays_yaml),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
