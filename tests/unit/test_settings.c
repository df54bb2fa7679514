/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/yaml.h"
#include "jobs/config/config_schema.h"
#include "jobs/settings.h"
#include "tests/support/check.h"

static char folder[256], file[300];
static fsfm_settings settings;
static char warning[256];

static int set_up(void **state)
{
    (void)state;
    make_folder(folder);
    snprintf(file, sizeof file, "%s/c.yaml", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

/* Loads text as a file, with overrides ended by NULL. */
static fsfm_status load(const char *text, char *const *overrides, fsfm_error *err)
{
    FILE *stream = fopen(file, "w");
    assert_non_null(stream);
    fputs(text, stream);
    fclose(stream);
    int count = 0;
    while (overrides[count]) count++;
    return fsfm_settings_load(file, count, overrides, &settings, warning, err);
}

static void overrides_win_over_the_file_and_the_last_counts(void **state)
{
    (void)state;
    fsfm_error err;
    char *overrides[] = {"mask.ratio=0.6", "run.dir=a=b", "mask.ratio=0.8", "data.mean=[0.5, 0.4, 0.3]",
                         NULL};
    assert_ok(
        load("mask:\n  ratio: 0.5\n  strategy: frp\ndata:\n  augment: {view: crop}\nlog:\n", overrides, &err),
        &err);
    assert_true(settings.mask.ratio == 0.8);
    assert_int_equal(settings.mask.strategy, FSFM_MASK_FRP);
    assert_int_equal(settings.data.augment_view, FSFM_VIEW_CROP);
    assert_string_equal(settings.run.dir, "a=b");
    assert_true(settings.data.mean[2] == 0.3);
    assert_true(isnan(settings.data.std[0]));
    assert_int_equal(settings.run.threads, FSFM_AUTO);
    assert_string_equal(warning, "");
}

static void sources_are_read(void **state)
{
    (void)state;
    fsfm_error err;
    char *none[] = {NULL}, *cleared[] = {"data.sources=", "data.path=x", NULL};
    char *replaced[] = {"data.sources=[{path: c, weight: 3}]", NULL};
    const char *text =
        "data:\n  sources:\n    - {path: a, weight: 2.5}\n    - path: b c\n  std: [0.2, 0.3, 0.4]\n";
    assert_ok(load(text, none, &err), &err);
    assert_int_equal(settings.data.sources.count, 2);
    assert_string_equal(settings.data.sources.item[1].path, "b c");
    assert_true(settings.data.sources.item[0].weight == 2.5);
    assert_true(settings.data.sources.item[1].weight == 1.0);
    assert_true(settings.data.std[1] == 0.3);
    assert_ok(load(text, cleared, &err), &err);
    assert_int_equal(settings.data.sources.count, 0);
    assert_ok(load(text, replaced, &err), &err);
    assert_int_equal(settings.data.sources.count, 1);
    assert_string_equal(settings.data.sources.item[0].path, "c");
    assert_true(settings.data.sources.item[0].weight == 3);
}

/* DESIGN.md's sizes, one row a preset. */
static void presets_fill_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *preset;
        int64_t sizes[9]; /* patch, width, depth, heads, decoder width, depth, heads, rep heads, projection
                             hidden */
    } cases[] = {
        {"vit_t16", {16, 192, 12, 3, 192, 4, 6, 6, 1024}},
        {"vit_s16", {16, 384, 12, 12, 512, 8, 16, 16, 4096}},
        {"vit_b16", {16, 768, 12, 12, 512, 8, 16, 16, 4096}},
        {"vit_l16", {16, 1024, 24, 16, 512, 8, 16, 16, 4096}},
        {"vit_h14", {14, 1280, 32, 16, 512, 8, 16, 16, 4096}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fsfm_error err;
        char override[64];
        char *overrides[] = {override, NULL};
        snprintf(override, sizeof override, "model.preset=%s", cases[i].preset);
        assert_ok(load("", overrides, &err), &err);
        const fsfm_model_options *m = &settings.model;
        const int64_t got[9] = {m->patch_size,
                                m->embed_dim,
                                m->depth,
                                m->num_heads,
                                m->decoder_embed_dim,
                                m->decoder_depth,
                                m->decoder_num_heads,
                                m->rep_decoder_num_heads,
                                m->projection_hidden_size};
        assert_memory_equal(got, cases[i].sizes, sizeof got);
        assert_int_equal(m->img_size, 224);
        assert_int_equal(m->rep_decoder_embed_dim, m->embed_dim);
        assert_int_equal(m->rep_decoder_depth, 2);
        assert_int_equal(m->projection_size, 256);
        assert_true(m->mlp_ratio == 4.0);
    }
}

static void sizes_override_the_preset(void **state)
{
    (void)state;
    fsfm_error err;
    char *tiny[] = {
        "model.preset=vit_t16",       "model.img_size=32",         "model.patch_size=8",
        "model.embed_dim=48",         "model.num_heads=4",         "model.rep_decoder_num_heads=8",
        "model.decoder_embed_dim=32", "model.decoder_num_heads=4", NULL};
    assert_ok(load("", tiny, &err), &err);
    assert_int_equal(settings.model.embed_dim, 48);
    assert_int_equal(settings.model.rep_decoder_embed_dim, 48);
    assert_int_equal(settings.model.depth, 12);
    /* Without a rep decoder its heads are nobody's concern. */
    char *none[] = {"model.preset=vit_t16", "model.embed_dim=200", "model.num_heads=4", "id.loss=none", NULL};
    assert_ok(load("", none, &err), &err);
}

typedef struct {
    const char *text;
    char *overrides[4];
    const char *message; /* "FILE" at its start stands for the file's path */
} bad_case;

static void expect_failures(bad_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fsfm_error err = {FSFM_OK, ""};
        char want[600];
        const bool has_file = strncmp(cases[i].message, "FILE", 4) == 0;
        snprintf(want, sizeof want, "%s%s", has_file ? file : "", cases[i].message + (has_file ? 4 : 0));
        const fsfm_status st = load(cases[i].text, cases[i].overrides, &err);
        assert_fails(st, FSFM_ERR_ARG, &err, want);
        assert_string_equal(err.message, want);
    }
}

static void mistakes_on_the_command_line_are_named(void **state)
{
    (void)state;
    bad_case cases[] = {
        {"",
         {"run.dir=a", "run.seed=1", "mask.ratoi=1"},
         "argument 3: mask.ratoi: unknown key; nearest known key: mask.ratio"},
        {"", {"ratio=0.5"}, "argument 1: ratio: unknown key; nearest known key: mask.ratio"},
        {"", {"model.lr=1"}, "argument 1: model.lr: unknown key; nearest known key: optim.blr"},
        {"", {"mask=1"}, "argument 1: mask: unknown key; nearest known key: mask.ratio"},
        {"", {"mask.ratio"}, "argument 1: expected key=value, found 'mask.ratio'"},
        {"", {"=3"}, "argument 1: expected key=value, found '=3'"},
        {"",
         {"run.dir=x", "mask.ratio=high"},
         "argument 2: mask.ratio: expected a number from 0.01 to 0.99, found 'high'"},
        {"", {"mask.ratio=1.5"}, "argument 1: mask.ratio: expected a number from 0.01 to 0.99, found '1.5'"},
        {"",
         {"mask.strategy=all"},
         "argument 1: mask.strategy: expected one of random, fasking_i, frp, crfr_r, crfr_p, found 'all'"},
        {"",
         {"checkpoint.keep_last=1"},
         "argument 1: checkpoint.keep_last: expected a whole number from 2 to 1000000, found '1'"},
        {"", {"run.seed=-1"}, "argument 1: run.seed: expected a whole number of at least 0, found '-1'"},
        {"", {"data.sources=a"}, "argument 1: data.sources: expected a list of {path, weight}, found 'a'"},
        {"", {"data.sources=[a]"}, "argument 1: data.sources: source 1: expected {path, weight}, found text"},
        {"",
         {"data.sources=[{path: a, weight: 0}]"},
         "argument 1: data.sources: source 1: expected a weight above 0, found '0'"},
        {"",
         {"data.sources=[{path: a"},
         "argument 1: data.sources: list:2:1: did not find expected ',' or '}'"},
    };
    expect_failures(cases, sizeof cases / sizeof *cases);
    fsfm_error err;
    char *largest[] = {"run.seed=9223372036854775807", NULL};
    assert_ok(load("", largest, &err), &err);
    assert_true(settings.run.seed == INT64_MAX);
}

static void mistakes_in_the_file_are_named(void **state)
{
    (void)state;
    bad_case cases[] = {
        {"run:\n  dri: x\n", {0}, "FILE:2:3: run.dri: unknown key; nearest known key: run.dir"},
        {"maks:\n  ratio: 1\n", {0}, "FILE:2:3: maks.ratio: unknown key; nearest known key: mask.ratio"},
        {"maks: {}\n", {0}, "FILE:1:1: maks: unknown key; nearest known key: mask.ratio"},
        {"seed: 3\n", {0}, "FILE:1:1: seed: unknown key; nearest known key: run.seed"},
        {"mask:\n  ratio: high\n",
         {0},
         "FILE:2:10: mask.ratio: expected a number from 0.01 to 0.99, found 'high'"},
        {"mask:\n  ratio: [1]\n",
         {0},
         "FILE:2:10: mask.ratio: expected a number from 0.01 to 0.99, found a list"},
        {"mask:\n  ratio: {a: 1}\n",
         {0},
         "FILE:2:10: mask.ratio: expected a number from 0.01 to 0.99, found a map"},
        {"mask:\n  ratio:\n",
         {0},
         "FILE:2:9: mask.ratio: expected a number from 0.01 to 0.99, found nothing"},
        {"mask: 3\n", {0}, "FILE:1:7: mask: expected keys below it, found '3'"},
        {"mask: [3]\n", {0}, "FILE:1:7: mask: expected keys below it, found a list"},
        {"data: {augment: crop}\n", {0}, "FILE:1:17: data.augment: expected keys below it, found 'crop'"},
        {"mask.ratio: 0.5\nmask: {ratio: 0.6}\n", {0}, "FILE:2:15: mask.ratio: set twice, first in line 1"},
        {"mask:\n  ratio: 0.5\n  ratio: 0.6\n",
         {0},
         "FILE:3:3: key 'ratio' stands twice in this map, first in line 2"},
        {"- a\n", {0}, "FILE:1:1: expected sections (run, data, model, ...), found a list"},
        {"data: {mean: [0.5, 2, 0.5]}\n",
         {0},
         "FILE:1:14: data.mean: expected auto or [R, G, B], each a number from 0 to 1, found '[0.5, 2, "
         "0.5]'"},
        {"data: {mean: []}\n",
         {0},
         "FILE:1:14: data.mean: expected auto or [R, G, B], each a number from 0 to 1, found '[]'"},
        {"data: {sources: [a]}\n",
         {0},
         "FILE:1:17: data.sources: source 1: expected {path, weight}, found text"},
        {"data: {sources: [{weight: 1}]}\n",
         {0},
         "FILE:1:17: data.sources: source 1: expected a path, found none"},
        {"data: {sources: [{path: a}, {path: b, weight: 0}]}\n",
         {0},
         "FILE:1:17: data.sources: source 2: expected a weight above 0, found '0'"},
        {"data: {sources: [{path: a, wieght: 1}]}\n",
         {0},
         "FILE:1:17: data.sources: source 1: expected path and weight, found 'wieght'"},
    };
    expect_failures(cases, sizeof cases / sizeof *cases);
}

static void combinations_name_the_key_that_was_set_last(void **state)
{
    (void)state;
    bad_case cases[] = {
        {"",
         {"model.num_heads=5"},
         "argument 1: model.num_heads: expected a divisor of model.embed_dim (768), found 5"},
        {"",
         {"model.embed_dim=100"},
         "argument 1: model.embed_dim: expected a multiple of model.num_heads (12), found 100"},
        {"model:\n  embed_dim: 102\n",
         {0},
         "FILE:2:14: model.embed_dim: expected a multiple of 4 (sine-cosine positions), found 102"},
        {"",
         {"model.embed_dim=24", "model.num_heads=6"},
         "argument 1: model.embed_dim: expected a multiple of model.rep_decoder_num_heads (16), found 24"},
        {"",
         {"model.rep_decoder_embed_dim=512"},
         "argument 1: model.rep_decoder_embed_dim: expected the width of the encoder, model.embed_dim (768), "
         "as one mask "
         "token serves both decoders; found 512"},
        {"",
         {"model.patch_size=15"},
         "argument 1: model.patch_size: expected a divisor of model.img_size (224), found 15"},
        {"",
         {"model.img_size=225"},
         "argument 1: model.img_size: expected a multiple of model.patch_size (16), found 225"},
        {"",
         {"model.mlp_ratio=2.333"},
         "argument 1: model.mlp_ratio: expected a ratio that gives a whole width, found 2.333 x "
         "model.embed_dim (768) = "
         "1791.74"},
        {"",
         {"model.img_size=1024"},
         "argument 1: model.img_size: expected at most 1024 patches an image, found 4096"},
        {"",
         {"model.img_size=32", "mask.ratio=0.9"},
         "argument 2: mask.ratio: expected at least one visible patch of 4, found none"},
        {"",
         {"mask.patch_threshold=256"},
         "argument 1: mask.patch_threshold: expected less than the 256 pixels of a patch, found 256"},
        {"train: {global_batch: 32}\n",
         {"train.micro_batch=5"},
         "argument 1: train.micro_batch: expected a divisor of train.global_batch (32), found 5"},
        {"train:\n  micro_batch: 4\n",
         {"run.dir=x", "train.global_batch=10"},
         "argument 2: train.global_batch: expected a multiple of train.micro_batch (4), found 10"},
        {"", {"train.slices=6"}, "argument 1: train.slices: expected a power of two, found 6"},
        {"",
         {"train.reduction=exact", "train.global_batch=12"},
         "argument 2: train.global_batch: expected a multiple of train.slices (8) for train.reduction exact, "
         "found 12"},
        {"train:\n  global_batch: 12\n  reduction: exact\n  slices: 8\n",
         {0},
         "FILE:4:11: train.slices: expected a divisor of train.global_batch (12), found 8"},
        {"data:\n  path: a\n  sources: [{path: b}]\n",
         {0},
         "FILE:3:12: data.sources: expected this or data.path, found both"},
        {"data:\n  sources: [{path: b}]\n",
         {"data.path=a"},
         "argument 1: data.path: expected this or data.sources, found both"},
        {"eval: {path: a}\n",
         {"eval.share=0.1"},
         "argument 1: eval.share: expected this or eval.path, found both"},
    };
    expect_failures(cases, sizeof cases / sizeof *cases);
}

static void a_file_that_cannot_be_read_is_the_users_mistake(void **state)
{
    (void)state;
    fsfm_error err;
    assert_fails(fsfm_settings_load("/nowhere/c.yaml", 0, NULL, &settings, warning, &err), FSFM_ERR_ARG, &err,
                 "/nowhere/c.yaml: ");
    assert_fails(fsfm_settings_load(folder, 0, NULL, &settings, warning, &err), FSFM_ERR_ARG, &err, folder);
    char *none[] = {NULL};
    assert_fails(load("run:\n  dir: [\n", none, &err), FSFM_ERR_ARG, &err, "/c.yaml:3:1: ");
}

static void a_long_warm_up_is_only_a_warning(void **state)
{
    (void)state;
    fsfm_error err;
    char *equal[] = {"train.epochs=40", NULL}, *less[] = {"train.epochs=40.5", NULL};
    assert_ok(load("", equal, &err), &err);
    assert_non_null(strstr(warning, "optim.warmup_epochs (40) is not less than train.epochs (40)"));
    assert_ok(load("", less, &err), &err);
    assert_string_equal(warning, "");
}

/* Values that are not the defaults, with all that needs care in text. */
static const char *const unusual =
    "run: {dir: \"a: \\\"b\\\" # \\u00e9\", seed: 9007199254740993, threads: 3}\n"
    "data:\n  augment: {view: flip}\n  sources: [{path: \"x, {y}\", weight: 0.1}, {path: 'null', weight: "
    "3}]\n"
    "  mean: [0.1, 0.2, 0.3]\n"
    "mask: {ratio: 0.3333333333333333}\nmodel: {preset: vit_t16, depth: 5, init: 'on'}\n"
    "loss: {norm_pix: off}\nid: {loss: infonce}\noptim: {blr: 1.2345678901234567e-4}\n"
    "train: {epochs: 0.5, precision: bf16, reduction: exact}\n";

static void what_is_written_reads_back_the_same(void **state)
{
    (void)state;
    fsfm_error err;
    char *none[] = {NULL}, *yaml = NULL, *again = NULL;
    assert_ok(load(unusual, none, &err), &err);
    const fsfm_settings first = settings;
    assert_ok(fsfm_settings_write(&settings, &yaml, &err), &err);
    assert_ok(load(yaml, none, &err), &err);
    assert_string_equal(settings.run.dir, "a: \"b\" # \xc3\xa9");
    assert_string_equal(settings.model.init, "on");
    assert_true(settings.run.seed == 9007199254740993);
    assert_true(settings.model.blr == first.model.blr && settings.mask.ratio == first.mask.ratio);
    assert_memory_equal(&settings.data.sources, &first.data.sources, sizeof first.data.sources);
    assert_memory_equal(&settings.model, &first.model, sizeof first.model);
    assert_memory_equal(&settings.train, &first.train, sizeof first.train);
    assert_ok(fsfm_settings_write(&settings, &again, &err), &err);
    assert_string_equal(yaml, again);
    free(again);
    free(yaml);
}

/* Loads unusual with one override more and compares with unusual. */
static fsfm_status compare(const char *base, char *override, fsfm_error *err)
{
    char *none[] = {NULL}, *one[] = {override, NULL}, *yaml = NULL;
    fsfm_error ignored;
    assert_ok(load(base, none, &ignored), &ignored);
    assert_ok(fsfm_settings_write(&settings, &yaml, &ignored), &ignored);
    assert_ok(load(base, one, &ignored), &ignored);
    const fsfm_status st = fsfm_settings_compare(&settings, yaml, err);
    free(yaml);
    return st;
}

static void a_resumed_run_may_change_only_some_keys(void **state)
{
    (void)state;
    static char *const allowed[] = {"run.dir=y",
                                    "run.threads=2",
                                    "run.device=cpu",
                                    "train.micro_batch=2",
                                    "train.max_steps=7",
                                    "checkpoint.every_steps=1",
                                    "checkpoint.keep_last=9",
                                    "checkpoint.keep_every=4",
                                    "log.every_steps=3",
                                    "log.pictures=0",
                                    "log.pictures_every_epochs=2",
                                    "data.path=z",
                                    "data.threads=4",
                                    "data.prefetch_mib=9",
                                    "data.stage=/tmp"};
    static const struct {
        char *override;
        const char *message;
    } refused[] = {
        {"run.seed=1",
         "run.seed: expected 0, with which this run was started, found 1: it cannot be changed on resume"},
        {"model.preset=vit_s16",
         "model.preset: expected vit_b16, with which this run was started, found vit_s16"},
        {"mask.ratio=0.5", "mask.ratio: expected 0.75, with which this run was started, found 0.5"},
        {"train.epochs=500", "train.epochs: expected 400, with which"},
        {"train.global_batch=512", "train.global_batch: expected 256, with which"},
        {"train.slices=4", "train.slices: expected 8, with which"},
        {"model.init=x", "model.init: expected (empty), with which this run was started, found x"},
        {"data.std=[1, 1, 0.5]",
         "data.std: expected auto, with which this run was started, found [1, 1, 0.5]"},
        {"loss.norm_pix=no", "loss.norm_pix: expected true, with which this run was started, found false"},
    };
    fsfm_error err;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        assert_ok(compare("", allowed[i], &err), &err);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_fails(compare("", refused[i].override, &err), FSFM_ERR_ARG, &err, refused[i].message);
    const char *sources = "data: {sources: [{path: a}]}\n", *exact = "train: {reduction: exact}\n";
    assert_fails(
        compare(sources, "data.sources=", &err), FSFM_ERR_ARG, &err,
        "data.sources: expected [{path: \"a\", weight: 1}], with which this run was started, found []");
    assert_fails(compare(exact, "train.micro_batch=32", &err), FSFM_ERR_ARG, &err,
                 "train.micro_batch: expected auto");
    assert_fails(fsfm_settings_compare(&settings, "mask: {ratoi: 1}", &err), FSFM_ERR_ARG, &err,
                 "the run's configuration:1:8: mask.ratoi");
}

static void keys_are_found(void **state)
{
    (void)state;
    void *owner = NULL;
    const char *nearest = NULL;
    const fsfm_option *option = fsfm_settings_find(&settings, "train.epochs", &owner, &nearest);
    assert_string_equal(option->name, "train.epochs");
    assert_ptr_equal(owner, &settings.train);
    assert_null(fsfm_settings_find(&settings, "train.epoch", &owner, &nearest));
    assert_string_equal(nearest, "train.epochs");
}

/* Every key has a line that says what it is, and a place of its own in the schema, which is JSON. */
static void the_schema_has_every_key(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size_bytes = 0;
    FILE *stream = open_memstream(&text, &size_bytes);
    fsfm_config_schema(stream);
    fclose(stream);
    fsfm_yaml *yaml = NULL;
    fsfm_error err;
    assert_ok(fsfm_yaml_parse("schema", text, size_bytes, &yaml, &err), &err);
    for (int part = 0; part < fsfm_settings_part_count; part++)
        for (int row = 0; row < *fsfm_settings_parts[part].count; row++) {
            const fsfm_option *option = &fsfm_settings_parts[part].table[row];
            const fsfm_yaml_node *node = fsfm_yaml_root(yaml);
            char key[128], *rest = key;
            snprintf(key, sizeof key, "%s", option->name);
            for (char *word; (word = strsep(&rest, "."));) {
                assert_string_equal(fsfm_yaml_get(node, "additionalProperties")->text, "false");
                node = fsfm_yaml_get(fsfm_yaml_get(node, "properties"), word);
                assert_non_null(node);
            }
            assert_true(strlen(option->meaning) > 10);
            assert_non_null(strstr(fsfm_yaml_get(node, "description")->text, option->meaning));
            assert_non_null(fsfm_yaml_get(node, "default"));
            const bool is_auto =
                option->type == FSFM_OPTION_INT_OR_AUTO || option->type == FSFM_OPTION_RGB_OR_AUTO;
            assert_non_null(fsfm_yaml_get(node, is_auto ? "anyOf" : option->choices ? "enum" : "type"));
        }
    fsfm_yaml_free(&yaml);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overrides_win_over_the_file_and_the_last_counts),
        cmocka_unit_test(sources_are_read),
        cmocka_unit_test(presets_fill_sizes),
        cmocka_unit_test(sizes_override_the_preset),
        cmocka_unit_test(mistakes_on_the_command_line_are_named),
        cmocka_unit_test(mistakes_in_the_file_are_named),
        cmocka_unit_test(combinations_name_the_key_that_was_set_last),
        cmocka_unit_test(a_file_that_cannot_be_read_is_the_users_mistake),
        cmocka_unit_test(a_long_warm_up_is_only_a_warning),
        cmocka_unit_test(what_is_written_reads_back_the_same),
        cmocka_unit_test(a_resumed_run_may_change_only_some_keys),
        cmocka_unit_test(keys_are_found),
        cmocka_unit_test(the_schema_has_every_key),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
