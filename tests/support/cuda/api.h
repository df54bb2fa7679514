/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/api.h - what the functions of NVIDIA's interface share. */
#ifndef FSFM_TESTS_EMULATED_API_H
#define FSFM_TESTS_EMULATED_API_H

#include <cuda_runtime_api.h>

#include "settings.h"

namespace emulated
{

/* The first line of each function. */
struct Entry {
    const std::lock_guard<std::recursive_mutex> lock{device_lock};
};

/* Returns error, and keeps it for cudaGetLastError. */
cudaError_t give(cudaError_t error);

/* The thread's device, as the process counts them, and which of the machine's GPUs that is. */
int current_device();
int current_gpu();

/* Whether all bytes from address are memory of the host that the device can copy from and to by itself. */
bool is_pinned(const void *address, size_t bytes);

} // namespace emulated
#endif
