/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/memory.c - memory of the device, and the ways to it and back.
 *
 * An upload is copied into a ring of pinned memory, so that its source is free at once; crosses, on a stream
 * of its own, to a ring on the device that mirrors the first; and is copied to its place by the stream that
 * computes. So it crosses while that one works off what was enqueued before. A segment of the rings is filled
 * again when the computing stream has passed the event that was recorded when it was full. Segments are
 * allocated at their first use. */
#include <string.h>

#include "core/device/cuda/cuda_device.h"

static cudaError_t make_event(cudaEvent_t *out)
{
    return cudaEventCreateWithFlags(out, cudaEventDisableTiming);
}

fsfm_status fsfm_cuda_memory_open(fsfm_cuda_device *cuda, fsfm_error *err)
{
    fsfm_cuda_uploads *up = &cuda->uploads;
    fsfm_cuda_downloads *down = &cuda->downloads;
    cudaError_t code = cudaStreamCreateWithFlags(&up->stream, cudaStreamNonBlocking);
    if (code == cudaSuccess) code = make_event(&up->crossed);
    for (int i = 0; code == cudaSuccess && i < FSFM_CUDA_SEGMENTS; i++) code = make_event(&up->free[i]);
    for (int i = 0; code == cudaSuccess && i < FSFM_CUDA_LANDINGS; i++) code = make_event(&down->landed[i]);
    if (code == cudaSuccess) code = make_event(&cuda->read.landed);
    if (code == cudaSuccess)
        code = cudaHostAlloc((void **)&cuda->read.host, FSFM_READ_BYTES, cudaHostAllocDefault);
    return fsfm_cuda_check(cuda, code, "memory to move data", err);
}

void fsfm_cuda_memory_close(fsfm_cuda_device *cuda)
{
    fsfm_cuda_uploads *up = &cuda->uploads;
    fsfm_cuda_downloads *down = &cuda->downloads;
    if (up->stream) cudaStreamSynchronize(up->stream);
    cudaFreeHost(cuda->read.host);
    if (cuda->read.landed) cudaEventDestroy(cuda->read.landed);
    for (int i = 0; i < FSFM_CUDA_LANDINGS; i++) cudaFreeHost(down->host[i]);
    for (int i = 0; i < FSFM_CUDA_SEGMENTS; i++) {
        cudaFreeHost(up->host[i]);
        cudaFree(up->dev[i]);
    }
    for (int i = 0; i < FSFM_CUDA_LANDINGS; i++)
        if (down->landed[i]) cudaEventDestroy(down->landed[i]);
    for (int i = 0; i < FSFM_CUDA_SEGMENTS; i++)
        if (up->free[i]) cudaEventDestroy(up->free[i]);
    if (up->crossed) cudaEventDestroy(up->crossed);
    if (up->stream) cudaStreamDestroy(up->stream);
}

fsfm_status fsfm_cuda_alloc(fsfm_device *dev, size_t size_bytes, void **ptr_dev, fsfm_error *err)
{
    const fsfm_cuda_device *cuda = fsfm_cuda(dev);
    *ptr_dev = NULL;
    const cudaError_t code = cudaMalloc(ptr_dev, size_bytes ? size_bytes : FSFM_ARENA_ALIGN);
    if (code != cudaErrorMemoryAllocation) return fsfm_cuda_check(cuda, code, "memory", err);
    cudaGetLastError(); /* which the next kernel would take for its own */
    *ptr_dev = NULL;
    return fsfm_fail(err, FSFM_ERR_MEMORY, "%s: no memory for %zu bytes", cuda->base.name, size_bytes);
}

void fsfm_cuda_free(fsfm_device *dev, void *ptr_dev)
{
    (void)dev;
    cudaFree(ptr_dev);
}

fsfm_status fsfm_cuda_synchronize(fsfm_device *dev, fsfm_error *err)
{
    fsfm_cuda_device *cuda = fsfm_cuda(dev);
    return fsfm_cuda_check(cuda, cudaStreamSynchronize(cuda->queue.stream), "synchronize", err);
}

/* Ends the segment that is being filled and waits until the next one is free. */
static cudaError_t next_segment(fsfm_cuda_device *cuda)
{
    fsfm_cuda_uploads *up = &cuda->uploads;
    const cudaError_t code = cudaEventRecord(up->free[up->segment], cuda->queue.stream);
    up->segment = (up->segment + 1) % FSFM_CUDA_SEGMENTS;
    up->used_bytes = 0;
    return code == cudaSuccess ? cudaEventSynchronize(up->free[up->segment]) : code;
}

static cudaError_t make_pinned(char **memory)
{
    return *memory ? cudaSuccess
                   : cudaHostAlloc((void **)memory, FSFM_CUDA_SEGMENT_BYTES, cudaHostAllocDefault);
}

static cudaError_t make_segment(fsfm_cuda_uploads *up)
{
    char **dev = &up->dev[up->segment];
    const cudaError_t code = make_pinned(&up->host[up->segment]);
    return code == cudaSuccess && !*dev ? cudaMalloc((void **)dev, FSFM_CUDA_SEGMENT_BYTES) : code;
}

/* As much of wanted bytes at src as there is room for in one piece, brought to *staged on the device: for
 * what is enqueued until the next call. */
static cudaError_t stage(fsfm_cuda_device *cuda, const void *src, size_t wanted_bytes, const void **staged,
                         size_t *staged_bytes)
{
    fsfm_cuda_uploads *up = &cuda->uploads;
    cudaError_t code = up->used_bytes < FSFM_CUDA_SEGMENT_BYTES ? cudaSuccess : next_segment(cuda);
    if (code == cudaSuccess) code = make_segment(up);
    if (code != cudaSuccess) return code;
    const size_t room = FSFM_CUDA_SEGMENT_BYTES - up->used_bytes;
    const size_t part = wanted_bytes < room ? wanted_bytes : room;
    char *host = up->host[up->segment] + up->used_bytes, *dev = up->dev[up->segment] + up->used_bytes;
    memcpy(host, src, part);
    code = cudaMemcpyAsync(dev, host, part, cudaMemcpyHostToDevice, up->stream);
    if (code == cudaSuccess) code = cudaEventRecord(up->crossed, up->stream);
    if (code == cudaSuccess) code = cudaStreamWaitEvent(cuda->queue.stream, up->crossed, 0);
    up->used_bytes += (part + FSFM_ARENA_ALIGN - 1) / FSFM_ARENA_ALIGN * FSFM_ARENA_ALIGN;
    *staged = dev;
    *staged_bytes = part;
    return code;
}

fsfm_status fsfm_cuda_upload(fsfm_device *dev, void *dst_dev, const void *src_host, size_t size_bytes,
                             fsfm_error *err)
{
    fsfm_cuda_device *cuda = fsfm_cuda(dev);
    cudaError_t code = cudaSuccess;
    size_t part = 0;
    for (size_t done = 0; code == cudaSuccess && done < size_bytes; done += part) {
        const void *staged = NULL;
        code = stage(cuda, (const char *)src_host + done, size_bytes - done, &staged, &part);
        if (code == cudaSuccess)
            code = cudaMemcpyAsync((char *)dst_dev + done, staged, part, cudaMemcpyDeviceToDevice,
                                   cuda->queue.stream);
    }
    return fsfm_cuda_check(cuda, code, "upload", err);
}

fsfm_status fsfm_cuda_set_matrix(fsfm_device *dev, int64_t count, void *matrix_dev, const float *values_host,
                                 fsfm_error *err)
{
    fsfm_cuda_device *cuda = fsfm_cuda(dev);
    cudaError_t code = cudaSuccess;
    int64_t part = 0;
    for (int64_t done = 0; code == cudaSuccess && done < count; done += part) {
        const void *staged = NULL;
        size_t part_bytes = 0;
        code = stage(cuda, values_host + done, (size_t)(count - done) * sizeof(float), &staged, &part_bytes);
        part = (int64_t)(part_bytes / sizeof(float));
        if (code == cudaSuccess)
            code = fsfm_cuda_split_matrix(&cuda->queue, count, done, part, staged, matrix_dev);
    }
    return fsfm_cuda_check(cuda, code, "set_matrix", err);
}

/* A download goes in pieces of a segment's size, each by way of one of the landings. */
static size_t piece_bytes(size_t size_bytes, size_t piece)
{
    const size_t left = size_bytes - piece * FSFM_CUDA_SEGMENT_BYTES;
    return left < FSFM_CUDA_SEGMENT_BYTES ? left : FSFM_CUDA_SEGMENT_BYTES;
}

static cudaError_t send_piece(fsfm_cuda_device *cuda, const char *src_dev, size_t size_bytes, size_t piece)
{
    fsfm_cuda_downloads *down = &cuda->downloads;
    const size_t landing = piece % FSFM_CUDA_LANDINGS;
    cudaError_t code = make_pinned(&down->host[landing]);
    if (code == cudaSuccess)
        code = cudaMemcpyAsync(down->host[landing], src_dev + piece * FSFM_CUDA_SEGMENT_BYTES,
                               piece_bytes(size_bytes, piece), cudaMemcpyDeviceToHost, cuda->queue.stream);
    return code == cudaSuccess ? cudaEventRecord(down->landed[landing], cuda->queue.stream) : code;
}

static cudaError_t take_piece(fsfm_cuda_device *cuda, char *dst_host, size_t size_bytes, size_t piece)
{
    const fsfm_cuda_downloads *down = &cuda->downloads;
    const size_t landing = piece % FSFM_CUDA_LANDINGS;
    const cudaError_t code = cudaEventSynchronize(down->landed[landing]);
    if (code == cudaSuccess)
        memcpy(dst_host + piece * FSFM_CUDA_SEGMENT_BYTES, down->host[landing],
               piece_bytes(size_bytes, piece));
    return code;
}

/* One piece is on its way while the one before it is copied from where it landed. */
fsfm_status fsfm_cuda_download(fsfm_device *dev, void *dst_host, const void *src_dev, size_t size_bytes,
                               fsfm_error *err)
{
    fsfm_cuda_device *cuda = fsfm_cuda(dev);
    const size_t pieces = (size_bytes + FSFM_CUDA_SEGMENT_BYTES - 1) / FSFM_CUDA_SEGMENT_BYTES;
    if (pieces == 0) return fsfm_cuda_synchronize(dev, err);
    cudaError_t code = send_piece(cuda, src_dev, size_bytes, 0);
    for (size_t i = 0; code == cudaSuccess && i < pieces; i++) {
        if (i + 1 < pieces) code = send_piece(cuda, src_dev, size_bytes, i + 1);
        if (code == cudaSuccess) code = take_piece(cuda, dst_host, size_bytes, i);
    }
    return fsfm_cuda_check(cuda, code, "download", err);
}

/* Pinned memory of its own: downloads may come between the two. */
fsfm_status fsfm_cuda_start_read(fsfm_device *dev, const void *src_dev, size_t size_bytes, fsfm_error *err)
{
    fsfm_cuda_device *cuda = fsfm_cuda(dev);
    FSFM_ASSERT(size_bytes <= FSFM_READ_BYTES);
    cudaError_t code =
        cudaMemcpyAsync(cuda->read.host, src_dev, size_bytes, cudaMemcpyDeviceToHost, cuda->queue.stream);
    if (code == cudaSuccess) code = cudaEventRecord(cuda->read.landed, cuda->queue.stream);
    return fsfm_cuda_check(cuda, code, "start_read", err);
}

fsfm_status fsfm_cuda_finish_read(fsfm_device *dev, void *dst_host, size_t size_bytes, fsfm_error *err)
{
    const fsfm_cuda_device *cuda = fsfm_cuda(dev);
    const cudaError_t code = cudaEventSynchronize(cuda->read.landed);
    if (code == cudaSuccess) memcpy(dst_host, cuda->read.host, size_bytes);
    return fsfm_cuda_check(cuda, code, "finish_read", err);
}

fsfm_status fsfm_cuda_get_matrix(fsfm_device *dev, int64_t count, const void *matrix_dev, float *values_host,
                                 fsfm_error *err)
{
    fsfm_cuda_device *cuda = fsfm_cuda(dev);
    const int64_t most = (int64_t)(FSFM_CUDA_SCRATCH_BYTES / sizeof(float));
    for (int64_t done = 0; done < count; done += most) {
        const int64_t part = count - done < most ? count - done : most;
        const cudaError_t code =
            fsfm_cuda_join_matrix(&cuda->queue, count, done, part, matrix_dev, cuda->queue.scratch);
        FSFM_TRY(fsfm_cuda_check(cuda, code, "get_matrix", err));
        FSFM_TRY(fsfm_cuda_download(dev, values_host + done, cuda->queue.scratch,
                                    (size_t)part * sizeof(float), err));
    }
    return FSFM_OK;
}

fsfm_status fsfm_cuda_copy(fsfm_device *dev, void *dst_dev, const void *src_dev, size_t size_bytes,
                           fsfm_error *err)
{
    fsfm_cuda_device *cuda = fsfm_cuda(dev);
    if (size_bytes == 0) return FSFM_OK;
    return fsfm_cuda_check(
        cuda, cudaMemcpyAsync(dst_dev, src_dev, size_bytes, cudaMemcpyDeviceToDevice, cuda->queue.stream),
        "copy", err);
}

fsfm_status fsfm_cuda_zero(fsfm_device *dev, void *dst_dev, size_t size_bytes, fsfm_error *err)
{
    fsfm_cuda_device *cuda = fsfm_cuda(dev);
    if (size_bytes == 0) return FSFM_OK;
    return fsfm_cuda_check(cuda, cudaMemsetAsync(dst_dev, 0, size_bytes, cuda->queue.stream), "zero", err);
}
