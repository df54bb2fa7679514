/* SPDX-License-Identifier: Apache-2.0
 * tests/support/cuda/submit.h - work of a library, not a kernel, on the emulated device. */
#ifndef FSFM_TESTS_EMULATED_SUBMIT_H
#define FSFM_TESTS_EMULATED_SUBMIT_H

#include <stdbool.h>
#include <stddef.h>

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* work(context) runs on the stream, with the device's memory open to it. The context's bytes are copied, and
 * kept for a captured graph: work must not change them. */
void emulated_submit(cudaStream_t stream, void (*work)(void *), void *context, size_t context_bytes);
/* The same for work with a part in other processes: the stream comes to it when is_ready(context) says so.
 * Seen outside of the emulated device's library. */
__attribute__((visibility("default"))) void emulated_submit_when(cudaStream_t stream,
                                                                 bool (*is_ready)(const void *),
                                                                 void (*work)(void *), void *context,
                                                                 size_t context_bytes);

#ifdef __cplusplus
}
#endif
#endif
