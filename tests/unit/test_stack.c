/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/base/stack.h"
#include "tests/support/check.h"

static atomic_bool is_seen;
static char text[4000];

static void *look(void *unused)
{
    usleep(100000);
    fsfm_stack_take(text, sizeof text);
    atomic_store(&is_seen, true);
    return unused;
}

/* The thread looked at sleeps, and goes on sleeping: it has to be in a function of the C library's, by name.
 */
static void shows_where_a_thread_waits(void **state)
{
    (void)state;
    pthread_t thread;
    fsfm_stack_watch();
    assert_int_equal(pthread_create(&thread, NULL, look, NULL), 0);
    while (!atomic_load(&is_seen)) usleep(1000000);
    pthread_join(thread, NULL);
    assert_memory_equal(text, "#0 ", 3);
    assert_non_null(strstr(text, "nanosleep"));
    assert_non_null(strstr(text, "\n#3 "));
    fsfm_stack_unwatch();
    fsfm_stack_take(text, sizeof text);
    assert_string_equal(text, ""); /* nobody is watched */
}

static void *stop_taking(void *answer)
{
    fsfm_stack_take(text, sizeof text);
    return answer;
}

/* As in the kernel: the signal does not come through. */
static void says_where_in_the_kernel(void **state)
{
    (void)state;
    pthread_t thread;
    sigset_t all;
    fsfm_stack_watch();
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    assert_int_equal(pthread_create(&thread, NULL, stop_taking, NULL), 0);
    pthread_join(thread, NULL);
    assert_memory_equal(text, "no stack: the thread is in the kernel, state S", 46);
    fsfm_stack_unwatch();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_where_a_thread_waits),
        cmocka_unit_test(says_where_in_the_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
