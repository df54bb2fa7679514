// SPDX-License-Identifier: Apache-2.0
// tests/emulation/planted.cu - kernels with a fault each, and one without: what the emulated device and its
// checker are there to report. `planted CASE` runs one and prints how many of its numbers are wrong;
// checked.sh says of each case who reports it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/device/cuda/port.h"

static constexpr int threads = 64, blocks = 2, count = threads * blocks;

enum Fault {
    none,
    no_barrier,
    blocks_share,
    past_the_end,
    before_the_start,
    unwritten,
    unwritten_shared,
    unaligned
};
static const char *const names[] = {
    "none",      "no_barrier",       "blocks_share", "past_the_end", "before_the_start",
    "unwritten", "unwritten_shared", "unaligned"};

// out[i] = in[the block's, backwards], by way of shared memory. Each fault is one line of it.
static __global__ void reverse_kernel(const float *in, float *out, float *scratch, Fault fault)
{
    DYNAMIC_SHARED(float, stage);
    const int t = (int)threadIdx.x, i = (int)(blockIdx.x * blockDim.x) + t;
    if (fault != unwritten_shared) stage[t] = 0.0f;
    __syncthreads();
    if (fault != unwritten_shared || t != 5) stage[t] = in[i];
    if (fault != no_barrier) __syncthreads();
    out[i] = stage[threads - 1 - t];
    if (fault == blocks_share && t == 0) scratch[0] = (float)i;
    if (fault == past_the_end && i == count - 1) out[i + 1] = 0.0f;
    if (fault == before_the_start && i == 0) out[i - 1] = 0.0f;
    if (fault == unwritten && i == 3) out[i] = scratch[1];
    if (fault == unaligned && i == 4)
        *reinterpret_cast<volatile float *>(reinterpret_cast<char *>(scratch) + 6) = 1.0f;
}

static void expect_success(cudaError_t error)
{
    if (error == cudaSuccess) return;
    printf("%s\n", cudaGetErrorString(error));
    exit(EXIT_FAILURE);
}

static float *allocate(int floats)
{
    void *memory = nullptr;
    expect_success(cudaMalloc(&memory, (size_t)floats * sizeof(float)));
    return static_cast<float *>(memory);
}

static Fault fault_of(const char *name)
{
    for (int f = none; f <= unaligned; f++)
        if (strcmp(names[f], name) == 0) return (Fault)f;
    printf("no case %s\n", name);
    exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    const Fault fault = fault_of(argc > 1 ? argv[1] : "");
    float values[count], got[count];
    for (int i = 0; i < count; i++) values[i] = (float)i;
    float *in = allocate(count), *out = allocate(count), *scratch = allocate(16);
    expect_success(cudaMemcpy(in, values, sizeof values, cudaMemcpyHostToDevice));
    LAUNCH(reverse_kernel, blocks, threads, threads * sizeof(float), nullptr, in, out, scratch, fault);
    expect_success(cudaGetLastError());
    expect_success(cudaDeviceSynchronize());
    expect_success(cudaMemcpy(got, out, sizeof got, cudaMemcpyDeviceToHost));
    int wrong = 0;
    for (int i = 0; i < count; i++)
        wrong += !(got[i] == (float)(i / threads * threads + threads - 1 - i % threads));
    expect_success(cudaFree(scratch));
    expect_success(cudaFree(out));
    expect_success(cudaFree(in));
    printf("%d wrong\n", wrong);
    return EXIT_SUCCESS;
}
