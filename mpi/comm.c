/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/comm.h"

#include <limits.h>
#include <mpi.h>
#if defined OPEN_MPI
#include <mpi-ext.h>
#endif
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"

/* What one MPI call takes at most: counts are int, and some transports copy less than 2 GiB at a time. */
enum { CHUNK_MAX = 1 << 28 };
enum { TAG_EXCHANGE, TAG_ALARM };
/* Looks of a rank that awaits others before it gives its processor to them: some microseconds. */
enum { LOOKS_MAX = 2000 };

struct fsfm_comm {
    bool has_mpi;
    MPI_Comm handle;
    int rank, size, local_rank, local_size;
    _Atomic int64_t calls; /* that wait for other ranks: begun and ended ones, so odd within one */
    bool has_given_alarm;
    char host[64];
    double spent_s; /* in MPI */
};

struct fsfm_comm_sums {
    fsfm_comm *comm;
    int count, count_max;
    int taken;
    MPI_Request *requests; /* (count_max), begun ones first; null: known to be done */
};

struct fsfm_comm_vote {
    fsfm_comm *comm;
    int64_t value;
    bool is_begun;
    MPI_Request request;
};

static void abort_job(const fsfm_comm *comm, const char *why)
{
    fprintf(stderr, "rank %d: %s\n", comm->rank, why);
    fflush(stderr);
    if (comm->has_mpi) MPI_Abort(comm->handle, 1);
    _Exit(1);
}

static void check(const fsfm_comm *comm, int code, const char *call)
{
    char text[MPI_MAX_ERROR_STRING] = "", line[MPI_MAX_ERROR_STRING + 160];
    int length = 0;
    if (code == MPI_SUCCESS) return;
    MPI_Error_string(code, text, &length);
    snprintf(line, sizeof line, "%.100s: %s", call, text);
    abort_job(comm, line);
}
/* Every call of MPI that may wait for other ranks, and its time. */
#define MPI_OR_ABORT(call)                                    \
    do {                                                      \
        const double began_s_ = fsfm_clock_monotonic_s();     \
        check(comm, (call), #call);                           \
        comm->spent_s += fsfm_clock_monotonic_s() - began_s_; \
    } while (0)

static void count_call(fsfm_comm *comm)
{
    atomic_fetch_add_explicit(&comm->calls, 1, memory_order_relaxed);
}
/* A call that ends when other ranks have come to it. */
#define MPI_WAIT_OR_ABORT(call) \
    do {                        \
        count_call(comm);       \
        MPI_OR_ABORT(call);     \
        count_call(comm);       \
    } while (0)

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value && value[0];
}

static bool started_by_launcher(void)
{
    return is_set("OMPI_COMM_WORLD_SIZE") || is_set("PMIX_RANK") || is_set("PMI_RANK") || is_set("PMI_SIZE");
}

int fsfm_comm_launched_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_set(names[i])) return atoi(getenv(names[i]));
    return 0;
}

static void find_local(fsfm_comm *comm)
{
    MPI_Comm node = MPI_COMM_NULL;
    MPI_OR_ABORT(MPI_Comm_split_type(comm->handle, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &node));
    MPI_OR_ABORT(MPI_Comm_rank(node, &comm->local_rank));
    MPI_OR_ABORT(MPI_Comm_size(node, &comm->local_size));
    MPI_OR_ABORT(MPI_Comm_free(&node));
}

fsfm_status fsfm_comm_start(fsfm_comm **out, fsfm_error *err)
{
    int level = 0;
    fsfm_comm *comm = NULL;
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    *out = NULL;
    if (!started_by_launcher() && tasks && atoi(tasks) > 1)
        return fsfm_fail(err, FSFM_ERR_COMM,
                         "srun started %s tasks that do not know of each other: use srun --mpi=pmix", tasks);
    if (!(comm = calloc(1, sizeof *comm))) return fsfm_fail(err, FSFM_ERR_MEMORY, "communicator: no memory");
    comm->size = comm->local_size = 1;
    gethostname(comm->host, sizeof comm->host - 1);
    if (started_by_launcher()) {
        if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS ||
            level < MPI_THREAD_FUNNELED) {
            free(comm);
            return fsfm_fail(err, FSFM_ERR_COMM, "MPI does not start with threads (level funneled)");
        }
        comm->has_mpi = true;
        comm->handle = MPI_COMM_WORLD;
        MPI_OR_ABORT(MPI_Comm_set_errhandler(comm->handle, MPI_ERRORS_RETURN));
        MPI_OR_ABORT(MPI_Comm_rank(comm->handle, &comm->rank));
        MPI_OR_ABORT(MPI_Comm_size(comm->handle, &comm->size));
        if (comm->size > 1) find_local(comm);
    }
    *out = comm;
    return FSFM_OK;
}

void fsfm_comm_stop(fsfm_comm **comm)
{
    if (!*comm) return;
    fsfm_comm_alarm_end(*comm);
    if ((*comm)->has_mpi) MPI_Finalize();
    free(*comm);
    *comm = NULL;
}

int fsfm_comm_rank(const fsfm_comm *comm)
{
    return comm->rank;
}

int fsfm_comm_size(const fsfm_comm *comm)
{
    return comm->size;
}

int fsfm_comm_local_rank(const fsfm_comm *comm)
{
    return comm->local_rank;
}

int fsfm_comm_local_size(const fsfm_comm *comm)
{
    return comm->local_size;
}

const char *fsfm_comm_host(const fsfm_comm *comm)
{
    return comm->host;
}

double fsfm_comm_spent_s(const fsfm_comm *comm)
{
    return comm->spent_s;
}

const char *fsfm_comm_library(char *out, size_t size_bytes)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    MPI_Get_library_version(text, &length);
    snprintf(out, size_bytes, "%.*s", (int)strcspn(text, ",\n"), text);
    return out;
}

fsfm_status fsfm_comm_agree(fsfm_comm *comm, fsfm_status mine, fsfm_error *err)
{
    fsfm_error unread = {FSFM_OK, ""};
    int first = mine == FSFM_OK ? INT_MAX : comm->rank;
    if (!err) err = &unread;
    if (comm->size == 1) return mine;
    MPI_WAIT_OR_ABORT(MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, comm->handle));
    if (first == INT_MAX) return FSFM_OK;
    if (comm->rank == first) {
        err->status = mine;
        if (comm->local_size < comm->size)
            fsfm_context(err, "rank %d (%s)", comm->rank, comm->host);
        else
            fsfm_context(err, "rank %d", comm->rank);
    }
    MPI_WAIT_OR_ABORT(MPI_Bcast(err, (int)sizeof *err, MPI_BYTE, first, comm->handle));
    return err->status;
}

void fsfm_comm_barrier(fsfm_comm *comm)
{
    if (comm->size > 1) MPI_WAIT_OR_ABORT(MPI_Barrier(comm->handle));
}

void fsfm_comm_broadcast(fsfm_comm *comm, void *bytes, int64_t size_bytes, int root)
{
    if (comm->size == 1) return;
    for (int64_t done = 0; done < size_bytes; done += CHUNK_MAX) {
        const int64_t left = size_bytes - done;
        MPI_WAIT_OR_ABORT(MPI_Bcast((char *)bytes + done, (int)(left < CHUNK_MAX ? left : CHUNK_MAX),
                                    MPI_BYTE, root, comm->handle));
    }
}

/* In place; elements of type, size_bytes each. */
static void reduce_all(fsfm_comm *comm, void *values, int64_t count, size_t size_bytes, MPI_Datatype type,
                       MPI_Op op)
{
    if (comm->size == 1) return;
    for (int64_t done = 0; done < count; done += CHUNK_MAX) {
        const int64_t left = count - done;
        MPI_WAIT_OR_ABORT(MPI_Allreduce(MPI_IN_PLACE, (char *)values + (size_t)done * size_bytes,
                                        (int)(left < CHUNK_MAX ? left : CHUNK_MAX), type, op, comm->handle));
    }
}

void fsfm_comm_sum_i64(fsfm_comm *comm, int64_t *values, int64_t count)
{
    reduce_all(comm, values, count, sizeof *values, MPI_INT64_T, MPI_SUM);
}

void fsfm_comm_max_i64(fsfm_comm *comm, int64_t *values, int64_t count)
{
    reduce_all(comm, values, count, sizeof *values, MPI_INT64_T, MPI_MAX);
}

void fsfm_comm_max_double(fsfm_comm *comm, double *values, int64_t count)
{
    reduce_all(comm, values, count, sizeof *values, MPI_DOUBLE, MPI_MAX);
}

void fsfm_comm_sum_float(fsfm_comm *comm, float *values, int64_t count)
{
    reduce_all(comm, values, count, sizeof *values, MPI_FLOAT, MPI_SUM);
}

void fsfm_comm_sum_double(fsfm_comm *comm, double *values, int64_t count)
{
    reduce_all(comm, values, count, sizeof *values, MPI_DOUBLE, MPI_SUM);
}

static MPI_Comm begin_trial(fsfm_comm *comm)
{
    MPI_Comm apart = MPI_COMM_NULL;
    MPI_WAIT_OR_ABORT(MPI_Comm_dup(comm->handle, &apart));
    MPI_OR_ABORT(MPI_Comm_set_errhandler(apart, MPI_ERRORS_RETURN));
    return apart;
}

/* After a failure some of the trial may still be under way: its communicator is then left as it is. */
static fsfm_status end_trial(fsfm_comm *comm, MPI_Comm apart, int code, fsfm_error *err)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    if (code == MPI_SUCCESS) {
        MPI_OR_ABORT(MPI_Comm_free(&apart));
        return FSFM_OK;
    }
    MPI_Error_string(code, text, &length);
    return fsfm_fail(err, FSFM_ERR_COMM, "MPI: %.200s", text);
}

fsfm_status fsfm_comm_try_sum_float(fsfm_comm *comm, float *values, int64_t count, fsfm_error *err)
{
    if (comm->size == 1) return FSFM_OK;
    FSFM_ASSERT(count <= CHUNK_MAX);
    MPI_Comm apart = begin_trial(comm);
    count_call(comm);
    const int code = MPI_Allreduce(MPI_IN_PLACE, values, (int)count, MPI_FLOAT, MPI_SUM, apart);
    count_call(comm);
    return end_trial(comm, apart, code, err);
}

fsfm_status fsfm_comm_try_exchange(fsfm_comm *comm, int peer, const void *mine, void *theirs,
                                   int64_t size_bytes, fsfm_error *err)
{
    const int bytes = (int)size_bytes;
    FSFM_ASSERT(size_bytes <= INT_MAX);
    MPI_Comm apart = begin_trial(comm);
    count_call(comm);
    const int code = MPI_Sendrecv(mine, bytes, MPI_BYTE, peer, TAG_EXCHANGE, theirs, bytes, MPI_BYTE, peer,
                                  TAG_EXCHANGE, apart, MPI_STATUS_IGNORE);
    count_call(comm);
    return end_trial(comm, apart, code, err);
}

bool fsfm_comm_takes_device_memory(void)
{
    const char *told = getenv("FSFM_MPI_CUDA");
    if (told && strcmp(told, "1") == 0) return true;
#if defined MPIX_CUDA_AWARE_SUPPORT
    return MPIX_Query_cuda_support() == 1;
#else
    return false;
#endif
}

void fsfm_comm_gather_all(fsfm_comm *comm, const void *mine, int64_t size_bytes, void *out)
{
    char *slot = (char *)out + comm->rank * size_bytes;
    if (comm->size > 1 && size_bytes <= CHUNK_MAX) {
        MPI_WAIT_OR_ABORT(
            MPI_Allgather(mine, (int)size_bytes, MPI_BYTE, out, (int)size_bytes, MPI_BYTE, comm->handle));
        return;
    }
    memcpy(slot, mine, (size_t)size_bytes);
    if (comm->size == 1) return;
    for (int rank = 0; rank < comm->size; rank++)
        fsfm_comm_broadcast(comm, (char *)out + rank * size_bytes, size_bytes, rank);
}

fsfm_status fsfm_comm_sums_open(fsfm_comm *comm, int count_max, fsfm_comm_sums **out, fsfm_error *err)
{
    fsfm_comm_sums *sums = calloc(1, sizeof *sums);
    MPI_Request *requests = calloc((size_t)count_max + 1, sizeof *requests);
    *out = NULL;
    if (!sums || !requests) {
        free(sums);
        free(requests);
        return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for %d sums", count_max);
    }
    sums->comm = comm;
    sums->count_max = count_max;
    sums->requests = requests;
    *out = sums;
    return FSFM_OK;
}

void fsfm_comm_sums_begin(fsfm_comm_sums *sums, float *values, int64_t count)
{
    fsfm_comm *comm = sums->comm;
    if (comm->size == 1) return;
    FSFM_ASSERT(sums->count < sums->count_max && count <= INT_MAX);
    MPI_OR_ABORT(MPI_Iallreduce(MPI_IN_PLACE, values, (int)count, MPI_FLOAT, MPI_SUM, comm->handle,
                                &sums->requests[sums->count++]));
}

void fsfm_comm_sums_progress(fsfm_comm_sums *sums)
{
    fsfm_comm *comm = sums->comm;
    int done;
    if (sums->count) MPI_OR_ABORT(MPI_Testall(sums->count, sums->requests, &done, MPI_STATUSES_IGNORE));
}

bool fsfm_comm_sums_take(fsfm_comm_sums *sums, bool waits)
{
    fsfm_comm *comm = sums->comm;
    int done = 1;
    if (comm->size == 1) return true;
    FSFM_ASSERT(sums->taken < sums->count);
    MPI_Request *request = &sums->requests[sums->taken];
    if (waits)
        MPI_WAIT_OR_ABORT(MPI_Wait(request, MPI_STATUS_IGNORE));
    else
        MPI_OR_ABORT(MPI_Test(request, &done, MPI_STATUS_IGNORE));
    sums->taken += done;
    return done;
}

void fsfm_comm_sums_finish(fsfm_comm_sums *sums)
{
    fsfm_comm *comm = sums->comm;
    if (sums->count) MPI_WAIT_OR_ABORT(MPI_Waitall(sums->count, sums->requests, MPI_STATUSES_IGNORE));
    sums->count = sums->taken = 0;
}

void fsfm_comm_sums_close(fsfm_comm_sums **sums)
{
    if (!*sums) return;
    fsfm_comm_sums_finish(*sums);
    free((*sums)->requests);
    free(*sums);
    *sums = NULL;
}

fsfm_status fsfm_comm_vote_open(fsfm_comm *comm, fsfm_comm_vote **out, fsfm_error *err)
{
    fsfm_comm_vote *vote = calloc(1, sizeof *vote);
    *out = vote;
    if (!vote) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a vote");
    vote->comm = comm;
    return FSFM_OK;
}

int64_t fsfm_comm_vote_next(fsfm_comm_vote *vote, int64_t mine)
{
    fsfm_comm *comm = vote->comm;
    if (comm->size == 1) return mine;
    if (vote->is_begun) MPI_WAIT_OR_ABORT(MPI_Wait(&vote->request, MPI_STATUS_IGNORE));
    const int64_t answer = vote->is_begun ? vote->value : 0;
    vote->value = mine;
    vote->is_begun = true;
    MPI_OR_ABORT(
        MPI_Iallreduce(MPI_IN_PLACE, &vote->value, 1, MPI_INT64_T, MPI_MAX, comm->handle, &vote->request));
    return answer;
}

void fsfm_comm_vote_end(fsfm_comm_vote *vote)
{
    fsfm_comm *comm = vote->comm;
    if (vote->is_begun) MPI_WAIT_OR_ABORT(MPI_Wait(&vote->request, MPI_STATUS_IGNORE));
    vote->is_begun = false;
}

void fsfm_comm_vote_close(fsfm_comm_vote **vote)
{
    if (!*vote) return;
    fsfm_comm_vote_end(*vote);
    free(*vote);
    *vote = NULL;
}

static void pause_briefly(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

void fsfm_comm_await(fsfm_comm *comm, bool (*has_come)(const void *context), const void *context)
{
    for (int look = 0; look < LOOKS_MAX; look++) {
        if (has_come(context)) return;
        pause_briefly();
    }
    count_call(comm);
    while (!has_come(context)) {
        int is_there = 0;
        if (comm->has_mpi)
            check(comm, MPI_Iprobe(MPI_ANY_SOURCE, TAG_ALARM, comm->handle, &is_there, MPI_STATUS_IGNORE),
                  "MPI_Iprobe");
        sched_yield();
    }
    count_call(comm);
}

void fsfm_comm_spend(fsfm_comm *comm, double seconds)
{
    comm->spent_s += seconds;
}

void fsfm_comm_exchange(fsfm_comm *comm, int peer, const void *mine, void *theirs, int64_t size_bytes)
{
    for (int64_t done = 0; done < size_bytes; done += CHUNK_MAX) {
        const int64_t left = size_bytes - done;
        const int now = (int)(left < CHUNK_MAX ? left : CHUNK_MAX);
        MPI_WAIT_OR_ABORT(MPI_Sendrecv((const char *)mine + done, now, MPI_BYTE, peer, TAG_EXCHANGE,
                                       (char *)theirs + done, now, MPI_BYTE, peer, TAG_EXCHANGE, comm->handle,
                                       MPI_STATUS_IGNORE));
    }
}

/* Messages without content, of which alarm_end() receives every one. */
void fsfm_comm_alarm(fsfm_comm *comm)
{
    if (comm->size == 1 || comm->has_given_alarm) return;
    comm->has_given_alarm = true;
    for (int peer = 0; peer < comm->size; peer++) {
        MPI_Request request;
        if (peer == comm->rank) continue;
        MPI_OR_ABORT(MPI_Isend(NULL, 0, MPI_BYTE, peer, TAG_ALARM, comm->handle, &request));
        MPI_OR_ABORT(MPI_Request_free(&request));
    }
}

bool fsfm_comm_is_alarmed(fsfm_comm *comm)
{
    int is_there = 0;
    if (comm->size == 1) return false;
    MPI_OR_ABORT(MPI_Iprobe(MPI_ANY_SOURCE, TAG_ALARM, comm->handle, &is_there, MPI_STATUS_IGNORE));
    return is_there != 0;
}

void fsfm_comm_alarm_end(fsfm_comm *comm)
{
    int64_t given = comm->has_given_alarm;
    fsfm_comm_sum_i64(comm, &given, 1);
    for (given -= comm->has_given_alarm; given > 0; given--)
        MPI_OR_ABORT(MPI_Recv(NULL, 0, MPI_BYTE, MPI_ANY_SOURCE, TAG_ALARM, comm->handle, MPI_STATUS_IGNORE));
    comm->has_given_alarm = false;
}

typedef struct {
    double seconds;
    int rank, code;
    char host[sizeof((fsfm_comm *)0)->host];
} late_end;

static void *end_late(void *context)
{
    const late_end *end = context;
    const struct timespec wait = {(time_t)end->seconds, 0};
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    nanosleep(&wait, NULL);
    fprintf(stderr,
            "fsfm: rank %d (%s) is done, but another one has not come to the end for %.0f s: it is lost\n",
            end->rank, end->host, end->seconds);
    fflush(stderr);
    _exit(end->code);
}

void fsfm_comm_end_within(const fsfm_comm *comm, double seconds, int code)
{
    pthread_t thread;
    late_end *end = comm->size > 1 ? malloc(sizeof *end) : NULL;
    if (!end) return;
    *end = (late_end){.seconds = seconds, .rank = comm->rank, .code = code};
    memcpy(end->host, comm->host, sizeof end->host);
    if (pthread_create(&thread, NULL, end_late, end) == 0)
        pthread_detach(thread); /* the end of the process ends it, and gives its memory back */
    else
        free(end);
}

void fsfm_comm_end(fsfm_comm *comm, int code)
{
    if (comm->has_mpi) MPI_Abort(comm->handle, code);
    _Exit(code);
}

int64_t fsfm_comm_calls(const fsfm_comm *comm, bool *waits)
{
    const int64_t calls = atomic_load_explicit(&comm->calls, memory_order_relaxed);
    *waits = calls & 1;
    return calls;
}
