/* SPDX-License-Identifier: Apache-2.0 */
#include "io/slurm_job.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"

extern char **environ;

enum { JOB_BYTES = 64, JOBS_IN_LINE = 4096 };

typedef struct {
    char job[JOB_BYTES]; /* "77_3", and its number as a job, "80" */
    fsfm_slurm_state state;
} queue_entry;

struct fsfm_slurm_queue {
    bool is_known;
    int asked_count, count;
    char (*asked)[JOB_BYTES]; /* arrays as a whole; sorted once asked, and without repetition */
    queue_entry *entry;       /* (count) sorted */
};

/* Starts a program of SLURM's, with both its outputs into the pipe, whose reading end is *out. */
static bool start_program(char *const *arguments, pid_t *pid, int *out)
{
    int ends[2];
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    bool started = posix_spawn_file_actions_init(&actions) == 0;
    if (started) {
        started = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) == 0 &&
                  posix_spawn_file_actions_adddup2(&actions, ends[1], 1) == 0 &&
                  posix_spawn_file_actions_adddup2(&actions, ends[1], 2) == 0 &&
                  posix_spawnp(pid, arguments[0], &actions, NULL, arguments, environ) == 0;
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    if (started)
        *out = ends[0];
    else
        close(ends[0]);
    return started;
}

/* Reads until the writers are gone; false when time runs out first. */
static bool read_answer(int in, FILE *text, double timeout_s)
{
    const double end_s = fsfm_clock_monotonic_s() + timeout_s;
    for (;;) {
        char some[4096];
        struct pollfd ready = {.fd = in, .events = POLLIN};
        const double left_s = end_s - fsfm_clock_monotonic_s();
        if (left_s <= 0.0) return false;
        const int n = poll(&ready, 1, (int)(left_s * 1000.0) + 1);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        const ssize_t got = read(in, some, sizeof some);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return false;
        if (got == 0) return true;
        fwrite(some, 1, (size_t)got, text);
    }
}

/* What the program says, owned; NULL where nobody knows. *is_here: it could be started. */
static char *ask(char *const *arguments, double timeout_s, bool *is_here)
{
    char *text = NULL;
    size_t size_bytes = 0;
    pid_t pid = 0;
    int out = -1, state = 0;
    *is_here = false;
    FILE *stream = open_memstream(&text, &size_bytes);
    if (!stream) return NULL;
    bool is_answer = *is_here = start_program(arguments, &pid, &out);
    if (is_answer) {
        is_answer = read_answer(out, stream, timeout_s);
        close(out);
        if (!is_answer) kill(pid, SIGKILL);
        while (waitpid(pid, &state, 0) < 0 && errno == EINTR) {}
    }
    is_answer = fclose(stream) == 0 && is_answer && WIFEXITED(state);
    /* A job that ended a while ago is unknown to SLURM, which is an error to squeue where it is asked for no
     * other; one that just ended is an empty list. */
    if (is_answer && WEXITSTATUS(state) != 0) {
        is_answer = strstr(text, "Invalid job id") != NULL;
        if (is_answer) text[0] = '\0';
    }
    if (is_answer) return text;
    free(text);
    return NULL;
}

static fsfm_slurm_state ask_for(const char *job, double timeout_s)
{
    char *const arguments[] = {(char *)"squeue", (char *)"-h", (char *)"-j", (char *)job,
                               (char *)"-o",     (char *)"%T", NULL};
    bool is_here;
    char *answer = job[0] ? ask(arguments, timeout_s, &is_here) : NULL;
    if (!answer) return FSFM_SLURM_UNKNOWN;
    const bool is_there = answer[strspn(answer, " \t\n")] != '\0';
    free(answer);
    return is_there ? FSFM_SLURM_THERE : FSFM_SLURM_GONE;
}

bool fsfm_slurm_job_is_gone(const char *job, double timeout_s)
{
    return ask_for(job, timeout_s) == FSFM_SLURM_GONE;
}

bool fsfm_slurm_job_is_there(const char *job, double timeout_s)
{
    return ask_for(job, timeout_s) == FSFM_SLURM_THERE;
}

fsfm_slurm_queue *fsfm_slurm_queue_new(void)
{
    return calloc(1, sizeof(fsfm_slurm_queue));
}

void fsfm_slurm_queue_free(fsfm_slurm_queue **queue)
{
    if (!*queue) return;
    free((*queue)->asked);
    free((*queue)->entry);
    free(*queue);
    *queue = NULL;
}

/* "77_3": "77". */
static void array_of(const char *job, char out[JOB_BYTES])
{
    snprintf(out, JOB_BYTES, "%.*s", (int)strcspn(job, "_"), job);
}

bool fsfm_slurm_queue_add(fsfm_slurm_queue *queue, const char *job)
{
    char array[JOB_BYTES];
    array_of(job, array);
    if (!array[0] || array[strspn(array, "0123456789")] != '\0') return true; /* no job's number */
    if (queue->asked_count && strcmp(queue->asked[queue->asked_count - 1], array) == 0) return true;
    void *grown = realloc(queue->asked, ((size_t)queue->asked_count + 1) * sizeof *queue->asked);
    if (!grown) return false;
    queue->asked = grown;
    memcpy(queue->asked[queue->asked_count++], array, JOB_BYTES);
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b); /* of entries too, which begin with theirs */
}

static void sort_asked(fsfm_slurm_queue *queue)
{
    int kept = 0;
    qsort(queue->asked, (size_t)queue->asked_count, sizeof *queue->asked, compare_names);
    for (int i = 0; i < queue->asked_count; i++)
        if (kept == 0 || strcmp(queue->asked[kept - 1], queue->asked[i]) != 0)
            memmove(queue->asked[kept++], queue->asked[i], JOB_BYTES);
    queue->asked_count = kept;
}

/* The list behind -j; "" where it would be too long for a command, which then asks for all jobs. */
static bool list_asked(const fsfm_slurm_queue *queue, char **out)
{
    size_t size_bytes = 0;
    FILE *stream = open_memstream(out, &size_bytes);
    for (int i = 0; stream && queue->asked_count <= JOBS_IN_LINE && i < queue->asked_count; i++)
        fprintf(stream, "%s%s", i ? "," : "", queue->asked[i]);
    return stream && fclose(stream) == 0;
}

static fsfm_slurm_state state_of(const char *word)
{
    return strcmp(word, "COMPLETING") == 0 ? FSFM_SLURM_ENDING : FSFM_SLURM_THERE;
}

/* Lines "80 77_3 RUNNING". */
static bool read_queue(fsfm_slurm_queue *queue, const char *text)
{
    size_t lines = 1;
    for (const char *c = text; *c; c++) lines += *c == '\n';
    queue->entry = calloc(2 * lines, sizeof *queue->entry);
    if (!queue->entry) return false;
    for (const char *at = text; *at;) {
        char number[JOB_BYTES], name[JOB_BYTES], word[32];
        if (sscanf(at, "%63[^ \n] %63[^ \n] %31[^ \n]", number, name, word) == 3) {
            queue_entry *two = queue->entry + queue->count;
            queue->count += 2;
            two[0].state = two[1].state = state_of(word);
            memcpy(two[0].job, number, JOB_BYTES);
            memcpy(two[1].job, name, JOB_BYTES);
        }
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
    qsort(queue->entry, (size_t)queue->count, sizeof *queue->entry, compare_names);
    return true;
}

bool fsfm_slurm_queue_ask(fsfm_slurm_queue *queue, double timeout_s)
{
    char *list = NULL;
    bool is_here = false;
    if (queue->asked_count == 0) return true;
    sort_asked(queue);
    if (list_asked(queue, &list)) {
        char *arguments[] = {(char *)"squeue",   (char *)"-h", (char *)"-r", (char *)"-o",
                             (char *)"%A %i %T", (char *)"-j", list,         NULL};
        if (!*list) arguments[5] = NULL;
        char *answer = ask(arguments, timeout_s, &is_here);
        queue->is_known = answer && read_queue(queue, answer);
        free(answer);
    }
    free(list);
    return queue->is_known || !is_here;
}

fsfm_slurm_state fsfm_slurm_queue_find(const fsfm_slurm_queue *queue, const char *job)
{
    char array[JOB_BYTES], name[JOB_BYTES];
    array_of(job, array);
    if (!queue->is_known ||
        !bsearch(array, queue->asked, (size_t)queue->asked_count, sizeof *queue->asked, compare_names))
        return FSFM_SLURM_UNKNOWN;
    snprintf(name, sizeof name, "%s", job);
    const queue_entry *found =
        bsearch(name, queue->entry, (size_t)queue->count, sizeof *queue->entry, compare_names);
    return found ? found->state : FSFM_SLURM_GONE;
}

int fsfm_slurm_array_tasks_max(double timeout_s)
{
    static const char name[] = "MaxArraySize";
    char *const arguments[] = {(char *)"scontrol", (char *)"show", (char *)"config", NULL};
    bool is_here;
    int tasks = 0;
    char *answer = ask(arguments, timeout_s, &is_here);
    const char *found = answer ? strstr(answer, name) : NULL;
    if (!found || sscanf(found + sizeof name - 1, " = %d", &tasks) != 1 || tasks < 1) tasks = 1001;
    free(answer);
    return tasks;
}
