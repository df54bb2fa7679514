/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "mpi/stop.h"
#include "tests/support/check.h"

static void set_end(const char *variable, double from_now_s)
{
    char text[64];
    snprintf(text, sizeof text, "%.0f", fsfm_clock_unix_s() + from_now_s);
    setenv(variable, text, 1);
}

static int clear(void **state)
{
    (void)state;
    unsetenv("FSFM_END_TIME");
    unsetenv("SLURM_JOB_END_TIME");
    fsfm_stop_release_signals();
    return 0;
}

static void nothing_asks_by_itself(void **state)
{
    (void)state;
    fsfm_stop stop;
    fsfm_stop_open(&stop, NULL);
    assert_int_equal(fsfm_stop_asked(&stop, 1e9), FSFM_STOP_NO);
}

static void signals_set_a_flag(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGINT};
    for (int i = 0; i < 5; i++) {
        fsfm_stop stop;
        fsfm_stop_open(&stop, NULL);
        fsfm_stop_catch_signals();
        kill(getpid(), signals[i]);
        assert_int_equal(fsfm_stop_asked(&stop, 0), FSFM_STOP_SIGNAL);
        kill(getpid(), SIGUSR1);
        assert_int_equal(fsfm_stop_signal(), signals[i]); /* the first; others count */
        assert_int_equal(fsfm_stop_signal_count(), 2);
        fsfm_stop_release_signals();
        assert_int_equal(fsfm_stop_asked(&stop, 0), FSFM_STOP_NO);
    }
    assert_string_equal(fsfm_stop_describe(FSFM_STOP_SIGNAL, SIGUSR1), "signal USR1");
}

static void signals_run_nothing_on_a_stack(void **state)
{
    (void)state;
    struct sigaction action;
    fsfm_stop_catch_signals();
    assert_int_equal(sigaction(SIGUSR1, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_DFL); /* no handler, see stop.c */
}

static void ignored_hangup_stays_ignored(void **state)
{
    (void)state;
    signal(SIGHUP, SIG_IGN); /* as nohup does */
    fsfm_stop_catch_signals();
    kill(getpid(), SIGHUP);
    assert_int_equal(fsfm_stop_signal(), 0);
    signal(SIGHUP, SIG_DFL);
}

static void time_limit_keeps_a_reserve(void **state)
{
    (void)state;
    fsfm_stop stop;
    set_end("FSFM_END_TIME", 100);
    fsfm_stop_open(&stop, NULL);
    assert_int_equal(fsfm_stop_asked(&stop, 90), FSFM_STOP_NO);
    assert_int_equal(fsfm_stop_asked(&stop, 110), FSFM_STOP_TIME);
}

static void own_time_limit_goes_before_slurm(void **state)
{
    (void)state;
    fsfm_stop stop;
    set_end("SLURM_JOB_END_TIME", 10);
    fsfm_stop_open(&stop, NULL);
    assert_int_equal(fsfm_stop_asked(&stop, 20), FSFM_STOP_TIME);
    set_end("FSFM_END_TIME", 1000);
    fsfm_stop_open(&stop, NULL);
    assert_int_equal(fsfm_stop_asked(&stop, 20), FSFM_STOP_NO);
    setenv("FSFM_END_TIME", "tomorrow", 1); /* no number: as if it were not there */
    fsfm_stop_open(&stop, NULL);
    assert_int_equal(fsfm_stop_asked(&stop, 20), FSFM_STOP_TIME);
}

static void file_stop_is_seen_and_removed(void **state)
{
    (void)state;
    char folder[256], path[300];
    fsfm_stop stop;
    FILE *file = NULL;
    make_folder(folder);
    snprintf(path, sizeof path, "%s/STOP", folder);
    fsfm_stop_open(&stop, folder);
    assert_int_equal(fsfm_stop_asked(&stop, 0), FSFM_STOP_NO);
    file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(fsfm_stop_asked(&stop, 0), FSFM_STOP_NO); /* looked less than a second ago */
    stop.looked_s -= 1.0;
    assert_int_equal(fsfm_stop_asked(&stop, 0), FSFM_STOP_FILE);
    fsfm_stop_remove_file(&stop);
    assert_int_equal(access(path, F_OK), -1);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_asks_by_itself, clear, clear),
        cmocka_unit_test_setup_teardown(signals_set_a_flag, clear, clear),
        cmocka_unit_test_setup_teardown(signals_run_nothing_on_a_stack, clear, clear),
        cmocka_unit_test_setup_teardown(ignored_hangup_stays_ignored, clear, clear),
        cmocka_unit_test_setup_teardown(time_limit_keeps_a_reserve, clear, clear),
        cmocka_unit_test_setup_teardown(own_time_limit_goes_before_slurm, clear, clear),
        cmocka_unit_test_setup_teardown(file_stop_is_seen_and_removed, clear, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
