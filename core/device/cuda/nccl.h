/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/nccl.h - NVIDIA's collectives, from libnccl.so.2 where it is found when it is wanted: the
 * plugin loads without it. FSFM_NCCL_LIBRARY in the environment names another file. No call waits for other
 * processes, as one of them may have failed. */
#ifndef FSFM_CORE_DEVICE_CUDA_NCCL_H
#define FSFM_CORE_DEVICE_CUDA_NCCL_H

#include <cuda_runtime_api.h>

#include "core/base/status.h"
#include "core/device/wire.h"

/* Zeros: not entered. Stays where it is until it is left: NCCL 2.14 to 2.17 writes group in the background,
 * when entering is through. */
typedef struct {
    struct ncclComm *group; /* ncclComm_t */
} fsfm_cuda_nccl;

/* FSFM_ERR_DEVICE, with the reason, where the plugin was built without NCCL or the library is not there. */
FSFM_MUST_USE
fsfm_status fsfm_cuda_nccl_id(fsfm_cuda_nccl *nccl, unsigned char id[FSFM_WIRE_GROUP_ID_SIZE],
                              fsfm_error *err);
/* Starts to enter. */
FSFM_MUST_USE
fsfm_status fsfm_cuda_nccl_enter(fsfm_cuda_nccl *nccl, const unsigned char id[FSFM_WIRE_GROUP_ID_SIZE],
                                 int rank, int ranks, fsfm_error *err);
/* Whether the last call is through: the group entered, its work on the stream. FSFM_ERR_DEVICE where the
 * group is broken. */
FSFM_MUST_USE
fsfm_status fsfm_cuda_nccl_is_ready(const fsfm_cuda_nccl *nccl, bool *is_ready, fsfm_error *err);
/* values (count) = their sum over the group, in place. */
FSFM_MUST_USE
fsfm_status fsfm_cuda_nccl_sum(fsfm_cuda_nccl *nccl, float *values_dev, int64_t count, cudaStream_t stream,
                               fsfm_error *err);
/* Sends mine (count) to peer and receives theirs (count) from it, which calls it too. */
FSFM_MUST_USE
fsfm_status fsfm_cuda_nccl_exchange(fsfm_cuda_nccl *nccl, int peer, const float *mine_dev, float *theirs_dev,
                                    int64_t count, cudaStream_t stream, fsfm_error *err);
/* Ends sums under way, too. */
void fsfm_cuda_nccl_leave(fsfm_cuda_nccl *nccl);

#endif
