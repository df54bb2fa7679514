/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/cuda/nccl.h"

#if defined FSFM_NCCL

#include <dlfcn.h>
#include <nccl.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(ncclUniqueId) == FSFM_WIRE_GROUP_ID_SIZE, "ids travel as bytes");

typedef struct {
    void *library; /* NULL: not loaded */
    __typeof__(&ncclGetUniqueId) id;
    __typeof__(&ncclCommInitRankConfig) enter;
    __typeof__(&ncclCommGetAsyncError) state;
    __typeof__(&ncclAllReduce) sum;
    __typeof__(&ncclGroupStart) begin;
    __typeof__(&ncclSend) send;
    __typeof__(&ncclRecv) receive;
    __typeof__(&ncclGroupEnd) end;
    __typeof__(&ncclCommAbort) leave;
    __typeof__(&ncclGetErrorString) text;
    __typeof__(&ncclGetLastError) details;
} nccl_library;

static bool find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol); /* as POSIX has it for functions */
    return symbol != NULL;
}

/* Loaded once, for good. */
static fsfm_status load(const nccl_library **out, fsfm_error *err)
{
    static nccl_library nccl;
    *out = &nccl;
    if (nccl.library) return FSFM_OK;
    const char *given = getenv("FSFM_NCCL_LIBRARY"), *name = given && given[0] ? given : "libnccl.so.2";
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) return fsfm_fail(err, FSFM_ERR_DEVICE, "NCCL: %s", dlerror());
    if (!find(library, "ncclGetUniqueId", &nccl.id) ||
        !find(library, "ncclCommInitRankConfig", &nccl.enter) ||
        !find(library, "ncclCommGetAsyncError", &nccl.state) || !find(library, "ncclAllReduce", &nccl.sum) ||
        !find(library, "ncclGroupStart", &nccl.begin) || !find(library, "ncclSend", &nccl.send) ||
        !find(library, "ncclRecv", &nccl.receive) || !find(library, "ncclGroupEnd", &nccl.end) ||
        !find(library, "ncclCommAbort", &nccl.leave) || !find(library, "ncclGetErrorString", &nccl.text) ||
        !find(library, "ncclGetLastError", &nccl.details)) {
        dlclose(library);
        return fsfm_fail(err, FSFM_ERR_DEVICE,
                         "NCCL: %.200s lacks functions that are wanted: expected 2.14 or later", name);
    }
    nccl.library = library;
    return FSFM_OK;
}

/* A call that goes on by itself has not failed. */
static fsfm_status check(const nccl_library *nccl, ncclResult_t code, const char *what, fsfm_error *err)
{
    if (code == ncclSuccess || code == ncclInProgress) return FSFM_OK;
    const char *details = nccl->details(NULL);
    const bool has_details = details && details[0];
    return fsfm_fail(err, FSFM_ERR_DEVICE, "NCCL: %s: %s%s%.200s%s", what, nccl->text(code),
                     has_details ? " (" : "", has_details ? details : "", has_details ? ")" : "");
}

fsfm_status fsfm_cuda_nccl_id(fsfm_cuda_nccl *group, unsigned char id[FSFM_WIRE_GROUP_ID_SIZE],
                              fsfm_error *err)
{
    (void)group;
    const nccl_library *nccl;
    ncclUniqueId made;
    FSFM_TRY(load(&nccl, err));
    FSFM_TRY(check(nccl, nccl->id(&made), "ncclGetUniqueId", err));
    memcpy(id, &made, sizeof made);
    return FSFM_OK;
}

fsfm_status fsfm_cuda_nccl_enter(fsfm_cuda_nccl *group, const unsigned char id[FSFM_WIRE_GROUP_ID_SIZE],
                                 int rank, int ranks, fsfm_error *err)
{
    const nccl_library *nccl;
    ncclUniqueId made;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    FSFM_TRY(load(&nccl, err));
    memcpy(&made, id, sizeof made);
    return check(nccl, nccl->enter(&group->group, ranks, made, rank, &config), "ncclCommInitRankConfig", err);
}

fsfm_status fsfm_cuda_nccl_is_ready(const fsfm_cuda_nccl *group, bool *is_ready, fsfm_error *err)
{
    const nccl_library *nccl;
    ncclResult_t state = ncclSuccess;
    *is_ready = false;
    FSFM_TRY(load(&nccl, err));
    FSFM_TRY(check(nccl, nccl->state(group->group, &state), "ncclCommGetAsyncError", err));
    *is_ready = state == ncclSuccess;
    return check(nccl, state, "its group of GPUs", err);
}

fsfm_status fsfm_cuda_nccl_sum(fsfm_cuda_nccl *group, float *values_dev, int64_t count, cudaStream_t stream,
                               fsfm_error *err)
{
    const nccl_library *nccl;
    FSFM_TRY(load(&nccl, err));
    return check(nccl,
                 nccl->sum(values_dev, values_dev, (size_t)count, ncclFloat, ncclSum, group->group, stream),
                 "ncclAllReduce", err);
}

fsfm_status fsfm_cuda_nccl_exchange(fsfm_cuda_nccl *group, int peer, const float *mine_dev, float *theirs_dev,
                                    int64_t count, cudaStream_t stream, fsfm_error *err)
{
    const nccl_library *nccl;
    FSFM_TRY(load(&nccl, err));
    FSFM_TRY(check(nccl, nccl->begin(), "ncclGroupStart", err));
    const ncclResult_t sent = nccl->send(mine_dev, (size_t)count, ncclFloat, peer, group->group, stream);
    const ncclResult_t received =
        nccl->receive(theirs_dev, (size_t)count, ncclFloat, peer, group->group, stream);
    const ncclResult_t ended = nccl->end(); /* of what was begun, whatever came between */
    FSFM_TRY(check(nccl, sent, "ncclSend", err));
    FSFM_TRY(check(nccl, received, "ncclRecv", err));
    return check(nccl, ended, "ncclGroupEnd", err);
}

void fsfm_cuda_nccl_leave(fsfm_cuda_nccl *group)
{
    const nccl_library *nccl;
    fsfm_error ignored;
    if (group->group && load(&nccl, &ignored) == FSFM_OK) nccl->leave(group->group);
    group->group = NULL;
}

#else

static fsfm_status not_built(fsfm_error *err)
{
    return fsfm_fail(err, FSFM_ERR_DEVICE, "NCCL: the plugin was built without it");
}

fsfm_status fsfm_cuda_nccl_id(fsfm_cuda_nccl *nccl, unsigned char id[FSFM_WIRE_GROUP_ID_SIZE],
                              fsfm_error *err)
{
    (void)nccl, (void)id;
    return not_built(err);
}

fsfm_status fsfm_cuda_nccl_enter(fsfm_cuda_nccl *nccl, const unsigned char id[FSFM_WIRE_GROUP_ID_SIZE],
                                 int rank, int ranks, fsfm_error *err)
{
    (void)nccl, (void)id, (void)rank, (void)ranks;
    return not_built(err);
}

fsfm_status fsfm_cuda_nccl_is_ready(const fsfm_cuda_nccl *nccl, bool *is_ready, fsfm_error *err)
{
    (void)nccl, (void)is_ready;
    return not_built(err);
}

fsfm_status fsfm_cuda_nccl_sum(fsfm_cuda_nccl *nccl, float *values_dev, int64_t count, cudaStream_t stream,
                               fsfm_error *err)
{
    (void)nccl, (void)values_dev, (void)count, (void)stream;
    return not_built(err);
}

fsfm_status fsfm_cuda_nccl_exchange(fsfm_cuda_nccl *nccl, int peer, const float *mine_dev, float *theirs_dev,
                                    int64_t count, cudaStream_t stream, fsfm_error *err)
{
    (void)nccl, (void)peer, (void)mine_dev, (void)theirs_dev, (void)count, (void)stream;
    return not_built(err);
}

void fsfm_cuda_nccl_leave(fsfm_cuda_nccl *nccl)
{
    (void)nccl;
}

#endif
