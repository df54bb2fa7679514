/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device/cuda/nccl.h"

#if defined FSFM_NCCL

#include <dlfcn.h>
#include <nccl.h>
#include <string.h>

_Static_assert(sizeof(ncclUniqueId) == FSFM_WIRE_GROUP_ID_SIZE, "ids travel as bytes");

typedef struct {
    void *library; /* NULL: not loaded */
    __typeof__(&ncclGetUniqueId) id;
    __typeof__(&ncclCommInitRank) enter;
    __typeof__(&ncclAllReduce) sum;
    __typeof__(&ncclCommAbort) leave;
    __typeof__(&ncclGetErrorString) text;
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
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library) return fsfm_fail(err, FSFM_ERR_DEVICE, "NCCL: %s", dlerror());
    if (!find(library, "ncclGetUniqueId", &nccl.id) || !find(library, "ncclCommInitRank", &nccl.enter) ||
        !find(library, "ncclAllReduce", &nccl.sum) || !find(library, "ncclCommAbort", &nccl.leave) ||
        !find(library, "ncclGetErrorString", &nccl.text)) {
        dlclose(library);
        return fsfm_fail(err, FSFM_ERR_DEVICE, "NCCL: libnccl.so.2 lacks functions that are wanted");
    }
    nccl.library = library;
    return FSFM_OK;
}

static fsfm_status check(const nccl_library *nccl, ncclResult_t code, const char *what, fsfm_error *err)
{
    if (code == ncclSuccess) return FSFM_OK;
    return fsfm_fail(err, FSFM_ERR_DEVICE, "NCCL: %s: %s", what, nccl->text(code));
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
    ncclComm_t entered = NULL;
    FSFM_TRY(load(&nccl, err));
    memcpy(&made, id, sizeof made);
    FSFM_TRY(check(nccl, nccl->enter(&entered, ranks, made, rank), "ncclCommInitRank", err));
    group->group = entered;
    return FSFM_OK;
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

fsfm_status fsfm_cuda_nccl_sum(fsfm_cuda_nccl *nccl, float *values_dev, int64_t count, cudaStream_t stream,
                               fsfm_error *err)
{
    (void)nccl, (void)values_dev, (void)count, (void)stream;
    return not_built(err);
}

void fsfm_cuda_nccl_leave(fsfm_cuda_nccl *nccl)
{
    (void)nccl;
}

#endif
