/* SPDX-License-Identifier: Apache-2.0
 * io/run_lock.h: one process at a time; locks of the dead and the silent are taken over, by one candidate. */
#include "io/run_lock.h"
#include "io/slurm_job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "io/file.h"
#include "io/lock_holder.h"
#include "tests/support/check.h"

static const fsfm_run_lock_timing usual = {.renew_s = 10.0, .stale_s = 60.0, .grace_s = 0.0};
static const fsfm_run_lock_timing quick = {.renew_s = 0.05, .stale_s = 0.5, .grace_s = 0.0};
static char folder[256], lock_path[300];

static int set_up(void **state)
{
    (void)state;
    make_folder(folder);
    snprintf(lock_path, sizeof lock_path, "%s/lock", folder);
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_RESTART_COUNT");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static void wait_s(double time_s)
{
    struct timespec t = {.tv_sec = (time_t)time_s};
    t.tv_nsec = (long)((time_s - (double)t.tv_sec) * 1e9);
    nanosleep(&t, NULL);
}

static void take(const fsfm_run_lock_timing *timing, fsfm_run_lock **lock)
{
    fsfm_error err;
    assert_ok(fsfm_run_lock_take(folder, timing, lock, &err), &err);
}

static void assert_refused(const fsfm_run_lock_timing *timing, const char *text)
{
    fsfm_error err;
    fsfm_run_lock *lock = NULL;
    assert_fails(fsfm_run_lock_take(folder, timing, &lock, &err), FSFM_ERR_IO, &err, text);
    assert_null(lock);
}

static int count_files(void)
{
    char command[400], answer[32] = "";
    snprintf(command, sizeof command, "ls -A %s | wc -l", folder);
    FILE *in = popen(command, "r");
    assert_non_null(in);
    assert_non_null(fgets(answer, sizeof answer, in));
    pclose(in);
    return atoi(answer);
}

/* Writes a lock as another process would have, age_s seconds ago. */
static void write_lock(const fsfm_lock_holder *holder, double age_s)
{
    char line[FSFM_LOCK_LINE_BYTES];
    fsfm_error err;
    const size_t size_bytes = fsfm_lock_holder_write(holder, line);
    assert_true(size_bytes > 0);
    assert_ok(fsfm_file_write(lock_path, line, size_bytes, &err), &err);
    struct timespec times[2];
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= (time_t)age_s;
    times[1] = times[0];
    assert_int_equal(utimensat(AT_FDCWD, lock_path, times, 0), 0);
}

static fsfm_lock_holder elsewhere(void)
{
    fsfm_lock_holder holder;
    fsfm_lock_holder_self(&holder);
    snprintf(holder.host, sizeof holder.host, "node17");
    snprintf(holder.boot, sizeof holder.boot, "other-boot");
    holder.pid = 4242;
    return holder;
}

static void second_one_is_refused(void **state)
{
    (void)state;
    fsfm_run_lock *lock = NULL;
    char host[256] = "", text[800];
    gethostname(host, sizeof host - 1);
    take(&usual, &lock);
    snprintf(text, sizeof text,
             "run directory %s is in use by host %s, pid %d, renewed 0 s ago; wait for it or choose another "
             "run.dir",
             folder, host, getpid());
    assert_refused(&usual, text);
    assert_int_equal(count_files(), 1);
    const double start_s = fsfm_clock_monotonic_s();
    fsfm_run_lock_release(&lock);
    assert_true(fsfm_clock_monotonic_s() - start_s < 1.0);
    assert_null(lock);
    assert_int_equal(count_files(), 0);
    take(&usual, &lock);
    fsfm_run_lock_release(&lock);
    fsfm_run_lock_release(&lock);
}

static void lock_names_its_holder(void **state)
{
    (void)state;
    fsfm_run_lock *lock = NULL;
    fsfm_error err;
    fsfm_lock_holder self, found;
    uint8_t *line = NULL;
    size_t size_bytes = 0;
    setenv("SLURM_JOB_ID", "1234", 1);
    setenv("SLURM_RESTART_COUNT", "2", 1);
    take(&usual, &lock);
    assert_refused(&usual, " (job 1234), renewed ");
    assert_ok(fsfm_file_read(lock_path, &line, &size_bytes, &err), &err);
    assert_int_equal(line[size_bytes - 1], '\n');
    assert_ptr_equal(memchr(line, '\n', size_bytes), line + size_bytes - 1);
    assert_true(fsfm_lock_holder_read((const char *)line, size_bytes, &found));
    for (size_t cut = 0; cut + 1 < size_bytes; cut++)
        assert_false(fsfm_lock_holder_read((const char *)line, cut, &self));
    fsfm_lock_holder_self(&self);
    assert_string_equal(found.host, self.host);
    assert_string_equal(found.job, "1234");
    assert_int_equal(found.job_restart, 2);
    assert_int_equal(found.pid, getpid());
    assert_int_equal(found.pid_start, self.pid_start);
    assert_true(self.pid_start > 0);
    assert_true(fsfm_lock_holder_is_here(&found, &self));
    assert_false(fsfm_lock_holder_is_gone(&found, &self, NULL));
    free(line);
    fsfm_run_lock_release(&lock);
}

/* A child that takes the lock, says so, and then waits to be killed. */
static pid_t start_holder(void)
{
    int ends[2];
    char byte = 0;
    assert_int_equal(pipe(ends), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fsfm_run_lock *lock = NULL;
        fsfm_error err;
        byte = fsfm_run_lock_take(folder, &usual, &lock, &err) == FSFM_OK ? 'y' : 'n';
        if (write(ends[1], &byte, 1) != 1) _exit(1);
        for (;;) pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(ends[0]);
    return pid;
}

static void lock_of_the_killed_is_taken_over(void **state)
{
    (void)state;
    fsfm_run_lock *lock = NULL;
    const fsfm_run_lock_timing patient = {.renew_s = 10.0, .stale_s = 60.0, .grace_s = 5.0};
    pid_t pid = start_holder();
    assert_refused(&usual, "is in use by host ");
    assert_int_equal(kill(pid, SIGKILL), 0);
    /* Not waited for: as long as its parent does not look, the dead process keeps its number. */
    take(&patient, &lock);
    fsfm_run_lock_release(&lock);
    waitpid(pid, NULL, 0);
    pid = start_holder();
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    take(&usual, &lock);
    assert_int_equal(count_files(), 1);
    fsfm_run_lock_release(&lock);
}

static void number_used_again_is_not_the_holder(void **state)
{
    (void)state;
    fsfm_run_lock *lock = NULL;
    fsfm_lock_holder holder;
    fsfm_lock_holder_self(&holder);
    holder.pid = getppid();
    holder.pid_start = 1;
    write_lock(&holder, 0.0);
    take(&usual, &lock);
    fsfm_run_lock_release(&lock);
}

static void silent_lock_is_taken_over(void **state)
{
    (void)state;
    fsfm_run_lock *lock = NULL;
    fsfm_error err;
    const fsfm_lock_holder holder = elsewhere();
    write_lock(&holder, 50.0);
    assert_refused(&usual, "is in use by host node17, pid 4242, renewed 50 s ago");
    write_lock(&holder, 61.0);
    take(&usual, &lock);
    fsfm_run_lock_release(&lock);
    assert_ok(fsfm_file_write(lock_path, "{\"host\"", 7, &err), &err);
    assert_refused(&usual, "whose lock cannot be read");
    assert_int_equal(count_files(), 1);
    assert_ok(fsfm_file_write(lock_path, "", 0, &err), &err);
    wait_s(0.6);
    take(&quick, &lock);
    fsfm_run_lock_release(&lock);
}

/* A squeue of our own on PATH, which says what is asked of it. */
static void write_squeue(const char *body)
{
    char path[300], text[600];
    fsfm_error err;
    snprintf(path, sizeof path, "%s/squeue", folder);
    snprintf(text, sizeof text, "#!/bin/sh\necho \"$*\" >>%s/asked\n%s\n", folder, body);
    assert_ok(fsfm_file_write(path, text, strlen(text), &err), &err);
    assert_int_equal(chmod(path, 0755), 0);
}

static void slurm_says_whether_the_job_lives(void **state)
{
    (void)state;
    fsfm_run_lock *lock = NULL;
    fsfm_error err;
    fsfm_lock_holder holder = elsewhere();
    char *old_path = strdup(getenv("PATH")), path[4096], asked_path[300];
    uint8_t *asked = NULL;
    size_t size_bytes = 0;
    snprintf(path, sizeof path, "%s:%s", folder, old_path);
    snprintf(holder.job, sizeof holder.job, "77");
    write_lock(&holder, 1.0);
    setenv("PATH", "/nowhere", 1);
    assert_refused(&usual, "node17, pid 4242 (job 77), renewed 1 s ago");
    setenv("PATH", path, 1);
    const char *const alive[] = {"echo RUNNING", "echo PENDING",
                                 "echo slurm_load_jobs error: Unable to contact; exit 1", "exit 1",
                                 "kill -9 $$"};
    for (size_t i = 0; i < sizeof alive / sizeof *alive; i++) {
        write_squeue(alive[i]);
        assert_refused(&usual, "(job 77)");
    }
    const char *const gone[] = {"exit 0",
                                "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"};
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        write_squeue(gone[i]);
        write_lock(&holder, 1.0);
        take(&usual, &lock);
        fsfm_run_lock_release(&lock);
    }
    snprintf(asked_path, sizeof asked_path, "%s/asked", folder);
    assert_ok(fsfm_file_read(asked_path, &asked, &size_bytes, &err), &err);
    assert_memory_equal(asked, "-h -j 77 ", 9);
    free(asked);
    setenv("PATH", old_path, 1);
    free(old_path);
}

/* Looking says the same as taking would, and leaves nothing behind. */
static void looking_finds_the_holder(void **state)
{
    (void)state;
    fsfm_run_lock *lock = NULL;
    fsfm_error err;
    char holder[384], text[300], host[256] = "", *old_path = strdup(getenv("PATH")), path[4096];
    fsfm_lock_holder other = elsewhere();
    gethostname(host, sizeof host - 1);
    assert_false(fsfm_run_lock_is_held(folder, 60.0, holder));
    assert_string_equal(holder, "");
    take(&usual, &lock);
    assert_true(fsfm_run_lock_is_held(folder, 60.0, holder));
    snprintf(text, sizeof text, "host %s, pid %d", host, getpid());
    assert_string_equal(holder, text);
    assert_int_equal(count_files(), 1);
    fsfm_run_lock_release(&lock);
    snprintf(other.job, sizeof other.job, "77_3");
    write_lock(&other, 50.0);
    assert_true(fsfm_run_lock_is_held(folder, 60.0, holder));
    assert_string_equal(holder, "host node17, pid 4242 (job 77_3)");
    write_lock(&other, 61.0);
    assert_false(fsfm_run_lock_is_held(folder, 60.0, holder));
    assert_ok(fsfm_file_write(lock_path, "{\"host\"", 7, &err), &err);
    assert_true(fsfm_run_lock_is_held(folder, 60.0, holder));
    write_lock(&other, 1.0);
    snprintf(path, sizeof path, "%s:%s", folder, old_path);
    setenv("PATH", path, 1);
    write_squeue("exit 0");
    assert_false(fsfm_run_lock_is_held(folder, 60.0, holder));
    assert_false(fsfm_slurm_job_is_there("77_3", 10.0));
    write_squeue("echo PENDING");
    assert_true(fsfm_slurm_job_is_there("77_3", 10.0));
    assert_false(fsfm_slurm_job_is_there("", 10.0));
    write_squeue("exit 1"); /* nobody knows */
    assert_false(fsfm_slurm_job_is_there("77_3", 10.0));
    assert_false(fsfm_slurm_job_is_gone("77_3", 10.0));
    setenv("PATH", old_path, 1);
    free(old_path);
}

/* Many jobs, by one squeue, and a lock by what it said. */
static void one_answer_tells_of_many_jobs(void **state)
{
    (void)state;
    static const struct {
        const char *job;
        fsfm_slurm_state state;
    } want[] = {{"77_3", FSFM_SLURM_THERE},   {"77_4", FSFM_SLURM_GONE}, {"80", FSFM_SLURM_ENDING},
                {"77_10", FSFM_SLURM_ENDING}, {"90", FSFM_SLURM_GONE},   {"91", FSFM_SLURM_UNKNOWN}};
    fsfm_error err;
    fsfm_lock_holder other = elsewhere();
    uint8_t *asked = NULL;
    size_t size_bytes = 0;
    char path[4096], asked_path[4096], holder[384], job[64], *old_path = strdup(getenv("PATH"));
    fsfm_slurm_queue *queue = fsfm_slurm_queue_new();
    snprintf(path, sizeof path, "%s:%s", folder, old_path);
    setenv("PATH", path, 1);
    write_squeue("echo 77 77_3 PENDING; echo 80 77_10 COMPLETING; echo 78 78 RUNNING");
    assert_true(fsfm_slurm_queue_ask(queue, 10.0)); /* for none */
    snprintf(asked_path, sizeof asked_path, "%s/asked", folder);
    assert_false(fsfm_file_exists(asked_path));
    const char *const add[] = {"90", "77_4", "77_3", "80", "", "no job", "77_10"};
    for (size_t i = 0; i < sizeof add / sizeof *add; i++) assert_true(fsfm_slurm_queue_add(queue, add[i]));
    assert_true(fsfm_slurm_queue_ask(queue, 10.0));
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_int_equal(fsfm_slurm_queue_find(queue, want[i].job), want[i].state);
    assert_ok(fsfm_file_read(asked_path, &asked, &size_bytes, &err), &err);
    assert_string_equal((const char *)asked, "-h -r -o %A %i %T -j 77,80,90\n");
    free(asked);
    snprintf(other.job, sizeof other.job, "80");
    write_lock(&other, 1.0);
    assert_true(fsfm_run_lock_is_held_given(folder, 60.0, queue, holder));
    fsfm_run_lock_job(folder, job);
    assert_string_equal(job, "80");
    snprintf(other.job, sizeof other.job, "90");
    write_lock(&other, 1.0);
    assert_false(fsfm_run_lock_is_held_given(folder, 60.0, queue, holder));
    snprintf(other.job, sizeof other.job, "91"); /* was not asked for: nobody knows */
    write_lock(&other, 1.0);
    assert_true(fsfm_run_lock_is_held_given(folder, 60.0, queue, holder));
    fsfm_slurm_queue_free(&queue);
    write_squeue("exit 1");
    queue = fsfm_slurm_queue_new();
    assert_true(fsfm_slurm_queue_add(queue, "77_3"));
    assert_false(fsfm_slurm_queue_ask(queue, 10.0));
    assert_int_equal(fsfm_slurm_queue_find(queue, "77_3"), FSFM_SLURM_UNKNOWN);
    fsfm_slurm_queue_free(&queue);
    setenv("PATH", old_path, 1);
    free(old_path);
}

static void requeued_job_takes_over_its_own_lock(void **state)
{
    (void)state;
    fsfm_run_lock *lock = NULL;
    fsfm_lock_holder holder = elsewhere();
    snprintf(holder.job, sizeof holder.job, "77");
    write_lock(&holder, 1.0);
    setenv("SLURM_JOB_ID", "77", 1);
    assert_refused(&usual, "(job 77)");
    setenv("SLURM_RESTART_COUNT", "1", 1);
    take(&usual, &lock);
    fsfm_run_lock_release(&lock);
}

static void lock_is_renewed(void **state)
{
    (void)state;
    fsfm_run_lock *lock = NULL;
    struct stat before, after;
    take(&quick, &lock);
    assert_int_equal(stat(lock_path, &before), 0);
    wait_s(0.3);
    assert_int_equal(stat(lock_path, &after), 0);
    assert_true(after.st_mtim.tv_sec > before.st_mtim.tv_sec ||
                after.st_mtim.tv_nsec > before.st_mtim.tv_nsec);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_int_equal(after.st_size, before.st_size);
    wait_s(0.4); /* longer than stale_s in all */
    assert_refused(&quick, "is in use by host ");
    assert_false(fsfm_run_lock_is_lost(lock));
    fsfm_run_lock_release(&lock);
}

/* The holder that slept too long learns of it, and leaves the lock of the one that came after it alone. */
static void lost_lock_is_noticed(void **state)
{
    (void)state;
    fsfm_run_lock *lock = NULL;
    const fsfm_lock_holder other = elsewhere();
    take(&quick, &lock);
    write_lock(&other, 0.0);
    wait_s(0.3);
    assert_true(fsfm_run_lock_is_lost(lock));
    fsfm_run_lock_release(&lock);
    assert_true(fsfm_file_exists(lock_path));
    assert_refused(&usual, "node17");
}

/* Candidates that start at the same moment. Those that get the lock die with it when all have told. Returns
 * how many got it. */
static int race(int candidates)
{
    int gate[2], answers[2], hold[2], winners = 0;
    pid_t pids[16];
    char byte = 0;
    assert_true(pipe(gate) == 0 && pipe(answers) == 0 && pipe(hold) == 0);
    for (int i = 0; i < candidates; i++) {
        assert_true((pids[i] = fork()) >= 0);
        if (pids[i] != 0) continue;
        fsfm_run_lock *lock = NULL;
        fsfm_error err;
        close(gate[1]);
        close(hold[1]);
        if (read(gate[0], &byte, 1) != 0) _exit(9);
        byte = fsfm_run_lock_take(folder, &usual, &lock, &err) == FSFM_OK ? 'w'
               : strstr(err.message, "in use")                            ? 'l'
                                                                          : '?';
        if (write(answers[1], &byte, 1) != 1) _exit(9);
        _exit(byte == 'w' && read(hold[0], &byte, 1) != 0 ? 9 : 0);
    }
    close(gate[0]);
    close(gate[1]);
    close(answers[1]);
    for (int i = 0; i < candidates; i++) {
        assert_int_equal(read(answers[0], &byte, 1), 1);
        assert_true(byte == 'w' || byte == 'l');
        winners += byte == 'w';
    }
    close(answers[0]);
    close(hold[0]);
    close(hold[1]);
    for (int i = 0; i < candidates; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    return winners;
}

static void one_candidate_wins(void **state)
{
    (void)state;
    const fsfm_lock_holder silent = elsewhere();
    for (int round = 0; round < 10; round++) {
        unlink(lock_path);
        assert_int_equal(race(8), 1); /* of a free lock; its holder is dead now */
        assert_int_equal(race(8), 1);
        write_lock(&silent, 100.0);
        assert_int_equal(race(8), 1);
    }
    assert_int_equal(count_files(), 1);
}

/* A process that died while it took the lock over left its mark. */
static void left_mark_is_no_obstacle(void **state)
{
    (void)state;
    fsfm_run_lock *lock = NULL;
    char mark[400];
    const fsfm_lock_holder silent = elsewhere();
    write_lock(&silent, 100.0);
    snprintf(mark, sizeof mark, "%s/.lock-%s", folder, silent.token);
    const int fd = open(mark, O_CREAT | O_WRONLY, 0666);
    assert_true(fd >= 0);
    close(fd);
    const double start_s = fsfm_clock_monotonic_s();
    take(&quick, &lock);
    assert_true(fsfm_clock_monotonic_s() - start_s > 0.4);
    assert_int_equal(count_files(), 1);
    fsfm_run_lock_release(&lock);
}

static void folder_without_permission_is_told(void **state)
{
    (void)state;
    fsfm_error err;
    fsfm_run_lock *lock = NULL;
    assert_int_equal(chmod(folder, 0555), 0);
    if (geteuid() == 0) assert_int_equal(seteuid(65534), 0);
    const fsfm_status st = fsfm_run_lock_take(folder, &usual, &lock, &err);
    if (getuid() == 0) assert_int_equal(seteuid(0), 0);
    assert_fails(st, FSFM_ERR_IO, &err, "cannot be written: Permission denied");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(second_one_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lock_names_its_holder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lock_of_the_killed_is_taken_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(number_used_again_is_not_the_holder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silent_lock_is_taken_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(slurm_says_whether_the_job_lives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(looking_finds_the_holder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_answer_tells_of_many_jobs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requeued_job_takes_over_its_own_lock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lock_is_renewed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lost_lock_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_candidate_wins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(left_mark_is_no_obstacle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(folder_without_permission_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
