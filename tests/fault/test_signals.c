/* SPDX-License-Identifier: Apache-2.0
 * Signals in the middle of a product do not change it. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/device/device.h"
#include "mpi/stop.h"
#include "tests/support/check.h"

enum { N = 400, IN = 192, OUT = 768, ROUNDS = 300 };

static atomic_bool is_done;

static void *send_signals(void *unused)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL); /* they are for the threads that compute */
    while (!atomic_load(&is_done)) {
        kill(getpid(), SIGUSR1);
        usleep(50);
    }
    return unused;
}

static void multiply_under_fire(int threads)
{
    fsfm_device *dev = NULL;
    fsfm_error err;
    char note[160];
    pthread_t sender;
    float *x = malloc(N * IN * sizeof *x), *w = malloc(OUT * IN * sizeof *w);
    float *want = malloc(N * OUT * sizeof *want), *got = malloc(N * OUT * sizeof *got);
    for (int i = 0; i < N * IN; i++) x[i] = (float)(i % 13 - 6);
    for (int i = 0; i < OUT * IN; i++) w[i] = (float)(i % 7 - 3);
    const fsfm_device_options options = {.kind = FSFM_DEVICE_CPU, .threads = threads};
    assert_ok(fsfm_device_open(&options, &dev, note, &err), &err);
    fsfm_linear_args args = {.N = N, .Cin = IN, .Cout = OUT, .x = x, .weight = w, .out = want};
    assert_ok(dev->ops->linear(dev, &args, &err), &err);
    args.out = got;

    int came = 0;
    atomic_store(&is_done, false);
    fsfm_stop_catch_signals();
    assert_int_equal(pthread_create(&sender, NULL, send_signals, NULL), 0);
    for (int round = 0; round < ROUNDS; round++) {
        assert_ok(dev->ops->linear(dev, &args, &err), &err);
        assert_memory_equal(got, want, N * OUT * sizeof *want);
        came = fsfm_stop_signal_count();
    }
    atomic_store(&is_done, true);
    pthread_join(sender, NULL);
    assert_true(came > 20);
    fsfm_stop_release_signals();
    fsfm_device_close(&dev);
    free(x);
    free(w);
    free(want);
    free(got);
}

static void test_one_thread(void **state)
{
    (void)state;
    multiply_under_fire(1);
}

static void test_three_threads(void **state)
{
    (void)state;
    multiply_under_fire(3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_thread),
        cmocka_unit_test(test_three_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
