/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/recorder.c - recordings (core/device/recorder.h) are CUDA graphs, captured from the
 * device's stream.
 *
 * Only this thread's calls are forbidden during a capture what would break it: threads of MPI and NCCL go on
 * as they like. */
#include <stdlib.h>

#include "core/device/cuda/cuda_device.h"

struct fsfm_recording {
    cudaGraphExec_t graph;
};

static fsfm_cuda_device *cuda_of(fsfm_recorder *recorder)
{
    return ((fsfm_cuda_recorder *)recorder)->cuda;
}

static fsfm_status recorder_begin(fsfm_recorder *recorder, fsfm_error *err)
{
    fsfm_cuda_device *cuda = cuda_of(recorder);
    return fsfm_cuda_check(cuda, cudaStreamBeginCapture(cuda->queue.stream, cudaStreamCaptureModeThreadLocal),
                           "beginning a graph", err);
}

static void recorder_free(fsfm_recorder *recorder, fsfm_recording *recording)
{
    (void)recorder;
    if (recording && recording->graph) cudaGraphExecDestroy(recording->graph);
    free(recording);
}

static fsfm_status recorder_end(fsfm_recorder *recorder, fsfm_recording **out, fsfm_error *err)
{
    fsfm_cuda_device *cuda = cuda_of(recorder);
    cudaGraph_t graph = NULL;
    fsfm_recording *recording = calloc(1, sizeof *recording);
    *out = NULL;
    cudaError_t code = cudaStreamEndCapture(cuda->queue.stream, &graph);
    if (code == cudaSuccess && recording) code = cudaGraphInstantiate(&recording->graph, graph, 0);
    if (graph) cudaGraphDestroy(graph);
    if (code == cudaSuccess && recording) {
        *out = recording;
        return FSFM_OK;
    }
    recorder_free(recorder, recording);
    cudaGetLastError(); /* which the next kernel would take for its own */
    if (code == cudaSuccess) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for a graph");
    return fsfm_cuda_check(cuda, code, "ending a graph", err);
}

static fsfm_status recorder_replay(fsfm_recorder *recorder, const fsfm_recording *recording, fsfm_error *err)
{
    fsfm_cuda_device *cuda = cuda_of(recorder);
    return fsfm_cuda_check(cuda, cudaGraphLaunch(recording->graph, cuda->queue.stream), "a graph", err);
}

static const fsfm_recorder_ops recorder_ops = {
    .begin = recorder_begin,
    .end = recorder_end,
    .replay = recorder_replay,
    .free = recorder_free,
};

void fsfm_cuda_recorder_open(fsfm_cuda_device *cuda)
{
    cuda->recorder = (fsfm_cuda_recorder){.base = {&recorder_ops}, .cuda = cuda};
    cuda->base.recorder = &cuda->recorder.base;
}
