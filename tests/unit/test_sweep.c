/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/json_scan.h"
#include "jobs/settings.h"
#include "jobs/sweep/sweep.h"
#include "jobs/sweep/sweep_metric.h"
#include "jobs/sweep/sweep_report.h"
#include "jobs/sweep/sweep_state.h"
#include "tests/support/check.h"

static char folder[256], file[300], base[300];
static fsfm_sweep sweep;
static char warning[256];

static void write_file(const char *path, const char *text)
{
    FILE *stream = fopen(path, "w");
    assert_non_null(stream);
    fputs(text, stream);
    fclose(stream);
}

static int set_up(void **state)
{
    (void)state;
    make_folder(folder);
    snprintf(file, sizeof file, "%s/s.yaml", folder);
    snprintf(base, sizeof base, "%s/base.yaml", folder);
    write_file(base, "run: {dir: runs}\nmodel: {preset: vit_t16}\noptim: {warmup_epochs: 1}\n");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

/* text behind "base: base.yaml", with overrides ended by NULL. */
static fsfm_status load(const char *text, char *const *overrides, fsfm_error *err)
{
    char whole[2048];
    int count = 0;
    while (overrides[count]) count++;
    snprintf(whole, sizeof whole, "base: base.yaml\n%s", text);
    write_file(file, whole);
    return fsfm_sweep_load(file, count, overrides, &sweep, warning, err);
}

static char *none[] = {NULL};

/* The id of the first run. */
static const char *id_of(const char *text, char *const *overrides, char id[FSFM_RUN_ID_BYTES])
{
    fsfm_error err;
    assert_ok(load(text, overrides, &err), &err);
    snprintf(id, FSFM_RUN_ID_BYTES, "%s", sweep.run[0].id);
    fsfm_sweep_free(&sweep);
    return id;
}

static void a_grid_is_every_combination_the_last_key_fastest(void **state)
{
    (void)state;
    fsfm_error err;
    char text[128];
    char *overrides[] = {"run.dir=a b", "train.epochs=7", NULL};
    assert_ok(load("grid:\n  mask: {strategy: [frp, random]}\n  mask.ratio: [0.60, 7.5e-1, 0.9]\n  run.seed: "
                   "[1, 2]\n"
                   "set: {train.epochs: 5, train.global_batch: 8}\nmetric: eval.loss\n",
                   overrides, &err),
              &err);
    assert_int_equal(sweep.run_count, 12);
    assert_int_equal(sweep.key_count, 3);
    assert_string_equal(sweep.folder, "a b");
    assert_string_equal(sweep.name, "s");
    assert_string_equal(sweep.metric, "eval.loss");
    assert_string_equal(fsfm_sweep_describe(&sweep, 0, text, sizeof text),
                        "mask.strategy=frp mask.ratio=0.6 run.seed=1");
    assert_string_equal(fsfm_sweep_describe(&sweep, 3, text, sizeof text),
                        "mask.strategy=frp mask.ratio=0.75 run.seed=2");
    assert_string_equal(fsfm_sweep_describe(&sweep, 11, text, sizeof text),
                        "mask.strategy=random mask.ratio=0.9 run.seed=2");
    for (int run = 0; run < sweep.run_count; run++) {
        fsfm_settings *settings = malloc(sizeof *settings);
        char path[FSFM_SWEEP_PATH], *words[] = {NULL};
        assert_non_null(settings);
        snprintf(path, sizeof path, "%s/run.yaml", folder);
        write_file(path, sweep.run[run].config);
        assert_ok(fsfm_settings_load(path, 0, words, settings, warning, &err), &err);
        snprintf(path, sizeof path, "a b/%s", sweep.run[run].id);
        assert_string_equal(settings->run.dir, path);
        assert_string_equal(sweep.run[run].folder, path);
        assert_true(settings->train.epochs == 7); /* the last word is the command line's */
        assert_int_equal(settings->train.global_batch, 8);
        assert_int_equal(settings->run.seed, 1 + run % 2);
        assert_int_equal(settings->mask.strategy, run < 6 ? FSFM_MASK_FRP : FSFM_MASK_RANDOM);
        free(settings);
        for (int other = 0; other < run; other++)
            assert_string_not_equal(sweep.run[other].id, sweep.run[run].id);
    }
    fsfm_sweep_free(&sweep);
}

/* Runs of a list have the values of the base where they say nothing. */
static void a_list_has_all_keys_of_all_runs(void **state)
{
    (void)state;
    fsfm_error err;
    int found = -1;
    assert_ok(load("runs:\n  - mask.ratio: 0.6\n  - {loss.norm_pix: false, data.mean: [0.5, 0.4, 0.3]}\n",
                   none, &err),
              &err);
    assert_int_equal(sweep.run_count, 2);
    assert_int_equal(sweep.key_count, 3);
    assert_string_equal(sweep.run[0].value[0], "0.6");
    assert_string_equal(sweep.run[1].value[0], "0.75");
    assert_string_equal(sweep.run[0].value[1], "true");
    assert_string_equal(sweep.run[1].value[2], "[0.5, 0.4, 0.3]");
    assert_int_equal(sweep.run[1].line, 4);
    assert_ok(fsfm_sweep_find(&sweep, sweep.run[1].id, &found, &err), &err);
    assert_int_equal(found, 1);
    assert_fails(fsfm_sweep_find(&sweep, "", &found, &err), FSFM_ERR_ARG, &err, "--run");
    assert_fails(fsfm_sweep_find(&sweep, "xyz", &found, &err), FSFM_ERR_ARG, &err, "'xyz'");
    fsfm_sweep_free(&sweep);
}

/* An id is of what a run computes: not of where, by what means, or of how it is written down. */
static void ids_are_of_the_content(void **state)
{
    (void)state;
    char a[FSFM_RUN_ID_BYTES], b[FSFM_RUN_ID_BYTES];
    static const char one[] = "grid: {mask.ratio: [0.6]}\n";
    char *machine[] = {"run.dir=elsewhere", "run.threads=3",  "checkpoint.every_steps=7",
                       "log.every_steps=3", "data.threads=2", NULL};
    char *default_value[] = {"optim.weight_decay=0.05", NULL};
    char *seed[] = {"run.seed=1", NULL}, *data[] = {"data.path=x", NULL},
         *steps[] = {"train.max_steps=9", NULL};
    id_of(one, none, a);
    assert_int_equal(strlen(a), 12);
    assert_int_equal(strspn(a, "0123456789abcdef"), 12);
    assert_string_equal(id_of(one, machine, b), a);
    assert_string_equal(id_of(one, default_value, b), a);
    assert_string_equal(id_of("runs: [{mask: {ratio: 0.60}}]\n", none, b), a);
    assert_string_equal(id_of("grid: {run.seed: [0], mask.ratio: [0.6, 0.7]}\n", none, b), a);
    assert_string_equal(id_of("set: {mask.ratio: 0.6}\ngrid: {run.seed: [0, 1]}\n", none, b), a);
    assert_string_not_equal(id_of(one, seed, b), a);
    assert_string_not_equal(id_of(one, data, b), a);
    assert_string_not_equal(id_of(one, steps, b), a);
    assert_string_not_equal(id_of("grid: {mask.ratio: [0.6], train.micro_batch: [2]}\n", none, b), a);
    /* Fixed for ever: another id of the same run would do it again. */
    assert_string_equal(a, "8ba0132e4d94");
}

static void runs_that_cannot_be_are_kept_with_their_place(void **state)
{
    (void)state;
    fsfm_error err;
    assert_ok(load("grid: {mask.ratio: [0.6, high, [1, 2], 1.5]}\n", none, &err), &err);
    assert_int_equal(sweep.run_count, 4);
    assert_null(sweep.run[0].refusal);
    for (int i = 1; i < 4; i++) {
        char place[64];
        snprintf(place, sizeof place, "s.yaml:2:%d: mask.ratio: expected a number",
                 i == 1   ? 26
                 : i == 2 ? 32
                          : 40);
        assert_non_null(sweep.run[i].refusal);
        assert_non_null(strstr(sweep.run[i].refusal, place));
    }
    fsfm_sweep_free(&sweep);
}

static void wrong_sweeps_are_refused_with_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"grid: {mask.ratoi: [1]}\n", "s.yaml:2:8: mask.ratoi: unknown key; nearest known key: mask.ratio"},
        {"grid: {mask.ratio: [high]}\n", "s.yaml:2:21: mask.ratio: expected a number"},
        {"grid: {mask.ratio: 0.6}\n", "s.yaml:2:20: mask.ratio: expected a list of values, found '0.6'"},
        {"grid: {mask.ratio: []}\n",
         "s.yaml:2:20: mask.ratio: expected a list of values, found an empty one"},
        {"grid: {mask.ratio: [0.5], mask: {ratio: [0.6]}}\n", "mask.ratio: set twice, first in line 2"},
        {"grid: {mask.ratio: [0.6, 0.60]}\n", "s.yaml:2:26: mask.ratio: expected different values"},
        {"grid:\n", "s.yaml:2:6: grid: expected keys with lists"},
        {"grid: {mask: }\n", "s.yaml:2:8: mask: unknown key"},
        {"runs: []\n", "s.yaml:2:7: runs: expected a list of runs"},
        {"runs: [{mask.ratio: 0.6}, 3]\n", "s.yaml:2:27: run 2: expected keys"},
        {"runs: [{run.seed: 1}, {run.seed: 1}]\n", "run 2: expected different runs, found run 1"},
        {"runs: [{run.dir: a}]\n", "run.dir: expected another key"},
        {"runs: [{model.num_heads: 5}]\n", "s.yaml:2:26: model.num_heads: expected a divisor"},
        {"", "s.yaml:1:1: expected grid or runs, found neither"},
        {"grid: {run.seed: [1]}\nruns: [{run.seed: 1}]\n", "s.yaml:3:7: expected grid or runs, found both"},
        {"grid: {run.seed: [1]}\nmetirc: loss\n",
         "s.yaml:3:1: metirc: unknown key; nearest known key: metric"},
        {"grid: {run.seed: [1]}\nmetric: eval.los\n", "s.yaml:3:9: metric: eval.los: unknown metric"},
        {"grid: {run.seed: [1]}\nset: {mask.ratio: 2}\n", "s.yaml:3:19: mask.ratio: expected a number"},
        {"grid: {run.seed: [1]}\nset: [1]\n", "s.yaml:3:6: set: expected keys"},
        {"base: base.yaml\n", "stands twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fsfm_error err;
        assert_fails(load(cases[i].text, none, &err), FSFM_ERR_ARG, &err, cases[i].message);
        assert_null(sweep.run);
    }
    fsfm_error err;
    char *swept[] = {"run.dir=x", "run.seed=3", NULL}, *empty[] = {"run.dir=", NULL},
         *typo[] = {"run.sed=3", NULL};
    assert_fails(load("grid: {run.seed: [1]}\n", swept, &err), FSFM_ERR_ARG, &err, "argument 2: run.seed");
    assert_fails(load("grid: {run.seed: [1]}\n", empty, &err), FSFM_ERR_ARG, &err, "run.dir: expected");
    assert_fails(load("grid: {run.seed: [1]}\n", typo, &err), FSFM_ERR_ARG, &err, "argument 1: run.sed");
    write_file(file, "base: none.yaml\ngrid: {run.seed: [1]}\n");
    assert_fails(fsfm_sweep_load(file, 0, none, &sweep, warning, &err), FSFM_ERR_ARG, &err,
                 "s.yaml:1:7: base: none.yaml");
    write_file(file, "grid: {run.seed: [1]}\n");
    assert_fails(fsfm_sweep_load(file, 0, none, &sweep, warning, &err), FSFM_ERR_ARG, &err,
                 "s.yaml:1:1: base");
    write_file(base, "mask: {ratoi: 1}\n");
    assert_fails(load("grid: {run.seed: [1]}\n", none, &err), FSFM_ERR_ARG, &err,
                 "base.yaml:1:8: mask.ratoi");
}

static void too_many_runs_are_refused(void **state)
{
    (void)state;
    char text[2048] = "grid:\n  run.seed: [0";
    fsfm_error err;
    for (int i = 1; i < 200; i++) snprintf(text + strlen(text), sizeof text - strlen(text), ", %d", i);
    snprintf(
        text + strlen(text), sizeof text - strlen(text),
        "]\n  mask.region_group: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,"
        "29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51]\n");
    assert_fails(load(text, none, &err), FSFM_ERR_ARG, &err, "expected at most 10000 runs, found 10200");
}

/* A folder with what runs leave, and what is read out of it. */
static void metrics_and_states_are_read(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_run_metric metric;
    char path[512], run_folder[300];
    snprintf(run_folder, sizeof run_folder, "%s/run", folder);
    fsfm_sweep_run run = {.folder = run_folder};
    assert_int_equal(fsfm_run_look(&run, false).state, FSFM_RUN_WAITING);
    assert_int_equal(mkdir(run_folder, 0777), 0);
    assert_ok(fsfm_run_metric_read(run_folder, "loss", &metric, &err), &err);
    assert_true(isnan(metric.value));
    snprintf(path, sizeof path, "%s/metrics.jsonl", run_folder);
    write_file(path,
               "{\"kind\": \"train\", \"step\": 0, \"loss\": 4.0, \"loss_sim\": null}\n"
               "{\"kind\": \"event\", \"step\": 0, \"event\": \"x\"}\n"
               "{\"kind\": \"train\", \"step\": 1, \"loss\": 3.0, \"loss_sim\": null}\n{\"kind\": \"trai");
    assert_ok(fsfm_run_metric_read(run_folder, "loss", &metric, &err), &err);
    assert_true(metric.value == 3.0);
    assert_string_equal(metric.kind, "train");
    assert_int_equal(fsfm_run_steps(run_folder), 2);
    assert_ok(fsfm_run_metric_read(run_folder, "eval.loss", &metric, &err), &err);
    assert_true(isnan(metric.value));
    assert_ok(fsfm_run_metric_read(run_folder, "loss_sim", &metric, &err), &err);
    assert_true(isnan(metric.value));
    write_file(path, "{\"kind\": \"train\", \"step\": 0, \"loss\": 4.0}\n{\"kind\": \"eval\", \"step\": 0, "
                     "\"loss\": 2.5}\n");
    assert_ok(fsfm_run_metric_read(run_folder, "loss", &metric, &err), &err);
    assert_true(metric.value == 2.5);
    assert_ok(fsfm_run_metric_read(run_folder, "train.loss", &metric, &err), &err);
    assert_true(metric.value == 4.0);

    snprintf(path, sizeof path, "%s/output.log", run_folder);
    write_file(path, "hello\nfsfm: first\nfsfm: the \"last\" one\nmpirun: blah\n\n");
    assert_int_equal(fsfm_run_look(&run, false).state, FSFM_RUN_BROKEN_OFF);
    snprintf(path, sizeof path, "%s/state.json", run_folder);
    write_file(path, "{\"status\": \"failed\", \"exit_code\": 1, \"step\": 1}\n");
    fsfm_run_status status = fsfm_run_look(&run, false);
    assert_int_equal(status.state, FSFM_RUN_FAILED);
    assert_string_equal(status.reason, "the \"last\" one");
    write_file(path, "{\"status\": \"stopped\", \"exit_code\": 75, \"step\": 1}\n");
    assert_int_equal(fsfm_run_look(&run, false).state, FSFM_RUN_STOPPED);
    snprintf(path, sizeof path, "%s/sweep", run_folder);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_ok(fsfm_run_write_outcome(&run, 137, "killed by \"x\"\\", &err), &err);
    status = fsfm_run_look(&run, false);
    assert_int_equal(status.state, FSFM_RUN_FAILED);
    assert_int_equal(status.exit_code, 137);
    assert_string_equal(status.reason, "killed by \"x\"\\");
    snprintf(path, sizeof path, "%s/state.json", run_folder);
    write_file(path, "{\"status\": \"done\", \"exit_code\": 0, \"step\": 1}\n");
    assert_int_equal(fsfm_run_look(&run, false).state, FSFM_RUN_DONE);
}

static void numbers_are_found_in_json(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\": -1.5e-3, \"b\": null, \"c\": \"2\", \"d\": [3], \"e\": nan, \"f\": 4}";
    double value = 7.0;
    assert_true(fsfm_json_find_real(text, strlen(text), "a", &value) && value == -1.5e-3);
    assert_true(fsfm_json_find_real(text, strlen(text), "f", &value) && value == 4.0);
    const char *const none_of[] = {"b", "c", "d", "e", "g"};
    for (size_t i = 0; i < sizeof none_of / sizeof *none_of; i++)
        assert_false(fsfm_json_find_real(text, strlen(text), none_of[i], &value));
    assert_true(value == 4.0);
}

static void means_and_spreads(void **state)
{
    (void)state;
    const double value[] = {1.0, 2.0, 4.0};
    double mean, sd;
    fsfm_mean_and_spread(value, 3, &mean, &sd);
    assert_true(fabs(mean - 7.0 / 3) < 1e-15 && fabs(sd - sqrt(7.0 / 3)) < 1e-15);
    fsfm_mean_and_spread(value, 1, &mean, &sd);
    assert_true(mean == 1.0 && isnan(sd));
    fsfm_mean_and_spread(value, 0, &mean, &sd);
    assert_true(isnan(mean) && isnan(sd));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_grid_is_every_combination_the_last_key_fastest),
        CASE(a_list_has_all_keys_of_all_runs),
        CASE(ids_are_of_the_content),
        CASE(runs_that_cannot_be_are_kept_with_their_place),
        CASE(wrong_sweeps_are_refused_with_their_place),
        CASE(too_many_runs_are_refused),
        CASE(metrics_and_states_are_read),
        cmocka_unit_test(numbers_are_found_in_json),
        cmocka_unit_test(means_and_spreads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
