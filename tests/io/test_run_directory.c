/* SPDX-License-Identifier: Apache-2.0
 * io/run_directory.h: metrics.jsonl across resumes, state.json, and what is refused. */
#include "io/run_directory.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "io/json_scan.h"
#include "tests/support/check.h"

static char folder[256], path[300], metrics_path[400], state_path[400];

static int set_up(void **state)
{
    (void)state;
    make_folder(folder);
    snprintf(path, sizeof path, "%s/runs/a", folder);
    snprintf(metrics_path, sizeof metrics_path, "%s/metrics.jsonl", path);
    snprintf(state_path, sizeof state_path, "%s/state.json", path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static char *read_text(const char *file)
{
    fsfm_error err;
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    assert_ok(fsfm_file_read(file, &bytes, &size_bytes, &err), &err);
    return (char *)bytes;
}

static fsfm_run_directory *open_run(int64_t first_step)
{
    fsfm_error err;
    fsfm_run_directory *run = NULL;
    assert_ok(fsfm_run_directory_open(path, &run, &err), &err);
    assert_string_equal(fsfm_run_directory_path(run), path);
    assert_ok(fsfm_run_directory_open_metrics(run, first_step, true, &err), &err);
    return run;
}

static void record(fsfm_run_directory *run, const char *kind, int64_t step, const char *event)
{
    fsfm_error err;
    fsfm_json *json = fsfm_metrics_begin(run, kind, step);
    if (event) fsfm_json_text(json, "event", event);
    fsfm_json_real(json, "loss", 0.1);
    assert_ok(fsfm_metrics_end(run, &err), &err);
}

/* "train 0 train 1 stop 2 ": kind or event, and step, of every line, each of which must be a JSON object. */
static void assert_records(const char *want)
{
    char got[4096] = "", *text = read_text(metrics_path), *rest = text, *line = NULL;
    while ((line = strsep(&rest, "\n")) && rest) {
        char kind[32], event[32];
        int64_t step = -1;
        const size_t used = strlen(got), size_bytes = strlen(line);
        assert_true(fsfm_json_is_object(line, size_bytes));
        assert_true(fsfm_json_find_text(line, size_bytes, "kind", kind, sizeof kind));
        assert_true(fsfm_json_find_int(line, size_bytes, "step", &step));
        const bool has_event = fsfm_json_find_text(line, size_bytes, "event", event, sizeof event);
        snprintf(got + used, sizeof got - used, "%s %d ", has_event ? event : kind, (int)step);
    }
    assert_string_equal(line, ""); /* a newline at the end */
    assert_string_equal(got, want);
    free(text);
}

static void records_are_whole_lines(void **state)
{
    (void)state;
    fsfm_run_directory *run = open_run(0);
    record(run, "train", 0, NULL);
    char *text = read_text(metrics_path);
    assert_ptr_equal(strstr(text, "{\"kind\": \"train\", \"step\": 0, \"time\": 1"), text);
    assert_non_null(strstr(text, "\"loss\": 0.10000000000000001}\n"));
    free(text);
    fsfm_run_directory_close(&run);
    assert_null(run);
    fsfm_run_directory_close(&run);
}

static void write_history(void)
{
    fsfm_run_directory *run = open_run(0);
    record(run, "event", 0, "start");
    for (int64_t step = 0; step < 4; step++) {
        record(run, "train", step, NULL);
        if (step == 1) {
            record(run, "checkpoint", 2, NULL);
            record(run, "event", 2, "stop");
            record(run, "event", 2, "resume");
            record(run, "event", 2, "bad_step");
        }
    }
    record(run, "eval", 4, NULL);
    record(run, "checkpoint", 4, NULL);
    record(run, "event", 4, "stop");
    fsfm_run_directory_close(&run);
    assert_records(
        "start 0 train 0 train 1 checkpoint 2 stop 2 resume 2 bad_step 2 train 2 train 3 eval 4 checkpoint 4 "
        "stop 4 ");
}

static void resume_cuts_what_is_done_again(void **state)
{
    (void)state;
    write_history();
    fsfm_run_directory *run = open_run(5);
    assert_records(
        "start 0 train 0 train 1 checkpoint 2 stop 2 resume 2 bad_step 2 train 2 train 3 eval 4 checkpoint 4 "
        "stop 4 ");
    fsfm_run_directory_close(&run);
    run = open_run(2);
    record(run, "event", 2, "resume");
    record(run, "train", 2, NULL);
    fsfm_run_directory_close(&run);
    assert_records("start 0 train 0 train 1 checkpoint 2 stop 2 resume 2 resume 2 train 2 ");
    run = open_run(1);
    fsfm_run_directory_close(&run);
    assert_records("start 0 train 0 ");
    run = open_run(0);
    fsfm_run_directory_close(&run);
    assert_records("start 0 ");
}

/* A stop puts an evaluation off; done after a resume that was killed soon, it is done once more. */
static void evaluation_put_off_is_cut(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_run_directory *run = open_run(0);
    record(run, "train", 0, NULL);
    record(run, "eval", 0, NULL);
    record(run, "train", 1, NULL);
    record(run, "event", 2, "stop");
    record(run, "event", 2, "resume");
    record(run, "eval", 1, NULL);
    fsfm_run_directory_close(&run);
    run = open_run(2);
    fsfm_run_directory_close(&run);
    assert_records("train 0 eval 0 train 1 stop 2 resume 2 eval 1 ");
    assert_ok(fsfm_run_directory_open(path, &run, &err), &err);
    assert_ok(fsfm_run_directory_open_metrics(run, 2, false, &err), &err);
    fsfm_run_directory_close(&run);
    assert_records("train 0 eval 0 train 1 stop 2 resume 2 ");
}

static void append_text(const char *text)
{
    FILE *out = fopen(metrics_path, "a");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static void half_line_is_cut(void **state)
{
    (void)state;
    static const char *const halves[] = {
        "{\"kind\": \"train\", \"step\": 1, \"lo", "{",         "{\"kind\": \"train\", \"step\": 1}",
        "{\"kind\": \"train\", \"step\": 1\n",     "garbage\n", "\n"};
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
        fsfm_run_directory *run = open_run(0);
        record(run, "train", 0, NULL);
        fsfm_run_directory_close(&run);
        append_text(halves[i]);
        run = open_run(100);
        record(run, "train", 2, NULL);
        fsfm_run_directory_close(&run);
        assert_records("train 0 train 2 ");
    }
}

/* Keys within values are not the record's, whatever their order. */
static void only_keys_at_the_top_count(void **state)
{
    (void)state;
    fsfm_run_directory *run = open_run(0);
    append_text("{\"note\": \"\\\"step\\\": 9}\", \"inner\": {\"step\": 9, \"l\": [1, \"]\"]}, \"kind\": "
                "\"train\", \"step\": 3}\n");
    append_text("{ \"step\" : 7 , \"kind\":\"train\" }\n{}\n");
    fsfm_run_directory_close(&run);
    run = open_run(5);
    fsfm_run_directory_close(&run);
    char *text = read_text(metrics_path);
    assert_non_null(strstr(text, "\"step\": 3}\n{}\n"));
    assert_null(strstr(text, "7"));
    free(text);
}

static void long_record_is_refused(void **state)
{
    (void)state;
    fsfm_error err;
    const size_t length = 2 << 20;
    char *text = malloc(length + 1);
    assert_non_null(text);
    memset(text, 'x', length);
    text[length] = 0;
    fsfm_run_directory *run = open_run(0);
    fsfm_json *json = fsfm_metrics_begin(run, "event", 0);
    fsfm_json_text(json, "hosts", text);
    assert_fails(fsfm_metrics_end(run, &err), FSFM_ERR_ARG, &err, "longer than");
    record(run, "train", 1, NULL);
    fsfm_run_directory_close(&run);
    assert_records("train 1 ");
    free(text);
}

static void full_disk_leaves_whole_lines(void **state)
{
    (void)state;
    fsfm_error err;
    struct rlimit old, small;
    struct stat info;
    fsfm_run_directory *run = open_run(0);
    record(run, "train", 0, NULL);
    assert_int_equal(stat(metrics_path, &info), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    void (*old_handler)(int) = signal(SIGXFSZ, SIG_IGN);
    small = (struct rlimit){.rlim_cur = (rlim_t)info.st_size + 10, .rlim_max = old.rlim_max};
    fsfm_metrics_begin(run, "train", 1);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const fsfm_status st = fsfm_metrics_end(run, &err);
    small.rlim_cur = 4;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    fsfm_error state_err;
    const fsfm_status state_st = fsfm_run_directory_state(run, "running", 0, 1, &state_err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, old_handler);
    assert_fails(st, FSFM_ERR_IO, &err, "metrics.jsonl: cannot write: File too large");
    assert_fails(state_st, FSFM_ERR_IO, &state_err, "state.json");
    record(run, "train", 2, NULL);
    fsfm_run_directory_close(&run);
    assert_records("train 0 train 2 ");
}

static void state_is_written(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_run_directory *run = open_run(0);
    assert_ok(fsfm_run_directory_state(run, "running", 0, 0, &err), &err);
    assert_ok(fsfm_run_directory_state(run, "stopped", 75, 12, &err), &err);
    char *text = read_text(state_path);
    assert_string_equal(text, "{\"status\": \"stopped\", \"exit_code\": 75, \"step\": 12}\n");
    free(text);
    fsfm_run_directory_close(&run);
}

static void second_run_is_refused(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_run_directory *run = open_run(0), *second = NULL;
    assert_fails(fsfm_run_directory_open(path, &second, &err), FSFM_ERR_IO, &err, "is in use by host ");
    assert_null(second);
    record(run, "train", 0, NULL);
    fsfm_run_directory_close(&run);
    assert_records("train 0 ");
    assert_ok(fsfm_run_directory_open(path, &second, &err), &err);
    fsfm_run_directory_close(&second);
}

static void bad_places_are_told(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_run_directory *run = NULL;
    char below[400];
    snprintf(below, sizeof below, "%s/file", folder);
    assert_ok(fsfm_file_write(below, "x", 1, &err), &err);
    assert_fails(fsfm_run_directory_open(below, &run, &err), FSFM_ERR_IO, &err, below);
    assert_null(run);
    assert_fails(fsfm_run_directory_open("/proc/none/run", &run, &err), FSFM_ERR_IO, &err, "/proc/none");
    assert_null(run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_are_whole_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(resume_cuts_what_is_done_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(evaluation_put_off_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(half_line_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_keys_at_the_top_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_record_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_disk_leaves_whole_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(state_is_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(second_run_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_places_are_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
