// SPDX-License-Identifier: Apache-2.0
// tests/emulation/occupancy.cpp - blocks on a multiprocessor, by NVIDIA's cuda_occupancy.h, which needs no
// GPU. Lines "ARCHITECTURE REGISTERS STATIC-BYTES THREADS DYNAMIC-BYTES" come in, numbers go out; 0: does not
// fit.
#include <stdio.h>

#include <cuda_runtime_api.h>

#include <cuda_occupancy.h>

static cudaOccDeviceProp properties_of(int architecture)
{
    const bool is_sm_80 = architecture == 80; /* an A100; else an H100 */
    cudaOccDeviceProp properties;
    properties.computeMajor = architecture / 10;
    properties.computeMinor = architecture % 10;
    properties.maxThreadsPerBlock = 1024;
    properties.maxThreadsPerMultiprocessor = 2048;
    properties.regsPerBlock = properties.regsPerMultiprocessor = 65536;
    properties.warpSize = 32;
    properties.sharedMemPerBlock = 48 << 10;
    properties.sharedMemPerMultiprocessor = (size_t)(is_sm_80 ? 164 : 228) << 10;
    properties.sharedMemPerBlockOptin = (size_t)(is_sm_80 ? 163 : 227) << 10;
    properties.reservedSharedMemPerBlock = 1 << 10;
    properties.numSms = is_sm_80 ? 108 : 132;
    return properties;
}

int main()
{
    int architecture, registers, static_bytes, threads, dynamic_bytes;
    while (scanf("%d %d %d %d %d", &architecture, &registers, &static_bytes, &threads, &dynamic_bytes) == 5) {
        const cudaOccDeviceProp properties = properties_of(architecture);
        const cudaOccDeviceState state;
        cudaOccFuncAttributes kernel;
        cudaOccResult result;
        kernel.maxThreadsPerBlock = 1024;
        kernel.numRegs = registers;
        kernel.sharedSizeBytes = (size_t)static_bytes;
        kernel.partitionedGCConfig = PARTITIONED_GC_OFF;
        kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
        kernel.maxDynamicSharedSizeBytes = properties.sharedMemPerBlockOptin;
        kernel.numBlockBarriers = 1;
        const bool fits =
            cudaOccMaxActiveBlocksPerMultiprocessor(&result, &properties, &kernel, &state, threads,
                                                    (size_t)dynamic_bytes) == CUDA_OCC_SUCCESS;
        printf("%d\n", fits ? result.activeBlocksPerMultiprocessor : 0);
    }
    return 0;
}
