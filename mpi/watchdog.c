/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/watchdog.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/options.h"
#include "core/base/stack.h"
#include "io/file.h"
#include "io/run_directory.h"
#include "mpi/checkpoint_folder.h"
#include "mpi/heartbeats.h"

/* Fewer bytes are those of locks and records, which are renewed whatever the run does. */
#define BYTES_OF_PROGRESS (1 << 20)
#define LOOKS_PER_TIMEOUT 20
#define PERIOD_LEAST_S 0.1
#define PERIOD_MOST_S 5.0
#define SILENCE_PERIODS 5
#define SILENCE_LEAST_S 1.5
#define STACK_WAIT_S 3.0 /* the rank itself waits for a second */
#define END_WAIT_S 10.0  /* for files on a dead disk, and for MPI to end */

static const char *const phase_names[FSFM_PHASES] = {
    "start", "reading", "saving", "target", "forward and backward", "update", "evaluation", "picture"};

struct fsfm_watchdog {
    fsfm_watchdog_setup setup;
    fsfm_heartbeats *beats;
    int rank, ranks;
    double period_s, silence_s;
    char *stack; /* FSFM_STACK_TEXT */

    /* Told by the run. */
    _Atomic int64_t told, step;
    atomic_int phase;

    pthread_t thread;
    bool has_thread;
    int wake; /* an eventfd: close() ends the thread's waiting */

    /* The thread's own. */
    int64_t seen_told;
    int64_t seen_bytes;
    double looked_s;
    fsfm_heartbeat mine;
    atomic_int end_code;
};

typedef enum { GOES_ON, SILENT, STUCK, ALL_WAIT, UNKNOWN } verdict_kind;

typedef struct {
    verdict_kind kind;
    int rank; /* that is behind; ALL_WAIT: that has come least far; UNKNOWN: this one */
    fsfm_heartbeat last;
    bool is_heard;
    int unheard; /* ranks that were never heard */
} verdict;

void fsfm_watchdog_tell(fsfm_watchdog *watchdog, fsfm_phase phase, int64_t step)
{
    if (!watchdog) return;
    atomic_store_explicit(&watchdog->phase, (int)phase, memory_order_relaxed);
    atomic_store_explicit(&watchdog->step, step, memory_order_relaxed);
    atomic_fetch_add_explicit(&watchdog->told, 1, memory_order_relaxed);
}

/* What this process has read and written so far, of files and pipes; 0 where the system does not say. */
static int64_t bytes_moved(void)
{
    char line[64];
    int64_t total = 0, bytes = 0;
    FILE *file = fopen("/proc/self/io", "re");
    if (!file) return 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "rchar: %" SCNd64, &bytes) == 1 || sscanf(line, "wchar: %" SCNd64, &bytes) == 1)
            total += bytes;
    fclose(file);
    return total;
}

/* A process that was stopped and goes on has not hung while it did not run: so no look counts for more than
 * two periods. */
static void look(fsfm_watchdog *w)
{
    const double now_s = fsfm_clock_monotonic_s(), passed_s = now_s - w->looked_s;
    const int64_t told = atomic_load(&w->told), bytes = bytes_moved();
    const int phase = atomic_load(&w->phase);
    bool waits = false;
    const int64_t calls = fsfm_comm_calls(w->setup.comm, &waits);
    const bool moves = phase <= FSFM_PHASE_SAVING && bytes - w->seen_bytes >= BYTES_OF_PROGRESS;
    const bool goes_on = told != w->seen_told || calls != w->mine.calls || moves;
    w->looked_s = now_s;
    w->mine.stalled_s =
        goes_on ? 0 : w->mine.stalled_s + (passed_s < 2 * w->period_s ? passed_s : 2 * w->period_s);
    if (goes_on) w->seen_bytes = bytes;
    w->seen_told = told;
    w->mine.calls = calls;
    w->mine.waits = waits;
    w->mine.phase = phase;
    w->mine.step = atomic_load(&w->step);
}

static bool is_behind(const fsfm_heartbeat *a, const fsfm_heartbeat *b)
{
    return a->step != b->step ? a->step < b->step : a->calls < b->calls;
}

/* Adds what is known of one rank. Silence goes before all else: who is silent may hold up one that seems
 * stuck. */
static void weigh(const fsfm_watchdog *w, int rank, verdict *v)
{
    fsfm_heartbeat beat = w->mine;
    double age_s = 0;
    if (rank != w->rank && !fsfm_heartbeats_last(w->beats, rank, &beat, &age_s)) {
        v->unheard++;
        return;
    }
    const bool is_silent = age_s > w->silence_s;
    const verdict_kind kind = is_silent ? SILENT : beat.waits ? ALL_WAIT : STUCK;
    if (v->kind == GOES_ON) return;
    if (!is_silent && beat.stalled_s + age_s < w->setup.timeout_s - 2 * w->period_s) {
        v->kind = GOES_ON;
        return;
    }
    if (v->is_heard && (kind > v->kind || (kind == v->kind && !is_behind(&beat, &v->last)))) return;
    *v = (verdict){kind, rank, beat, true, v->unheard};
}

static verdict judge(const fsfm_watchdog *w)
{
    verdict v = {.kind = UNKNOWN, .rank = w->rank};
    for (int r = 0; r < w->ranks; r++) weigh(w, r, &v);
    if (v.kind == ALL_WAIT && v.unheard) v.kind = UNKNOWN;
    return v;
}

/* "state T (stopped)" where the process is on this host; else "". */
static void describe_process(const fsfm_watchdog *w, int rank, char *out, size_t size_bytes)
{
    const fsfm_heartbeat_place *place = fsfm_heartbeats_place(w->beats, rank);
    char path[64], line[128], state[64] = "";
    out[0] = '\0';
    if (strcmp(place->host, fsfm_heartbeats_place(w->beats, w->rank)->host) != 0) return;
    snprintf(path, sizeof path, "/proc/%ld/status", (long)place->process);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "State: %63[^\n]", state) == 1) break;
    if (file) fclose(file);
    snprintf(out, size_bytes, "; its process is %s%s", state[0] ? "in state " : "gone", state);
}

static void print_verdict(const fsfm_watchdog *w, const verdict *v)
{
    const fsfm_heartbeat_place *place = fsfm_heartbeats_place(w->beats, v->rank);
    char state[128] = "";
    fprintf(stderr, "fsfm: rank %d (%s, process %ld) ", v->rank, place->host, (long)place->process);
    if (v->kind == SILENT) {
        describe_process(w, v->rank, state, sizeof state);
        fprintf(stderr, "does not answer: it is stopped, or its node is lost; it was last heard at");
    } else
        fprintf(stderr, v->kind == STUCK ? "hangs at" : "waits for other ranks at");
    fprintf(stderr, " step %" PRId64 ", \"%s%s\"%s", v->last.step, phase_names[v->last.phase],
            v->last.waits ? ", sum over ranks" : "", state);
    if (v->kind == ALL_WAIT)
        fprintf(stderr, ", as all do: the network between them is dead, or they wait for different things");
    if (v->kind == UNKNOWN)
        fprintf(stderr, "; it is not known for whom, as %d of %d ranks are not heard by UDP (FSFM_INTERFACE)",
                v->unheard, w->ranks);
    fprintf(stderr, ". Nothing has gone on for %.0f s (run.hang_timeout_s)\n", w->setup.timeout_s);
    fflush(stderr);
}

static void print_stack(fsfm_watchdog *w, const verdict *v)
{
    if (v->kind == SILENT) return;
    if (v->rank == w->rank)
        fsfm_stack_take(w->stack, FSFM_STACK_TEXT);
    else if (!fsfm_heartbeats_ask_stack(w->beats, v->rank, STACK_WAIT_S, w->stack))
        snprintf(w->stack, FSFM_STACK_TEXT, "its stack did not arrive\n");
    fputs(w->stack, stderr);
    fflush(stderr);
}

/* A dead disk or network must not keep what ends the job. */
static void *end_anyway(void *context)
{
    const fsfm_watchdog *w = context;
    sleep((unsigned)END_WAIT_S);
    _exit(atomic_load(&w->end_code));
}

static bool has_checkpoint(const fsfm_watchdog *w)
{
    char folder[FSFM_TEXT_SIZE];
    int64_t *steps = NULL, count = 0;
    fsfm_error err;
    if (fsfm_path_join(folder, sizeof folder, w->setup.run_dir, "checkpoints", &err) != FSFM_OK ||
        fsfm_checkpoint_folder_list(folder, &steps, &count, &err) != FSFM_OK)
        return false;
    free(steps);
    return count > 0;
}

/* Names what hangs, and ends all ranks. Where the disk does not even say whether there is a checkpoint, the
 * job ends with 75: whoever starts it again sees. */
static void end_job(fsfm_watchdog *w, const verdict *v)
{
    pthread_t guard;
    fsfm_error err;
    atomic_store(&w->end_code, w->setup.exit_code(FSFM_ERR_INTERRUPTED));
    print_verdict(w, v);
    print_stack(w, v);
    (void)!pthread_create(&guard, NULL, end_anyway, w);
    const bool goes_on = has_checkpoint(w);
    const int code = w->setup.exit_code(goes_on ? FSFM_ERR_INTERRUPTED : FSFM_ERR_COMM);
    atomic_store(&w->end_code, code);
    if (fsfm_run_state_write(w->setup.run_dir, goes_on ? "stopped" : "failed", code, w->mine.step, &err) !=
        FSFM_OK)
        fprintf(stderr, "fsfm: %s\n", err.message);
    fsfm_comm_end(w->setup.comm, code);
}

/* The second listener speaks where the first is silent; where it never heard of that one it leaves it more
 * time. */
static bool is_my_turn(const fsfm_watchdog *w)
{
    const int listener = fsfm_heartbeats_listener(w->beats);
    fsfm_heartbeat first;
    double age_s = 0;
    if (listener <= 0) return listener == 0;
    if (fsfm_heartbeats_last(w->beats, 0, &first, &age_s)) return age_s > w->silence_s;
    return w->mine.stalled_s > w->setup.timeout_s + END_WAIT_S;
}

static void *watch(void *context)
{
    fsfm_watchdog *w = context;
    uint64_t rung = 0;
    sigset_t all;
    sigfillset(&all); /* signals are the training thread's */
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    while (read(w->wake, &rung, sizeof rung) != sizeof rung) {
        look(w);
        fsfm_heartbeats_send(w->beats, &w->mine);
        if (w->mine.stalled_s >= w->setup.timeout_s && is_my_turn(w)) {
            const verdict v = judge(w);
            if (v.kind != GOES_ON) end_job(w, &v);
        }
        if (fsfm_heartbeats_receive(w->beats, w->wake, w->period_s)) {
            fsfm_stack_take(w->stack, FSFM_STACK_TEXT);
            fsfm_heartbeats_answer_stack(w->beats, w->stack);
        }
    }
    return NULL;
}

static double clamp(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

static fsfm_status start(fsfm_watchdog *w, fsfm_error *err)
{
    w->looked_s = fsfm_clock_monotonic_s();
    w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->wake >= 0) w->has_thread = pthread_create(&w->thread, NULL, watch, w) == 0;
    return w->has_thread ? FSFM_OK : fsfm_fail(err, FSFM_ERR_MEMORY, "watchdog: no thread can be started");
}

fsfm_status fsfm_watchdog_open(const fsfm_watchdog_setup *setup, fsfm_watchdog **out, fsfm_error *err)
{
    fsfm_watchdog *w = calloc(1, sizeof *w);
    fsfm_status st = FSFM_OK;
    *out = NULL;
    if (w) w->stack = calloc(1, FSFM_STACK_TEXT);
    if (!w || !w->stack) st = fsfm_fail(err, FSFM_ERR_MEMORY, "watchdog: no memory");
    if ((st = fsfm_comm_agree(setup->comm, st, err)) != FSFM_OK) goto failed;
    w->setup = *setup;
    w->wake = -1;
    w->rank = fsfm_comm_rank(setup->comm);
    w->ranks = fsfm_comm_size(setup->comm);
    w->period_s = clamp(setup->timeout_s / LOOKS_PER_TIMEOUT, PERIOD_LEAST_S, PERIOD_MOST_S);
    w->silence_s = clamp(SILENCE_PERIODS * w->period_s, SILENCE_LEAST_S, INFINITY);
    if ((st = fsfm_heartbeats_open(setup->comm, &w->beats, err)) != FSFM_OK) goto failed;
    fsfm_stack_watch();
    if ((st = fsfm_comm_agree(setup->comm, start(w, err), err)) != FSFM_OK) goto failed;
    *out = w;
    return FSFM_OK;
failed:
    fsfm_watchdog_close(&w);
    return st;
}

void fsfm_watchdog_close(fsfm_watchdog **watchdog)
{
    fsfm_watchdog *w = *watchdog;
    const uint64_t ring = 1;
    if (!w) return;
    if (w->has_thread) {
        (void)!write(w->wake, &ring, sizeof ring);
        pthread_join(w->thread, NULL);
        fsfm_stack_unwatch();
    }
    if (w->beats && w->wake >= 0) close(w->wake);
    fsfm_heartbeats_close(&w->beats);
    free(w->stack);
    free(w);
    *watchdog = NULL;
}
