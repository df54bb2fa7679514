/* SPDX-License-Identifier: Apache-2.0
 * tests/support/nccl/nccl.c - stands in for libnccl.so.2 on the emulated device: the functions that the
 * backend calls, with NVIDIA's signatures, between processes of one machine.
 *
 * A sum is two pieces of work on the stream: the values are read when the stream comes to it, and written
 * when those of all processes are there; until then the stream stands still, and the host does not. So is an
 * exchange of two processes: a send and a receive of one length in a ncclGroupStart and ncclGroupEnd, as each
 * alone would wait for the peer's. A group is entered in the background, as by NCCL with blocking = 0, and
 * with late streams (FSFM_EMULATION_LAZY) so are some of the calls enqueued: until ncclCommGetAsyncError says
 * that a call is through, the next one is refused. When a group is entered it is written once more to where
 * the caller wants it, as by NCCL 2.14 to 2.17; a place on the caller's stack, which may be something else by
 * then, is refused.
 *
 * FSFM_EMULATION_NCCL_FAIL makes a process fail, others then wait for it for ever: "id" (ncclGetUniqueId),
 * "enter RANK", "sum RANK NUMBER" (the call, a sum or an exchange, counted from 0), "network RANK NUMBER" (it
 * never ends, and the group tells so). */
#include <dlfcn.h>
#include <nccl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/cuda/submit.h"
#include "tests/support/nccl/board.h"

#define PUBLIC __attribute__((visibility("default")))
enum { FAILURE_EXIT_CODE = 86 }; /* the emulated device's */

enum { ALL = -1 };
typedef struct {
    const float *from;
    float *to;
    int64_t count;
    int peer; /* or ALL: a sum */
    cudaStream_t stream;
} group_call;

struct ncclComm {
    ncclComm_t *wanted_at; /* NULL: has been written there for the last time */
    board *board;
    int rank, ranks;
    __typeof__(&emulated_submit_when) submit;
    int calls;
    int queued;      /* pieces of work on streams: they hold the group */
    group_call late; /* not enqueued yet */
    int late_for;    /* so many times asked for the state */
    bool is_broken;  /* by the network */
    bool is_aborted; /* to be freed when nothing is queued */
};

/* What a stream has of a call. */
typedef struct {
    ncclComm_t group;
    group_call call;
} call_work;

/* Between ncclGroupStart and ncclGroupEnd. */
static struct {
    bool is_open;
    int sends, receives;
    ncclComm_t group;
    group_call call;
} exchange;

static const char *last_error = "";
static int open_groups; /* entered and not left */

/* A group that is not left keeps a GPU's memory and threads until the process ends. */
__attribute__((destructor)) static void check_left(void)
{
    if (open_groups == 0) return;
    fprintf(stderr, "emulated device: %d groups of NCCL's are never left\n", open_groups);
    _exit(FAILURE_EXIT_CODE);
}

static ncclResult_t refuse(ncclResult_t code, const char *why)
{
    last_error = why;
    return code;
}

static bool is_told_to_fail(const char *how, int rank, int number)
{
    const char *told = getenv("FSFM_EMULATION_NCCL_FAIL");
    char word[16] = "";
    int of_rank = rank, of_number = number;
    if (!told || sscanf(told, "%15s %d %d", word, &of_rank, &of_number) < 1) return false;
    return strcmp(word, how) == 0 && of_rank == rank && of_number == number;
}

/* Some of the calls, with late streams: 0, 1 or 2. */
static int lateness(const struct ncclComm *group)
{
    const char *lazy = getenv("FSFM_EMULATION_LAZY"), *seed = getenv("FSFM_EMULATION_SEED");
    if (!lazy || strcmp(lazy, "1") != 0) return 0;
    const uint64_t mixed =
        ((seed ? strtoull(seed, NULL, 0) : 0) * 31 + (unsigned)group->calls + 1) * 0x9e3779b97f4a7c15u;
    return (int)(mixed >> 40) % 3;
}

static void release(ncclComm_t group)
{
    if (!group->is_aborted || group->queued > 0) return;
    board_close(group->board);
    free(group);
}

static bool all_have(const struct ncclComm *group, bool collected, int64_t sums)
{
    for (int r = 0; r < group->ranks; r++) {
        board_seat *seat = &group->board->seats[r];
        if (atomic_load(collected ? &seat->collected : &seat->contributed) < sums) return false;
    }
    return true;
}

/* What the process has sent has been received. */
static bool is_received(const struct ncclComm *group)
{
    for (int r = 0; r < group->ranks; r++)
        if (atomic_load(&group->board->seats[r].received[group->rank]) <
            atomic_load(&group->board->seats[group->rank].sent[r]))
            return false;
    return true;
}

static int64_t contributions(const struct ncclComm *group)
{
    board_seat *seat = &group->board->seats[group->rank];
    int64_t count = seat->contributed;
    for (int r = 0; r < group->ranks; r++) count += seat->sent[r];
    return count;
}

/* The room for values is free when all have taken what was there before. */
static bool can_contribute(const void *context)
{
    ncclComm_t group = ((const call_work *)context)->group;
    const int64_t sums = group->board->seats[group->rank].contributed;
    group->is_broken = group->is_broken || is_told_to_fail("network", group->rank, (int)contributions(group));
    return group->is_aborted || (!group->is_broken && all_have(group, true, sums) && is_received(group));
}

static void contribute(void *context)
{
    const call_work *work = context;
    ncclComm_t group = work->group;
    board_seat *seat = &group->board->seats[group->rank];
    if (!group->is_aborted) {
        memcpy(board_values(group->board, group->rank), work->call.from,
               (size_t)work->call.count * sizeof(float));
        seat->count = work->call.count;
        atomic_fetch_add(work->call.peer == ALL ? &seat->contributed : &seat->sent[work->call.peer], 1);
    }
    group->queued--;
    release(group);
}

static bool can_collect(const void *context)
{
    const call_work *work = context;
    ncclComm_t group = work->group;
    board_seat *seats = group->board->seats;
    const int me = group->rank, peer = work->call.peer;
    if (group->is_aborted) return true;
    if (peer == ALL) return all_have(group, false, seats[me].collected + 1);
    return atomic_load(&seats[peer].sent[me]) > seats[me].received[peer];
}

/* NCCL would wait for ever, or sum what does not belong together. */
static void check_count(const struct ncclComm *group, int64_t count, int r)
{
    if (group->board->seats[r].count == count) return;
    fprintf(stderr, "emulated device: NCCL has %lld floats on rank %d, %lld on rank %d\n", (long long)count,
            group->rank, (long long)group->board->seats[r].count, r);
    _exit(FAILURE_EXIT_CODE);
}

/* In the order of ranks, so that all have the same bits. */
static void collect_sum(ncclComm_t group, const group_call *call)
{
    for (int r = 0; r < group->ranks; r++) check_count(group, call->count, r);
    for (int64_t i = 0; i < call->count; i++) {
        float sum = 0.0f;
        for (int r = 0; r < group->ranks; r++) sum += board_values(group->board, r)[i];
        call->to[i] = sum;
    }
    atomic_fetch_add(&group->board->seats[group->rank].collected, 1);
}

static void collect_message(ncclComm_t group, const group_call *call)
{
    check_count(group, call->count, call->peer);
    memcpy(call->to, board_values(group->board, call->peer), (size_t)call->count * sizeof(float));
    atomic_fetch_add(&group->board->seats[group->rank].received[call->peer], 1);
}

static void collect(void *context)
{
    const call_work *work = context;
    ncclComm_t group = work->group;
    if (!group->is_aborted) {
        if (work->call.peer == ALL)
            collect_sum(group, &work->call);
        else
            collect_message(group, &work->call);
    }
    group->queued--;
    release(group);
}

static void enqueue(ncclComm_t group, const group_call *call)
{
    call_work work = {group, *call};
    group->queued += 2;
    group->submit(call->stream, can_contribute, contribute, &work, sizeof work);
    group->submit(call->stream, can_collect, collect, &work, sizeof work);
}

PUBLIC ncclResult_t ncclGetUniqueId(ncclUniqueId *out)
{
    board_address address;
    if (is_told_to_fail("id", 0, 0) || !board_make(&address))
        return refuse(ncclSystemError, "stand-in: no id");
    memset(out, 0, sizeof *out);
    memcpy(out, &address, sizeof address);
    return ncclSuccess;
}

/* The library of the emulated device is loaded already, without showing its symbols. */
static __typeof__(&emulated_submit_when) find_device(void)
{
    const char *path = getenv("FSFM_CUDA_PLUGIN");
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_NOLOAD) : NULL;
    void *symbol = library ? dlsym(library, "emulated_submit_when") : NULL;
    __typeof__(&emulated_submit_when) found = NULL;
    memcpy(&found, &symbol, sizeof found);
    return found;
}

static bool is_on_stack(const void *place)
{
    pthread_attr_t attributes;
    void *stack = NULL;
    size_t stack_bytes = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return false;
    pthread_attr_getstack(&attributes, &stack, &stack_bytes);
    pthread_attr_destroy(&attributes);
    return (const char *)place >= (const char *)stack &&
           (const char *)place < (const char *)stack + stack_bytes;
}

PUBLIC ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int ranks, ncclUniqueId id, int rank,
                                           ncclConfig_t *config)
{
    board_address address;
    *out = NULL;
    if (is_told_to_fail("enter", rank, 0)) return refuse(ncclSystemError, "stand-in: told to fail");
    if (config->blocking != 0) return refuse(ncclInvalidUsage, "stand-in: a group that blocks");
    if (is_on_stack(out)) return refuse(ncclInvalidUsage, "stand-in: the group is wanted on the stack");
    if (ranks > BOARD_SEATS) return refuse(ncclInvalidArgument, "stand-in: too many ranks");
    memcpy(&address, &id, sizeof address);
    ncclComm_t group = calloc(1, sizeof *group);
    if (!group) return refuse(ncclSystemError, "stand-in: no memory");
    *group = (struct ncclComm){.wanted_at = out,
                               .board = board_open(&address),
                               .rank = rank,
                               .ranks = ranks,
                               .submit = find_device()};
    if (!group->board || !group->submit) {
        if (group->board) board_close(group->board);
        free(group);
        return refuse(ncclSystemError, "stand-in: no board, or no emulated device");
    }
    atomic_fetch_add(&group->board->entered, 1);
    open_groups++;
    *out = group;
    return ncclInProgress;
}

static bool is_entered(ncclComm_t group)
{
    if (atomic_load(&group->board->entered) < group->ranks) return false;
    if (group->wanted_at) *group->wanted_at = group;
    group->wanted_at = NULL;
    return true;
}

PUBLIC ncclResult_t ncclCommGetAsyncError(ncclComm_t group, ncclResult_t *state)
{
    *state = ncclSuccess;
    if (group->late_for > 0 && --group->late_for == 0) enqueue(group, &group->late);
    if (group->is_broken)
        *state = refuse(ncclRemoteError, "stand-in: the network broke");
    else if (group->late_for > 0 || !is_entered(group))
        *state = ncclInProgress;
    return ncclSuccess;
}

static ncclResult_t begin_call(ncclComm_t group, const group_call *call)
{
    const int number = group->calls++;
    if (call->count > BOARD_FLOATS) return refuse(ncclInvalidArgument, "stand-in: too many floats");
    if (group->late_for > 0 || !is_entered(group))
        return refuse(ncclInvalidUsage, "stand-in: the call before is not through");
    if (is_told_to_fail("sum", group->rank, number)) return refuse(ncclSystemError, "stand-in: told to fail");
    group->late = *call;
    group->late_for = lateness(group);
    if (group->late_for > 0) return ncclInProgress;
    enqueue(group, call);
    return ncclSuccess;
}

PUBLIC ncclResult_t ncclAllReduce(const void *from, void *to, size_t count, ncclDataType_t type,
                                  ncclRedOp_t operation, ncclComm_t group, cudaStream_t stream)
{
    const group_call call = {from, to, (int64_t)count, ALL, stream};
    if (type != ncclFloat || operation != ncclSum || from != to)
        return refuse(ncclInvalidArgument, "stand-in: only sums of floats in place");
    return begin_call(group, &call);
}

PUBLIC ncclResult_t ncclGroupStart(void)
{
    memset(&exchange, 0, sizeof exchange);
    exchange.is_open = true;
    return ncclSuccess;
}

/* The second one of an exchange is to be of the same kind as the first. */
static ncclResult_t add_to_exchange(ncclDataType_t type, const group_call *call, ncclComm_t group)
{
    const group_call *first = &exchange.call;
    if (!exchange.is_open) return refuse(ncclInvalidUsage, "stand-in: waits for its peer, which waits too");
    if (type != ncclFloat || call->peer < 0 || call->peer >= group->ranks || call->peer == group->rank)
        return refuse(ncclInvalidArgument, "stand-in: only floats, with another rank");
    if (exchange.group && (exchange.group != group || first->peer != call->peer ||
                           first->count != call->count || first->stream != call->stream))
        return refuse(ncclInvalidUsage, "stand-in: only exchanges");
    exchange.group = group;
    exchange.call.count = call->count;
    exchange.call.peer = call->peer;
    exchange.call.stream = call->stream;
    if (call->from) exchange.call.from = call->from;
    if (call->to) exchange.call.to = call->to;
    return ncclSuccess;
}

PUBLIC ncclResult_t ncclSend(const void *from, size_t count, ncclDataType_t type, int peer, ncclComm_t group,
                             cudaStream_t stream)
{
    const group_call call = {from, NULL, (int64_t)count, peer, stream};
    exchange.sends++;
    return add_to_exchange(type, &call, group);
}

PUBLIC ncclResult_t ncclRecv(void *to, size_t count, ncclDataType_t type, int peer, ncclComm_t group,
                             cudaStream_t stream)
{
    const group_call call = {NULL, to, (int64_t)count, peer, stream};
    exchange.receives++;
    return add_to_exchange(type, &call, group);
}

PUBLIC ncclResult_t ncclGroupEnd(void)
{
    const group_call *call = &exchange.call;
    exchange.is_open = false;
    if (exchange.sends != 1 || exchange.receives != 1 || !exchange.group)
        return refuse(ncclInvalidUsage, "stand-in: only a send and a receive");
    if (call->from < call->to + call->count && call->to < call->from + call->count)
        return refuse(ncclInvalidUsage, "stand-in: is sent and received at once");
    return begin_call(exchange.group, call);
}

PUBLIC ncclResult_t ncclCommAbort(ncclComm_t group)
{
    open_groups--;
    group->is_aborted = true;
    release(group);
    return ncclSuccess;
}

PUBLIC const char *ncclGetErrorString(ncclResult_t result)
{
    switch (result) {
    case ncclSystemError: return "unhandled system error";
    case ncclInvalidArgument: return "invalid argument";
    case ncclInvalidUsage: return "invalid usage";
    case ncclRemoteError: return "remote process exited or there was a network error";
    default: return "unknown result code";
    }
}

PUBLIC const char *ncclGetLastError(ncclComm_t group)
{
    (void)group;
    return last_error;
}
