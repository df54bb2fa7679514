/* SPDX-License-Identifier: Apache-2.0
 * core/device/cuda/wire.c - the wire (core/device/wire.h) on a stream of its own. */
#include <stdlib.h>

#include "core/device/cuda/cuda_device.h"

static fsfm_cuda_wire *of(fsfm_wire *wire)
{
    return (fsfm_cuda_wire *)wire;
}

static fsfm_status check(const fsfm_cuda_wire *wire, cudaError_t code, const char *what, fsfm_error *err)
{
    return fsfm_cuda_check(wire->cuda, code, what, err);
}

static fsfm_status wire_alloc(fsfm_wire *wire, size_t size_bytes, void **ptr_host, fsfm_error *err)
{
    *ptr_host = NULL;
    return check(of(wire), cudaHostAlloc(ptr_host, size_bytes, cudaHostAllocDefault), "pinned memory", err);
}

static void wire_free(fsfm_wire *wire, void *ptr_host)
{
    (void)wire;
    cudaFreeHost(ptr_host);
}

/* The wire goes on when the device's stream has come to where it is now. */
static cudaError_t follow_device(fsfm_cuda_wire *wire)
{
    const cudaError_t code = cudaEventRecord(wire->reached, wire->cuda->queue.stream);
    return code == cudaSuccess ? cudaStreamWaitEvent(wire->stream, wire->reached, 0) : code;
}

/* Room for one more event: at the first step only. */
static fsfm_status grow(fsfm_cuda_wire *wire, fsfm_error *err)
{
    if (wire->sends < wire->events) return FSFM_OK;
    cudaEvent_t *sent = realloc(wire->sent, (size_t)(wire->events + 1) * sizeof *sent);
    if (!sent) return fsfm_fail(err, FSFM_ERR_MEMORY, "no memory for events");
    wire->sent = sent;
    FSFM_TRY(
        check(wire, cudaEventCreateWithFlags(&sent[wire->events], cudaEventDisableTiming), "an event", err));
    wire->events++;
    return FSFM_OK;
}

static fsfm_status wire_send(fsfm_wire *base, void *dst_host, const void *src_dev, size_t size_bytes,
                             fsfm_error *err)
{
    fsfm_cuda_wire *wire = of(base);
    FSFM_TRY(grow(wire, err));
    cudaError_t code = follow_device(wire);
    if (code == cudaSuccess && size_bytes > 0)
        code = cudaMemcpyAsync(dst_host, src_dev, size_bytes, cudaMemcpyDeviceToHost, wire->stream);
    if (code == cudaSuccess) code = cudaEventRecord(wire->sent[wire->sends], wire->stream);
    wire->sends++;
    return check(wire, code, "sending gradients", err);
}

/* What is not done yet has not failed; nor may a kernel's launch look as if it had. */
static cudaError_t take_not_ready(cudaError_t code)
{
    if (cudaPeekAtLastError() == cudaErrorNotReady) cudaGetLastError();
    return code == cudaErrorNotReady ? cudaSuccess : code;
}

static fsfm_status wire_is_sent(fsfm_wire *base, int64_t index, bool *is_sent, fsfm_error *err)
{
    fsfm_cuda_wire *wire = of(base);
    FSFM_ASSERT(index < wire->sends);
    const cudaError_t code = cudaEventQuery(wire->sent[index]);
    *is_sent = code == cudaSuccess;
    return check(wire, take_not_ready(code), "sending gradients", err);
}

static fsfm_status wire_receive(fsfm_wire *base, void *dst_dev, const void *src_host, size_t size_bytes,
                                fsfm_error *err)
{
    fsfm_cuda_wire *wire = of(base);
    cudaError_t code = follow_device(wire);
    if (code == cudaSuccess)
        code = cudaMemcpyAsync(dst_dev, src_host, size_bytes, cudaMemcpyHostToDevice, wire->stream);
    return check(wire, code, "receiving gradients", err);
}

static fsfm_status wire_join(fsfm_wire *base, fsfm_error *err)
{
    fsfm_cuda_wire *wire = of(base);
    cudaError_t code = cudaEventRecord(wire->received, wire->stream);
    if (code == cudaSuccess) code = cudaStreamWaitEvent(wire->cuda->queue.stream, wire->received, 0);
    wire->sends = 0;
    return check(wire, code, "receiving gradients", err);
}

static fsfm_status wire_group_id(fsfm_wire *base, unsigned char id[FSFM_WIRE_GROUP_ID_SIZE], fsfm_error *err)
{
    return fsfm_cuda_nccl_id(&of(base)->nccl, id, err);
}

static fsfm_status wire_group_enter(fsfm_wire *base, const unsigned char id[FSFM_WIRE_GROUP_ID_SIZE],
                                    int rank, int ranks, fsfm_error *err)
{
    return fsfm_cuda_nccl_enter(&of(base)->nccl, id, rank, ranks, err);
}

static fsfm_status wire_sum(fsfm_wire *base, float *values_dev, int64_t count, fsfm_error *err)
{
    fsfm_cuda_wire *wire = of(base);
    FSFM_TRY(check(wire, follow_device(wire), "summing gradients", err));
    return fsfm_cuda_nccl_sum(&wire->nccl, values_dev, count, wire->stream, err);
}

static fsfm_status wire_exchange(fsfm_wire *base, int peer, const float *mine_dev, float *theirs_dev,
                                 int64_t count, fsfm_error *err)
{
    fsfm_cuda_wire *wire = of(base);
    FSFM_TRY(check(wire, follow_device(wire), "exchanging gradients", err));
    return fsfm_cuda_nccl_exchange(&wire->nccl, peer, mine_dev, theirs_dev, count, wire->stream, err);
}

static fsfm_status wire_group_state(fsfm_wire *base, fsfm_wire_group_state *out, fsfm_error *err)
{
    fsfm_cuda_wire *wire = of(base);
    bool is_ready = false;
    *out = FSFM_WIRE_GROUP_BUSY;
    FSFM_TRY(fsfm_cuda_nccl_is_ready(&wire->nccl, &is_ready, err));
    if (!is_ready) return FSFM_OK;
    const cudaError_t code = cudaStreamQuery(wire->stream);
    *out = code == cudaSuccess ? FSFM_WIRE_GROUP_IDLE : FSFM_WIRE_GROUP_READY;
    return check(wire, take_not_ready(code), "summing gradients", err);
}

static void wire_group_abandon(fsfm_wire *base)
{
    fsfm_cuda_nccl_leave(&of(base)->nccl);
}

static const fsfm_wire_ops wire_ops = {
    .alloc = wire_alloc,
    .free = wire_free,
    .send = wire_send,
    .is_sent = wire_is_sent,
    .receive = wire_receive,
    .join = wire_join,
    .group_id = wire_group_id,
    .group_enter = wire_group_enter,
    .sum = wire_sum,
    .exchange = wire_exchange,
    .group_state = wire_group_state,
    .group_abandon = wire_group_abandon,
};

fsfm_status fsfm_cuda_wire_open(fsfm_cuda_device *cuda, fsfm_error *err)
{
    fsfm_cuda_wire *wire = &cuda->wire;
    *wire = (fsfm_cuda_wire){.base = {&wire_ops}, .cuda = cuda};
    cudaError_t code = cudaStreamCreateWithFlags(&wire->stream, cudaStreamNonBlocking);
    if (code == cudaSuccess) code = cudaEventCreateWithFlags(&wire->reached, cudaEventDisableTiming);
    if (code == cudaSuccess) code = cudaEventCreateWithFlags(&wire->received, cudaEventDisableTiming);
    cuda->base.wire = &wire->base;
    return fsfm_cuda_check(cuda, code, "its wire", err);
}

void fsfm_cuda_wire_close(fsfm_cuda_device *cuda)
{
    fsfm_cuda_wire *wire = &cuda->wire;
    fsfm_cuda_nccl_leave(&wire->nccl); /* first: what it waits for may never come */
    if (wire->stream) cudaStreamSynchronize(wire->stream);
    for (int64_t i = 0; i < wire->events; i++) cudaEventDestroy(wire->sent[i]);
    if (wire->received) cudaEventDestroy(wire->received);
    if (wire->reached) cudaEventDestroy(wire->reached);
    if (wire->stream) cudaStreamDestroy(wire->stream);
    free(wire->sent);
}
